//! Integration tests: one binary, a module for each behaviour.

mod config;
