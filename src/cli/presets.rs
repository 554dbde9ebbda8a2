//! `relay presets`: which destinations come ready made, and what each needs.

use std::process::ExitCode;

use anyhow::bail;
use clap::Args;

use super::say;
use crate::config::{About, closest, presets};

#[derive(Debug, Args)]
pub(super) struct PresetsArgs {
    /// Print the file of this one: every key in it can be written over in relay.toml
    name: Option<String>,
}

pub(super) fn run(args: &PresetsArgs) -> anyhow::Result<ExitCode> {
    let all = presets();
    let Some(name) = &args.name else {
        all.iter().for_each(tell);
        return Ok(ExitCode::SUCCESS);
    };
    let Some(about) = all.iter().find(|about| about.name == name) else {
        let names: Vec<&str> = all.iter().map(|about| about.name).collect();
        let meant = closest(name, names.iter().copied());
        let hint = meant.map_or_else(
            || format!("there are {}", names.join(", ")),
            |name| format!("did you mean {name}?"),
        );
        bail!("there is no preset `{name}`; {hint}");
    };
    say(about.text.trim_end());
    Ok(ExitCode::SUCCESS)
}

fn tell(about: &About) {
    say(format_args!(
        "{}\n  {}\n  needs                  {}\n  candidate_external_id  {}\n  rate_limit             {}\n  facts                  {}\n",
        about.name,
        about.title,
        about.needs.join(", "),
        about.candidate,
        about.rate_limit,
        about.facts
    ));
}
