//! `relay presets`: which destinations come ready made, which are the operator's own, and what each needs.

use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use serde_json::json;

use super::{BAD_CONFIGURATION, Global, complain, say};
use crate::config::{About, Finding, Secrets, closest, presets_of};
use crate::destination::preset;

#[derive(Debug, Args)]
pub(super) struct PresetsArgs {
    /// Print the file of this one, or of a base: every key in it can be written over in relay.toml
    name: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(global: &Global, args: &PresetsArgs) -> anyhow::Result<ExitCode> {
    let (all, findings) = presets_of(&global.inputs(Secrets::Skip));
    match &args.name {
        None if args.json => say(format_args!("{:#}", json!(all))),
        None => all.iter().for_each(tell),
        Some(name) => print(&all, name, args.json)?,
    }
    findings.iter().for_each(complain);
    Ok(if findings.iter().any(Finding::is_error) {
        ExitCode::from(BAD_CONFIGURATION)
    } else {
        ExitCode::SUCCESS
    })
}

fn print(all: &[About], name: &str, as_json: bool) -> anyhow::Result<()> {
    let about = all.iter().find(|about| about.name == name);
    let text = about.map(|about| about.text.as_str());
    let Some(text) = text.or_else(|| preset::base(name)) else {
        let names: Vec<&str> = all.iter().map(|about| about.name.as_str()).collect();
        let meant = closest(name, names.iter().copied());
        let hint = meant.map_or_else(
            || format!("there are {}", names.join(", ")),
            |name| format!("did you mean {name}?"),
        );
        bail!("there is no preset `{name}`; {hint}");
    };
    if as_json {
        let mut told = about.map_or_else(|| json!({ "name": name }), |about| json!(about));
        told["text"] = text.into();
        say(format_args!("{told:#}"));
    } else {
        say(text.trim_end());
    }
    Ok(())
}

fn tell(about: &About) {
    let or_none = |text: &str| if text.is_empty() { "-" } else { text }.to_owned();
    let place = about.file.as_ref();
    let place = place.map_or_else(String::new, |file| format!("  ({})", file.display()));
    let vendor = about.vendor_rate.as_ref();
    let vendor = vendor.map_or_else(String::new, |rate| format!(" (the vendor allows {rate})"));
    say(format_args!(
        "{}{place}\n  {}\n  needs                  {}\n  candidate_external_id  {}\n  rate_limit             {}{vendor}\n  facts                  {}\n",
        about.name,
        or_none(&about.title),
        or_none(&about.needs.join(", ")),
        or_none(&about.candidate),
        about.rate_limit,
        or_none(&about.facts)
    ));
}
