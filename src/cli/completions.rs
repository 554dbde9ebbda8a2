//! `relay completions`: what a shell needs to complete our commands.

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell that is to know them, which reads it from a file or by `source <(relay completions bash)`
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "relay", &mut script);
    let _reader_is_gone = std::io::stdout().write_all(&script);
    ExitCode::SUCCESS
}
