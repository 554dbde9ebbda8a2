//! The `relay` binary. What it does is in the library.

use std::process::ExitCode;

/// An event is some hundred allocations, most of them SQLite's and short-lived: see docs/performance.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    mojito_relay::cli::main()
}
