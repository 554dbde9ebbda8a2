//! `relay backup`: a copy of the store, taken beside the relay at work.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{BAD_CONFIGURATION, Global, complain, say};
use crate::app;
use crate::config::{self, Secrets};

#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    /// The new file
    file: PathBuf,
}

pub(super) fn run(global: &Global, args: &BackupArgs) -> anyhow::Result<ExitCode> {
    let url = match config::store_alone(&global.inputs(Secrets::Read)) {
        Ok(url) => url,
        Err(findings) => {
            findings.iter().for_each(complain);
            return Ok(ExitCode::from(BAD_CONFIGURATION));
        }
    };
    let bytes = app::back_up(&url, &args.file)?;
    say(format_args!(
        "{} of {url} are in {}",
        bytesize::ByteSize(bytes),
        args.file.display()
    ));
    Ok(ExitCode::SUCCESS)
}
