//! `relay schema`: the JSON Schema of relay.toml or of a preset's file, for editors and other tools.

use std::process::ExitCode;

use clap::Args;

use super::say;
use crate::config::schema;

#[derive(Debug, Args)]
pub(super) struct SchemaArgs {
    /// That of a preset's file, instead of relay.toml's
    #[arg(long)]
    preset: bool,
}

pub(super) fn run(args: &SchemaArgs) -> ExitCode {
    let schema = if args.preset {
        schema::preset_json()
    } else {
        schema::json()
    };
    say(format_args!("{schema:#}"));
    ExitCode::SUCCESS
}
