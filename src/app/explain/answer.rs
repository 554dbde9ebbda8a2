//! The answer to "what would happen?", for people and for scripts.

use serde::Serialize;
use serde_json::Value;

use super::{Facts, history};
use crate::destination::{Shown, Unsendable};
use crate::expr::{Expression, FieldPath};
use crate::model::{EventType, after};
use crate::route::{Clause, Glob, Outcome, Route};
use crate::store::NewDelivery;

/// Longest value that is shown of a field, in characters.
const SHOWN: usize = 80;

#[derive(Debug, Serialize)]
pub struct Explanation {
    pub source: String,
    #[serde(rename = "type")]
    pub event_type: EventType,
    pub subject: Option<String>,
    pub revision: u32,
    pub changed: Vec<String>,
    /// Equal to the previous revision: nothing at all would happen.
    pub duplicate: bool,
    pub routes: Vec<RouteAnswer>,
    pub deliveries: Vec<DeliveryAnswer>,
}

/// What one route makes of it.
#[derive(Debug, Serialize)]
pub struct RouteAnswer {
    pub route: String,
    pub matched: bool,
    /// Every clause that it has, also those after the first that says no.
    pub clauses: Vec<ClauseAnswer>,
    pub to: Vec<String>,
}

/// One clause, what it saw and what it says.
#[derive(Clone, Debug, Serialize)]
pub struct ClauseAnswer {
    /// None where a route above stopped everything.
    #[serde(skip)]
    pub kind: Option<Clause>,
    /// As it is written.
    pub clause: String,
    pub saw: Vec<String>,
    pub answer: Answer,
    /// Why it could not be evaluated; that is no match.
    pub error: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    True,
    False,
    Error,
}

/// What one destination would be sent.
#[derive(Debug, Serialize)]
pub struct DeliveryAnswer {
    pub destination: String,
    pub route: String,
    /// Earlier revisions that it takes the place of, where they have not gone out.
    pub supersedes: Vec<String>,
    /// An earlier revision was skipped for want of a field that is there now: it goes out whatever changed.
    pub takes_up: bool,
    /// So long it waits for further revisions, such as "20s".
    pub settles: Option<String>,
    /// `request`, or the state that the delivery would end in and why.
    #[serde(flatten)]
    pub outcome: DeliveryOutcome,
}

/// A request, or none.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryOutcome {
    Request(Shown),
    Skipped { reason: String },
    Dead { reason: String },
}

impl RouteAnswer {
    /// The clause that decided: the first that says no, or else the last.
    pub fn deciding(&self) -> Option<&ClauseAnswer> {
        let no = self
            .clauses
            .iter()
            .find(|clause| clause.answer != Answer::True);
        no.or(self.clauses.last())
    }
}

impl std::fmt::Display for ClauseAnswer {
    /// `when = result.score > 4: false (result.score = 3.9)`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: ", self.clause)?;
        match (&self.error, self.answer) {
            (Some(error), _) => write!(f, "cannot be evaluated: {error}")?,
            (None, Answer::True) => f.write_str("true")?,
            (None, _) => f.write_str("false")?,
        }
        match self.saw.as_slice() {
            [] => Ok(()),
            saw => write!(f, " ({})", saw.join(", ")),
        }
    }
}

impl Facts<'_> {
    pub(super) fn explanation(&self) -> Explanation {
        let event = &self.event;
        let duplicate = self.deliveries.is_none();
        Explanation {
            source: event.source.to_string(),
            event_type: event.event_type.clone(),
            subject: event
                .subject
                .as_ref()
                .map(|subject| subject.as_str().to_owned()),
            revision: event.revision,
            changed: event.changed.clone(),
            duplicate,
            routes: if duplicate { Vec::new() } else { self.routes() },
            deliveries: self.deliveries(),
        }
    }

    /// What each route makes of it, in order.
    pub(in crate::app) fn routes(&self) -> Vec<RouteAnswer> {
        let routes = &self.ready.compiled.rules.routes;
        let trace = routes.trace(&self.event, &self.result, &self.previous);
        trace
            .into_iter()
            .map(|(route, outcome)| self.route(route, &outcome))
            .collect()
    }

    fn route(&self, route: &Route, outcome: &Outcome) -> RouteAnswer {
        let routes = &self.ready.compiled.rules.routes;
        let held = routes.clauses(route, &self.event, &self.result, &self.previous);
        let stopped = match outcome {
            Outcome::Stopped { by } => Some(ClauseAnswer {
                kind: None,
                clause: format!("no route above stops ({by} did)"),
                saw: Vec::new(),
                answer: Answer::False,
                error: None,
            }),
            _ => None,
        };
        let clauses = held.into_iter().map(|(clause, holds)| ClauseAnswer {
            kind: Some(clause),
            clause: written(route, clause),
            saw: self.saw(route, clause),
            answer: match holds {
                Ok(true) => Answer::True,
                Ok(false) => Answer::False,
                Err(_) => Answer::Error,
            },
            error: holds.err(),
        });
        RouteAnswer {
            route: route.name.to_string(),
            matched: *outcome == Outcome::Matched,
            clauses: stopped.into_iter().chain(clauses).collect(),
            to: route.to.iter().map(ToString::to_string).collect(),
        }
    }

    fn saw(&self, route: &Route, clause: Clause) -> Vec<String> {
        let event = &self.event;
        match clause {
            Clause::From => vec![format!("source = {:?}", &*event.source)],
            Clause::Events => vec![format!("type = {:?}", event.event_type.as_str())],
            Clause::First => vec![format!("revision = {}", event.revision)],
            Clause::Changed if event.revision == 1 => {
                let path = |field: &String| vec!["result".to_owned(), field.clone()];
                let fields = route.changed.iter().map(path);
                fields.map(|path| self.seen(route, &path)).collect()
            }
            Clause::Changed => vec![format!("changed = {:?}", event.changed)],
            Clause::When => {
                let paths = route.when.iter().flat_map(Expression::looks_at);
                paths.map(|path| self.seen(route, &path)).collect()
            }
        }
    }

    /// A field and its value; a long value is cut.
    fn seen(&self, route: &Route, path: &FieldPath) -> String {
        let root = match path.first().map(String::as_str) {
            Some("result") => self.result.clone(),
            Some("previous") => self.previous.clone(),
            Some("with") => Value::Object(route.with.clone()),
            _ => crate::template::event_value(&self.event, &self.event.changed),
        };
        let mut keys = path.iter().skip(1);
        let value = keys.try_fold(&root, |value, key| value.get(key));
        let text = value.unwrap_or(&Value::Null).to_string();
        let mut shown: String = text.chars().take(SHOWN).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        format!("{} = {shown}", path.join("."))
    }

    fn deliveries(&self) -> Vec<DeliveryAnswer> {
        let planned = self.deliveries.iter().flatten().enumerate();
        let answer = |(number, delivery): (usize, &NewDelivery)| {
            let rules = &self.ready.compiled.rules;
            let destination = rules.destinations.get(&delivery.destination)?;
            let number = u16::try_from(number).unwrap_or(u16::MAX);
            let id = self.event.id.delivery(number);
            let outcome = match (&delivery.skipped, self.request(destination, delivery, id)) {
                (Some(reason), _) => DeliveryOutcome::Skipped {
                    reason: reason.clone(),
                },
                (None, Ok(request)) => DeliveryOutcome::Request(destination.show(&request)),
                (None, Err(Unsendable::Skipped { field })) => DeliveryOutcome::Skipped {
                    reason: format!("{field} is null"),
                },
                (None, Err(Unsendable::Dead { reason })) => DeliveryOutcome::Dead { reason },
            };
            let supersedes = delivery.supersedes && delivery.skipped.is_none();
            Some(DeliveryAnswer {
                destination: delivery.destination.to_string(),
                route: delivery.route.to_string(),
                takes_up: delivery.takes_up,
                settles: delivery.settle_by.map(|_| {
                    let wait = after(self.event.received_at, delivery.due_at);
                    humantime::format_duration(wait).to_string()
                }),
                supersedes: if supersedes {
                    history::superseded(
                        self.question.history,
                        &delivery.destination,
                        self.event.revision,
                    )
                } else {
                    Vec::new()
                },
                outcome,
            })
        };
        planned.filter_map(answer).collect()
    }
}

/// A clause as relay.toml has it, defaults included.
fn written(route: &Route, clause: Clause) -> String {
    match clause {
        Clause::From => {
            let from: Vec<&str> = route.from.iter().flatten().map(|name| &**name).collect();
            format!("from = {from:?}")
        }
        Clause::Events => {
            let events: Vec<&str> = route.events.iter().map(Glob::as_str).collect();
            format!("events = {events:?}")
        }
        Clause::First => "first = false".to_owned(),
        Clause::Changed => format!("changed = {:?}", route.changed),
        Clause::When => {
            let when = route.when.as_ref().map(Expression::text);
            format!("when = {}", when.unwrap_or_default())
        }
    }
}
