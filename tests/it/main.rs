//! Everything that needs more than one room, in one binary; each module is one behaviour.

mod config;
mod server;
