//! Routing rules: which destinations an event goes to, and why not to the others.

use std::cell::LazyCell;
use std::ops::Deref;

use serde_json::{Map, Value};

use crate::expr::{Expression, FieldPath, Scope};
use crate::model::{Event, EventType, Name, RouteError};
use crate::template::event_value;

/// Fields of an interview result, as the platform documents them: expressions and templates see each
/// of them, as null where a body lacks it.
pub const RESULT_FIELDS: [&str; 14] = [
    "id",
    "status",
    "interview_id",
    "interview_status",
    "processing_status",
    "profile_interview_id",
    "candidate_external_id",
    "recruiter_go_next_round",
    "ai_analysis_recruiter",
    "score",
    "ai_analysis_recruiter_score",
    "ai_analysis_recruiter_why_hire",
    "ai_analysis_recruiter_why_not_hire",
    "pdf_export_url",
];

/// Event types a route takes when it names none: `interview.other` must be asked for.
pub const DEFAULT_EVENTS: [&str; 3] = [
    "interview.submitted",
    "interview.collected",
    "interview.failed",
];

/// One `[[routes]]` block.
#[derive(Debug)]
pub struct Route {
    pub name: Name,
    /// Sources it listens to; None for every one.
    pub from: Option<Vec<Name>>,
    /// Event types it takes.
    pub events: Vec<Glob>,
    /// At least one of these fields differs from the previous revision; empty for no such condition.
    pub changed: Vec<String>,
    /// What `changed` means on a first revision: true (the default): the field is not null; false:
    /// first revisions never match. Without `changed`, false leaves first revisions out.
    pub first: bool,
    pub when: Option<Expression>,
    /// Destinations, in the order written.
    pub to: Vec<Name>,
    /// Values for templates, over the destination's own.
    pub with: Map<String, Value>,
    /// Later routes are not looked at once this one matched.
    pub stop: bool,
}

/// A payload as a value, made when the first rule looks into it: most events are routed by their type alone,
/// and making a value costs as much as all else that is done with a body.
pub struct Payload<'a>(LazyCell<Value, Box<dyn FnOnce() -> Value + 'a>>);

/// All routes, in the order written.
#[derive(Debug, Default)]
pub struct Routes {
    routes: Vec<Route>,
    reads: Vec<FieldPath>,
}

/// Where an event goes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Each destination once, with the first route that named it.
    pub to: Vec<Chosen>,
    /// Routes whose `when` could not be evaluated.
    pub errors: Vec<RouteError>,
}

/// A destination and the route that chose it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    pub destination: Name,
    pub route: Name,
}

/// What one route made of an event.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Matched,
    /// It listens to other sources.
    OtherSource,
    /// It takes other event types.
    OtherType,
    /// A first revision, and `first` is false.
    FirstRevision,
    /// None of the fields in `changed` changed.
    Unchanged,
    /// `when` is false.
    False,
    /// `when` could not be evaluated: that is no match.
    Failed(String),
    /// An earlier route with `stop` matched.
    Stopped {
        by: Name,
    },
}

/// One condition of a route. They are asked in this order, and the first that says no decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Clause {
    From,
    Events,
    First,
    Changed,
    When,
}

/// A pattern for event types: `*` stands for any run of characters, also across dots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(String);

impl<'a> Payload<'a> {
    pub fn new(make: impl FnOnce() -> Value + 'a) -> Self {
        Self(LazyCell::new(Box::new(make)))
    }
}

impl From<Value> for Payload<'_> {
    fn from(value: Value) -> Self {
        Self::new(|| value)
    }
}

impl Deref for Payload<'_> {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.0
    }
}

impl Clause {
    /// What a route came to where this clause says no.
    fn otherwise(self) -> Outcome {
        match self {
            Self::From => Outcome::OtherSource,
            Self::Events => Outcome::OtherType,
            Self::First => Outcome::FirstRevision,
            Self::Changed => Outcome::Unchanged,
            Self::When => Outcome::False,
        }
    }
}

impl Route {
    /// The clauses that this route has, in the order in which they are asked.
    pub fn clauses(&self) -> impl Iterator<Item = Clause> + use<> {
        let written = [
            (Clause::From, self.from.is_some()),
            (Clause::Events, true),
            (Clause::First, !self.first),
            (Clause::Changed, !self.changed.is_empty()),
            (Clause::When, self.when.is_some()),
        ];
        let written = written.into_iter().filter(|(_, written)| *written);
        written.map(|(clause, _)| clause)
    }

    /// Whether the event came through a source of this route.
    pub fn listens_to(&self, event: &Event) -> bool {
        self.hears(&event.source)
    }

    /// Whether it listens to this source.
    pub fn hears(&self, source: &Name) -> bool {
        self.from.as_ref().is_none_or(|from| from.contains(source))
    }

    /// Whether the event is of a type of this route.
    pub fn takes(&self, event: &Event) -> bool {
        self.events
            .iter()
            .any(|glob| glob.matches(&event.event_type))
    }
}

impl Routes {
    pub fn new(routes: Vec<Route>) -> Self {
        let mut reads: Vec<FieldPath> = routes
            .iter()
            .filter_map(|route| route.when.as_ref())
            .flat_map(|when| when.reads().to_vec())
            .collect();
        reads.sort();
        reads.dedup();
        Self { routes, reads }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter()
    }

    /// Fields that expressions read.
    pub fn reads(&self) -> &[FieldPath] {
        &self.reads
    }

    /// Whether some expression looks at the previous revision's payload.
    pub fn reads_previous(&self) -> bool {
        self.reads
            .iter()
            .any(|path| path.first().is_some_and(|root| root == "previous"))
    }

    /// Which destinations `event` goes to. `result` is its payload, `previous` that of the revision before or null.
    pub fn decide(&self, event: &Event, result: &Payload<'_>, previous: &Payload<'_>) -> Decision {
        let mut decision = Decision::default();
        for (route, outcome) in self.trace(event, result, previous) {
            match outcome {
                Outcome::Matched => {
                    for destination in &route.to {
                        if decision
                            .to
                            .iter()
                            .all(|chosen| chosen.destination != *destination)
                        {
                            let (destination, route) = (destination.clone(), route.name.clone());
                            decision.to.push(Chosen { destination, route });
                        }
                    }
                }
                Outcome::Failed(error) => {
                    decision.errors.push(RouteError {
                        route: route.name.to_string(),
                        error,
                    });
                }
                _ => {}
            }
        }
        decision
    }

    /// What each route makes of `event`, in order: the one account that routing and its explanation share.
    pub fn trace(
        &self,
        event: &Event,
        result: &Payload<'_>,
        previous: &Payload<'_>,
    ) -> Vec<(&Route, Outcome)> {
        let mut scope = None;
        let mut stopped: Option<Name> = None;
        let judge = |route| {
            if let Some(by) = &stopped {
                return (route, Outcome::Stopped { by: by.clone() });
            }
            let outcome = self.judge(route, (event, result, previous), &mut scope);
            if route.stop && outcome == Outcome::Matched {
                stopped = Some(route.name.clone());
            }
            (route, outcome)
        };
        self.routes.iter().map(judge).collect()
    }

    /// What each clause of `route` says of `event`, also those that routing no longer asks after one
    /// that says no.
    pub fn clauses(
        &self,
        route: &Route,
        event: &Event,
        result: &Payload<'_>,
        previous: &Payload<'_>,
    ) -> Vec<(Clause, Result<bool, String>)> {
        let facts = (event, result, previous);
        let mut scope = None;
        let clauses = route.clauses();
        clauses
            .map(|clause| (clause, self.holds(clause, route, facts, &mut scope)))
            .collect()
    }

    fn judge(
        &self,
        route: &Route,
        facts: (&Event, &Payload<'_>, &Payload<'_>),
        scope: &mut Option<Scope>,
    ) -> Outcome {
        for clause in route.clauses() {
            match self.holds(clause, route, facts, scope) {
                Ok(true) => {}
                Ok(false) => return clause.otherwise(),
                Err(error) => return Outcome::Failed(error),
            }
        }
        Outcome::Matched
    }

    fn holds(
        &self,
        clause: Clause,
        route: &Route,
        facts: (&Event, &Payload<'_>, &Payload<'_>),
        scope: &mut Option<Scope>,
    ) -> Result<bool, String> {
        let (event, result, previous) = facts;
        let news = |field: &String| is_news(field, event, result);
        match clause {
            Clause::From => Ok(route.listens_to(event)),
            Clause::Events => Ok(route.takes(event)),
            Clause::First => Ok(event.revision != 1),
            Clause::Changed => Ok(route.changed.iter().any(news)),
            Clause::When => {
                let scope = scope.get_or_insert_with(|| self.scope(event, result, previous));
                evaluate(route, scope)
            }
        }
    }

    /// Built once for an event, not for each route.
    fn scope(&self, event: &Event, result: &Value, previous: &Value) -> Scope {
        let fields = RESULT_FIELDS.iter().flat_map(|field| {
            ["result", "previous"].map(|root| vec![root.to_owned(), (*field).to_owned()])
        });
        let reads: Vec<FieldPath> = fields.chain(self.reads.iter().cloned()).collect();
        Scope::new(
            &[
                ("event", &event_value(event, &event.changed)),
                ("result", result),
                ("previous", previous),
            ],
            &reads,
        )
    }
}

fn evaluate(route: &Route, scope: &mut Scope) -> Result<bool, String> {
    let Some(when) = &route.when else {
        return Ok(true);
    };
    scope.replace("with", &Value::Object(route.with.clone()), when.reads());
    when.test(scope)
}

/// A changed field, or on a first revision one that is not null.
fn is_news(field: &str, event: &Event, result: &Payload<'_>) -> bool {
    if event.revision == 1 {
        result.get(field).is_some_and(|value| !value.is_null())
    } else {
        event.changed.iter().any(|changed| changed == field)
    }
}

impl Glob {
    pub fn new(pattern: &str) -> Self {
        Self(pattern.to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the pattern covers the whole type.
    pub fn matches(&self, event_type: &EventType) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = event_type.as_str().strip_prefix(first) else {
            return false;
        };
        let mut parts = parts.peekable();
        if parts.peek().is_none() {
            return rest.is_empty();
        }
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return rest.ends_with(part);
            }
            let Some(at) = rest.find(part) else {
                return false;
            };
            rest = rest.split_at(at + part.len()).1;
        }
        true
    }
}

#[cfg(test)]
mod tests;
