//! `relay health`: for container probes, which have no curl.

use std::process::ExitCode;

use anyhow::Context as _;
use bytes::Bytes;
use clap::Args;
use http::Method;
use url::Url;

use super::client::{reachable, request};
use super::{Global, complain, say, unusable};
use crate::config::{self, Secrets};

#[derive(Debug, Args)]
pub(super) struct HealthArgs {
    /// Address of the admin port, instead of the one in relay.toml
    #[arg(long, value_name = "URL")]
    admin: Option<Url>,
}

pub(super) async fn run(global: &Global, args: HealthArgs) -> anyhow::Result<ExitCode> {
    let base = match args.admin {
        Some(url) => url,
        None => match config::load(&global.inputs(Secrets::Skip)) {
            Ok(loaded) => Url::parse(&format!("http://{}", reachable(loaded.config.admin.listen)))?,
            Err(findings) => return Ok(unusable(&findings)),
        },
    };
    let url = base
        .join("/readyz")
        .context("--admin is no address that can be asked")?;
    match request(Method::GET, url, Vec::new(), Bytes::new()).await {
        Ok(answer) if answer.status.is_success() => {
            say("ready");
            Ok(ExitCode::SUCCESS)
        }
        Ok(answer) => {
            complain(format_args!(
                "not ready ({}): {}",
                answer.status,
                String::from_utf8_lossy(&answer.body)
            ));
            Ok(ExitCode::FAILURE)
        }
        Err(failure) => {
            complain(format_args!("no relay answers at {base}: {failure}"));
            Ok(ExitCode::FAILURE)
        }
    }
}
