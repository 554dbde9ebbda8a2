//! `relay check`: everything that can be known of a configuration without starting anything.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde_json::json;

use super::{BAD_CONFIGURATION, Global, say};
use crate::app::{self, rehearse};
use crate::config::{Finding, Secrets};

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The file to check, instead of --config
    file: Option<PathBuf>,
    /// Do not read secrets and certificates: for machines that have none, such as CI
    #[arg(long)]
    no_secrets: bool,
    /// A folder of bodies to try everything with, instead of `samples_dir` in the file
    #[arg(long, value_name = "DIR")]
    samples: Option<PathBuf>,
    /// Take warnings for errors: exit 78 if there is one
    #[arg(long)]
    deny_warnings: bool,
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

pub(super) fn run(global: &Global, args: CheckArgs) -> anyhow::Result<ExitCode> {
    let secrets = if args.no_secrets {
        Secrets::Skip
    } else {
        Secrets::Read
    };
    let mut inputs = global.inputs(secrets);
    if let Some(file) = args.file {
        inputs.file = file;
    }
    if let Some(folder) = args.samples {
        let folder = std::path::absolute(folder)?;
        let folder = folder.to_str().context("--samples is no text")?;
        inputs
            .flags
            .push(("samples_dir".to_owned(), folder.to_owned()));
    }
    let (findings, done, passed) = match app::load(&inputs) {
        Err(findings) => (findings, String::new(), 0),
        Ok(ready) => {
            let rehearsal = rehearse(&ready, app::system_clock().now());
            let rules = &ready.compiled.rules;
            let tests = match rehearsal.passed {
                0 => String::new(),
                passed => format!("; {} passed", count(passed, "test")),
            };
            let done = format!(
                "{}: {}, {}, {}; {} rendered from samples{tests}",
                inputs.file.display(),
                count(rules.sources.len(), "source"),
                count(rules.destinations.len(), "destination"),
                count(rules.routes.iter().count(), "route"),
                count(rehearsal.rendered, "message"),
            );
            (
                ready
                    .warnings
                    .iter()
                    .cloned()
                    .chain(rehearsal.findings)
                    .collect(),
                done,
                rehearsal.passed,
            )
        }
    };
    let errors = findings.iter().filter(|finding| finding.is_error()).count();
    let ok = errors == 0 && (findings.is_empty() || !args.deny_warnings);
    match args.format {
        Format::Json => say(json!({ "ok": ok, "tests_passed": passed, "findings": findings })),
        Format::Text => tell(&findings, errors, &done),
    }
    Ok(if ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(BAD_CONFIGURATION)
    })
}

fn tell(findings: &[Finding], errors: usize, done: &str) {
    findings.iter().for_each(say);
    if !done.is_empty() {
        say(done);
    }
    let warnings = findings.len() - errors;
    say(match (errors, warnings) {
        (0, 0) => "ok".to_owned(),
        (0, _) => format!("ok, with {}", count(warnings, "warning")),
        _ => format!("{}, {}", count(errors, "error"), count(warnings, "warning")),
    });
}

fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}
