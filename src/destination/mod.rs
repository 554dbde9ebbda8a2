//! What a destination says and hears: renders a delivery as a request, judges the answer. No I/O.

pub mod preset;
mod settings;

pub use settings::{BodyFormat, ConfigText, Order, Revisions, Settings};
