//! mojito-relay: a durable webhook relay and fan-out gateway. ARCHITECTURE.md shows the house.

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod destination;
pub mod dispatch;
pub mod doorbell;
pub mod expr;
pub mod http;
pub mod intake;
pub mod limiter;
pub mod model;
pub mod retry;
pub mod route;
pub mod source;
pub mod store;
pub mod telemetry;
pub mod template;
pub mod transport;
pub mod upkeep;
