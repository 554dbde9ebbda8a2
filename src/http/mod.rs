//! The doors: the only room that knows hyper.

mod settings;

pub use settings::{AdminSettings, ServerSettings, TlsFiles};
