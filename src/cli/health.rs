//! `relay health`: for container probes, which have no curl.

use std::process::ExitCode;

use super::client::{AdminArgs, Office};
use super::{Global, complain, say};

pub(super) async fn run(global: &Global, args: &AdminArgs) -> anyhow::Result<ExitCode> {
    let office = Office::of(global, args)?;
    match office.get("/readyz", &[]).await {
        Ok(_) => {
            say("ready");
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            complain(error);
            Ok(ExitCode::FAILURE)
        }
    }
}
