//! `relay explain`: what would become of a body, and which clause says so. Nothing is sent.

use std::process::ExitCode;

use anyhow::Context as _;
use bytes::Bytes;
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use super::client::{AdminArgs, Office};
use super::send::{body, choose};
use super::stored::StoredEvent;
use super::{Global, assignment, complain, say, unusable};
use crate::app::{
    self, DeliveryAnswer, DeliveryOutcome, Explanation, Past, Question, Ready, RouteAnswer,
    Samples, edited,
};
use crate::config::{Secrets, closest};
use crate::route::RESULT_FIELDS;
use crate::source::Source;

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// A sample (bundled, such as submitted, or your own) or a file with a JSON body
    #[arg(value_name = "SAMPLE|FILE", required_unless_present_any = ["event", "candidate"])]
    payload: Option<String>,
    /// The revision before: a sample or a file. Without it the body is a first revision
    #[arg(long, value_name = "SAMPLE|FILE", requires = "payload")]
    previous: Option<String>,
    /// Change a top-level field of the body, such as score=6.4 (may be repeated)
    #[arg(long, value_name = "FIELD=JSON", value_parser = field)]
    set: Vec<(String, String)>,
    /// The source that it comes through, where relay.toml has several
    #[arg(long, requires = "payload")]
    source: Option<String>,
    /// An event that the running relay has taken, with what became of it
    #[arg(long, value_name = "ID", conflicts_with = "payload")]
    event: Option<String>,
    /// The newest event of each interview of a candidate, by the id in your ATS
    #[arg(long, value_name = "ID", conflicts_with_all = ["payload", "event"])]
    candidate: Option<String>,
    #[command(flatten)]
    admin: AdminArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is told of an event that the relay has: what would become of it, and what did.
#[derive(Serialize)]
struct Told {
    id: String,
    received_at: Timestamp,
    /// What was kept of its payload; null for the whole.
    kept_fields: Option<Vec<String>>,
    #[serde(flatten)]
    explanation: Explanation,
    became: Vec<Became>,
}

#[derive(Serialize)]
struct Became {
    destination: String,
    route: String,
    state: String,
    last_error: Option<String>,
    attempts: usize,
}

pub(super) async fn run(global: &Global, args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    // What a request would look like needs no secrets: they would be masked.
    let ready = match app::load(&global.inputs(Secrets::Skip)) {
        Ok(ready) => ready,
        Err(findings) => return Ok(unusable(&findings)),
    };
    let set = args.set.iter().map(|(field, text)| value(field, text));
    let desk = Desk {
        ready: &ready,
        set: set.collect(),
        now: app::system_clock().now(),
    };
    if let Some(payload) = &args.payload {
        let explanation = desk.body(payload, args)?;
        if args.json {
            say(serde_json::to_string_pretty(&explanation)?);
        } else {
            tell(&explanation);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let office = Office::of(global, &args.admin)?;
    let told = match (&args.event, &args.candidate) {
        (Some(id), _) => vec![desk.stored(&office, office.event(id).await?).await?],
        (None, candidate) => {
            let candidate = candidate.as_deref().unwrap_or_default();
            let mut told = Vec::new();
            for event in office.newest_of(candidate).await? {
                told.push(desk.stored(&office, event).await?);
            }
            told
        }
    };
    match (args.json, &args.event) {
        (true, Some(_)) => say(serde_json::to_string_pretty(&told[0])?),
        (true, None) => say(serde_json::to_string_pretty(&told)?),
        (false, _) => told.iter().for_each(tell_stored),
    }
    if told.is_empty() && !args.json {
        say("The relay has no event of this candidate.");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// A field and the value that it is set to.
fn field(text: &str) -> Result<(String, String), String> {
    let words = "write FIELD=JSON, such as score=6.4";
    let (field, value) = assignment(text).map_err(|_| words)?;
    if !RESULT_FIELDS.contains(&field.as_str())
        && let Some(meant) = closest(&field, RESULT_FIELDS)
    {
        complain(format_args!(
            "warning: `{field}` is no field of an interview result; did you mean `{meant}`?"
        ));
    }
    Ok((field, value))
}

/// What bodies are explained by.
struct Desk<'a> {
    ready: &'a Ready,
    set: Map<String, Value>,
    now: Timestamp,
}

impl Desk<'_> {
    /// A body that nobody has sent yet.
    fn body(&self, payload: &str, args: &ExplainArgs) -> anyhow::Result<Explanation> {
        let (samples, _) = Samples::of(self.ready);
        let source = source(self.ready, args.source.as_deref())?;
        let find = |what: &str| samples.named(what, source).map_or_else(|| body(what), Ok);
        let payload = self.edited(&find(payload)?)?;
        let history = match &args.previous {
            Some(previous) => {
                let past = Past::supposed(self.ready, source, &find(previous)?, self.now);
                vec![past.context("the previous body")?]
            }
            None => Vec::new(),
        };
        let question = Question::new(source, &payload, &history, self.now);
        app::explain(self.ready, question).context("the body")
    }

    /// An event that the relay has taken, by the rules at hand.
    async fn stored(&self, office: &Office, event: StoredEvent) -> anyhow::Result<Told> {
        let source = source(self.ready, Some(&event.source))?;
        let (event_type, subject) = event.kind();
        let headers = source.kind.headers_of(&event_type, subject.as_ref());
        let payload = self.edited(&event.payload()?)?;
        let history = office.history(&event).await?;
        let (whole, kept) = (event.payload()?, event.kept());
        let known = event.as_kept((&whole, kept.as_ref()), &history);
        let question = Question {
            headers: &headers,
            stored: Some((event.id()?, event.received_at)),
            as_kept: known,
            ..Question::new(source, &payload, &history, self.now)
        };
        let explanation = app::explain(self.ready, question).context("the stored body")?;
        let became = event.deliveries.iter().map(|delivery| Became {
            destination: delivery.destination.clone(),
            route: delivery.route.clone(),
            state: delivery.state.clone(),
            last_error: delivery.last_error.clone(),
            attempts: delivery.attempts.len(),
        });
        Ok(Told {
            id: event.id()?.to_string(),
            received_at: event.received_at,
            kept_fields: event.kept_fields.clone(),
            explanation,
            became: became.collect(),
        })
    }

    fn edited(&self, body: &Bytes) -> anyhow::Result<Bytes> {
        edited(body, &self.set, &[]).context("--set needs a body that is a JSON object")
    }
}

fn tell_stored(told: &Told) {
    say(format_args!("{} of {}", told.id, told.received_at));
    if told.became.is_empty() {
        say("It went nowhere.");
    } else {
        say("What became of it:");
    }
    for became in &told.became {
        let (destination, route, state) = (&became.destination, &became.route, &became.state);
        let why = became.last_error.as_ref();
        let why = why.map_or(String::new(), |why| format!(": {why}"));
        let attempts = match became.attempts {
            1 => "1 attempt".to_owned(),
            count => format!("{count} attempts"),
        };
        say(format_args!(
            "  {destination} (by route {route}): {state} after {attempts}{why}"
        ));
    }
    if let Some(fields) = &told.kept_fields {
        say(format_args!(
            "\nOnly a part of its body was kept ({}): any other field reads as null below, whatever it was.",
            fields.join(", ")
        ));
    }
    say("\nBy the relay.toml at hand:");
    tell(&told.explanation);
    say("");
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
    if delivery.takes_up {
        say("  an earlier revision was skipped for a field that is there now");
    }
    if let Some(wait) = &delivery.settles {
        say(format_args!("  waits {wait} for further revisions"));
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
