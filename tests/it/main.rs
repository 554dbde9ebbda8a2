//! Everything that needs more than one room, in one binary; each module is one behaviour.

mod accept;
mod config;
mod harness;
mod server;
