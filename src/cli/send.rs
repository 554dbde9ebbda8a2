//! `relay send`: posts a body to the running relay the way its sender would.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::Args;
use http::{HeaderName, Method, header};
use url::Url;

use super::client::{reachable, request};
use super::{Global, complain, say, unusable};
use crate::app::{self, SAMPLES, sample};
use crate::config::{self, Secrets};
use crate::source::Source;

#[derive(Debug, Args)]
pub(super) struct SendArgs {
    /// A bundled sample (such as submitted, collected, failed) or a file with a JSON body
    #[arg(value_name = "SAMPLE|FILE")]
    what: String,
    /// The source to send as, where relay.toml has several
    #[arg(long)]
    source: Option<String>,
    /// Where to post, instead of the running relay that relay.toml describes
    #[arg(long)]
    url: Option<Url>,
}

pub(super) async fn run(global: &Global, args: SendArgs) -> anyhow::Result<ExitCode> {
    let body = body(&args.what)?;
    let config = match config::load(&global.inputs(Secrets::Read)) {
        Ok(loaded) => loaded.config,
        Err(findings) => return Ok(unusable(&findings)),
    };
    let sources: Vec<&Source> = config.sources.iter().collect();
    let source = choose(&sources, args.source.as_deref())?;
    let scheme = if config.server.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let own = format!(
        "{scheme}://{}/hooks/{}",
        reachable(config.server.listen),
        source.name
    );
    let url = args
        .url
        .map_or_else(|| Url::parse(&own), Ok)
        .context("the relay's address")?;
    let now = app::system_clock().now();
    let id = format!("msg_{}", now.as_millisecond());
    let mut headers: Vec<(HeaderName, String)> = source.auth.prove(&body, &id, now);
    headers.push((header::CONTENT_TYPE, "application/json".to_owned()));
    match request(Method::POST, url.clone(), headers, body).await {
        Ok(answer) => {
            say(format_args!(
                "{} {}",
                answer.status,
                String::from_utf8_lossy(&answer.body)
            ));
            Ok(if answer.status.is_success() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            })
        }
        Err(failure) => {
            complain(format_args!("no relay answers at {url}: {failure}"));
            complain("  hint: start one with `relay serve`");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// A sample by its name, or a file.
pub(super) fn body(what: &str) -> anyhow::Result<Bytes> {
    if let Some(text) = sample(what) {
        return Ok(Bytes::from_static(text.as_bytes()));
    }
    if !Path::new(what).exists() {
        let known: Vec<&str> = SAMPLES.iter().map(|(name, _)| *name).collect();
        bail!(
            "`{what}` is neither a file nor a sample; the samples are {}",
            known.join(", ")
        );
    }
    Ok(std::fs::read(what)
        .with_context(|| format!("{what} cannot be read"))?
        .into())
}

/// The source that is wanted, or the only one.
pub(super) fn choose<'c>(
    sources: &[&'c Source],
    wanted: Option<&str>,
) -> anyhow::Result<&'c Source> {
    let names = || {
        sources
            .iter()
            .map(|source| &*source.name)
            .collect::<Vec<&str>>()
            .join(", ")
    };
    match (wanted, sources) {
        (_, []) => bail!("relay.toml has no [sources.…] to send as"),
        (None, [only]) => Ok(only),
        (None, _) => bail!(
            "say which source to send as with --source; there are {}",
            names()
        ),
        (Some(name), _) => {
            let found = sources.iter().find(|source| &*source.name == name);
            found
                .copied()
                .with_context(|| format!("there is no source `{name}`; there are {}", names()))
        }
    }
}
