//! `relay check`: everything that can be known of a configuration without starting anything.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde_json::json;

use super::client::Office;
use super::{BAD_CONFIGURATION, Global, running, say};
use crate::app::{self, Look, Ready, rehearse};
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
    /// Look at hosts, certificates, the store and the running relay too, and ask Slack whether it knows a bot;
    /// nothing is delivered
    #[arg(long, conflicts_with = "no_secrets")]
    online: bool,
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// What a check came to.
#[derive(Default)]
struct Checked {
    findings: Vec<Finding>,
    /// What was looked through, in words; empty where nothing could be.
    done: String,
    tests_passed: usize,
    online: Vec<Look>,
}

pub(super) async fn run(global: &Global, args: CheckArgs) -> anyhow::Result<ExitCode> {
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
    let checked = match app::load(&inputs) {
        Err(findings) => Checked {
            findings,
            ..Checked::default()
        },
        Ok(ready) => Checked::of(&ready, args.online).await,
    };
    let errors = checked.findings.iter().filter(|one| one.is_error()).count();
    let sound = errors == 0 && (checked.findings.is_empty() || !args.deny_warnings);
    let reached = checked.online.iter().all(|look| look.ok);
    match args.format {
        Format::Json => say(json!({
            "ok": sound && reached,
            "tests_passed": checked.tests_passed,
            "findings": checked.findings,
            "online": checked.online,
        })),
        Format::Text => tell(&checked, errors),
    }
    Ok(match (sound, reached) {
        (false, _) => ExitCode::from(BAD_CONFIGURATION),
        (true, false) => ExitCode::FAILURE,
        (true, true) => ExitCode::SUCCESS,
    })
}

impl Checked {
    async fn of(ready: &Ready, online: bool) -> Self {
        let rehearsal = rehearse(ready, app::system_clock().now());
        let rules = &ready.compiled.rules;
        let tests = match rehearsal.passed {
            0 => String::new(),
            passed => format!("; {} passed", count(passed, "test")),
        };
        let done = format!(
            "{}: {}, {}, {}; {} rendered from samples{tests}",
            ready.config.file.display(),
            count(rules.sources.len(), "source"),
            count(rules.destinations.len(), "destination"),
            count(rules.routes.iter().count(), "route"),
            count(rehearsal.rendered, "message"),
        );
        let mut findings = ready.warnings.clone();
        findings.extend(rehearsal.findings);
        if online && let Ok(office) = Office::meant_by(&ready.config) {
            findings.extend(running::doubts(ready, &office).await);
        }
        Self {
            findings,
            done,
            tests_passed: rehearsal.passed,
            online: if online {
                app::look_online(ready, &*app::network(), &app::names()).await
            } else {
                Vec::new()
            },
        }
    }
}

fn tell(checked: &Checked, errors: usize) {
    checked.findings.iter().for_each(say);
    for look in &checked.online {
        let mark = if look.ok { "ok   " } else { "FAILS" };
        let whose = match look.destinations.as_slice() {
            [] => String::new(),
            names => format!(" ({})", names.join(", ")),
        };
        say(format_args!("{mark} {}{whose}: {}", look.what, look.words));
    }
    if !checked.done.is_empty() {
        say(&checked.done);
    }
    let warnings = checked.findings.len() - errors;
    let unreached = checked.online.iter().filter(|look| !look.ok).count();
    let online = match unreached {
        0 => String::new(),
        many => format!(", {many} not as needed online"),
    };
    let verdict = match (errors, warnings) {
        (0, 0) if unreached > 0 => "0 errors".to_owned(),
        (0, 0) => "ok".to_owned(),
        (0, _) => format!("ok, with {}", count(warnings, "warning")),
        _ => format!("{}, {}", count(errors, "error"), count(warnings, "warning")),
    };
    say(format_args!("{verdict}{online}"));
}

fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}
