//! mojito-relay: a durable webhook relay and fan-out gateway. ARCHITECTURE.md shows the house.

pub mod clock;
pub mod destination;
pub mod dispatch;
pub mod expr;
pub mod http;
pub mod model;
pub mod retry;
pub mod route;
pub mod source;
pub mod store;
pub mod template;
pub mod transport;
