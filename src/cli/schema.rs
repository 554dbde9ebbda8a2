//! `relay schema`: the JSON Schema of relay.toml, for editors and other tools.

use std::process::ExitCode;

use super::say;
use crate::config::schema;

pub(super) fn run() -> ExitCode {
    say(format_args!("{:#}", schema::json()));
    ExitCode::SUCCESS
}
