//! `relay explain`: what would become of a body, and which clause says so. Nothing is sent.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use serde_json::{Map, Value};

use super::send::{body, choose};
use super::{Global, assignment, say, unusable};
use crate::app::{
    self, DeliveryAnswer, DeliveryOutcome, Explanation, Past, Question, Ready, RouteAnswer,
    Samples, edited,
};
use crate::config::Secrets;
use crate::source::Source;

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// A bundled sample (such as submitted, collected, failed) or a file with a JSON body
    #[arg(value_name = "SAMPLE|FILE")]
    payload: String,
    /// The revision before: a sample or a file. Without it the body is a first revision
    #[arg(long, value_name = "SAMPLE|FILE")]
    previous: Option<String>,
    /// Change a top-level field of the body, such as score=6.4 (may be repeated)
    #[arg(long, value_name = "FIELD=JSON", value_parser = assignment)]
    set: Vec<(String, String)>,
    /// The source that it comes through, where relay.toml has several
    #[arg(long)]
    source: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(global: &Global, args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    // What a request would look like needs no secrets: they would be masked.
    let ready = match app::load(&global.inputs(Secrets::Skip)) {
        Ok(ready) => ready,
        Err(findings) => return Ok(unusable(&findings)),
    };
    let (samples, _) = Samples::of(&ready);
    let source = source(&ready, args.source.as_deref())?;
    let find = |what: &str| samples.named(what, source).map_or_else(|| body(what), Ok);
    let set: Map<String, Value> = args
        .set
        .iter()
        .map(|(field, text)| value(field, text))
        .collect();
    let payload = edited(&find(&args.payload)?, &set, &[])
        .context("--set needs a body that is a JSON object")?;
    let now = app::system_clock().now();
    let history = match &args.previous {
        Some(previous) => {
            let past = Past::supposed(&ready, source, &find(previous)?, now);
            vec![past.context("the previous body")?]
        }
        None => Vec::new(),
    };
    let question = Question::new(source, &payload, &history, now);
    let explanation = app::explain(&ready, question).context("the body")?;
    if args.json {
        say(serde_json::to_string_pretty(&explanation)?);
    } else {
        tell(&explanation);
    }
    Ok(ExitCode::SUCCESS)
}

fn source<'r>(ready: &'r Ready, wanted: Option<&str>) -> anyhow::Result<&'r Source> {
    let sources = ready.compiled.rules.sources.values();
    let mut sources: Vec<&Source> = sources.map(|source| &**source).collect();
    sources.sort_by(|a, b| a.name.cmp(&b.name));
    choose(&sources, wanted)
}

/// A field and its new value, which is taken as text where it is no JSON.
fn value(field: &str, text: &str) -> (String, Value) {
    let value = serde_json::from_str(text);
    (field.to_owned(), value.unwrap_or_else(|_| text.into()))
}

fn tell(explanation: &Explanation) {
    let subject = explanation.subject.as_deref().unwrap_or("none");
    say(format_args!(
        "{} from {}, subject {subject}, revision {}",
        explanation.event_type, explanation.source, explanation.revision
    ));
    if !explanation.changed.is_empty() {
        say(format_args!("changed: {}", explanation.changed.join(", ")));
    }
    if explanation.duplicate {
        say("It equals the revision before: a duplicate, and nothing is delivered.");
    }
    say("");
    explanation.routes.iter().for_each(tell_route);
    if explanation.deliveries.is_empty() && !explanation.duplicate {
        say("\nNo route matches: the event is kept and goes nowhere.");
    }
    explanation.deliveries.iter().for_each(tell_delivery);
}

fn tell_route(route: &RouteAnswer) {
    let answer = if route.matched { "yes" } else { "no" };
    say(format_args!(
        "{answer:>3}  route {} -> {}",
        route.route,
        route.to.join(", ")
    ));
    for clause in &route.clauses {
        say(format_args!("       {clause}"));
    }
}

fn tell_delivery(delivery: &DeliveryAnswer) {
    say(format_args!(
        "\n{} (by route {})",
        delivery.destination, delivery.route
    ));
    for superseded in &delivery.supersedes {
        say(format_args!("  takes the place of {superseded}"));
    }
    match &delivery.outcome {
        DeliveryOutcome::Skipped { reason } => say(format_args!("  skipped: {reason}")),
        DeliveryOutcome::Dead { reason } => say(format_args!("  dead: {reason}")),
        DeliveryOutcome::Request(request) => {
            say(format_args!("  {} {}", request.method, request.url));
            for (name, value) in &request.headers {
                say(format_args!("  {name}: {value}"));
            }
            let json: Option<Value> = serde_json::from_str(&request.body).ok();
            let pretty = json.and_then(|json| serde_json::to_string_pretty(&json).ok());
            say(format_args!(
                "\n  {}",
                pretty.unwrap_or(request.body.clone()).replace('\n', "\n  ")
            ));
        }
    }
}
