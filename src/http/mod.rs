//! The doors: the only room that knows hyper.

pub mod admin;
pub mod body;
pub mod call;
mod connection;
pub mod dashboard;
mod ingress;
mod link;
mod peer;
pub mod problem;
mod reply;
mod server;
mod settings;
mod timer;
mod tls;
mod wire;

pub use ingress::Ingress;
pub use peer::Peer;
pub use reply::{Chunk, Reply, StreamBody};
pub use server::{Handler, Server, ServerLimits, Stop};
pub use settings::{AdminSettings, ServerSettings, TlsFiles};
pub use tls::{Certificates, TlsError};
