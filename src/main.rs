//! The `relay` binary. What it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    mojito_relay::cli::main()
}
