//! What would happen, without anything happening: every route, destination and sample put together by
//! the same code that does it for real.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::explain::{Answer, Facts, Past, Question, RouteAnswer, facts};
use super::samples::{Sample, Samples, edited};
use super::{Ready, reach, sample, trials};
use crate::config::Finding;
use crate::destination::{Destination, Unsendable};
use crate::model::Subject;
use crate::route::{Clause, Route};
use crate::source::{Body, Kind, Source};
use crate::store::NewDelivery;

/// The sample that a changed result is compared with.
const BEFORE: &str = "submitted-rich";

/// What a rehearsal came to.
#[derive(Debug, Default)]
pub struct Rehearsal {
    /// Messages rendered.
    pub rendered: usize,
    /// Tests that came out as expected.
    pub passed: usize,
    pub findings: Vec<Finding>,
}

/// One sample as it comes through one source.
struct Specimen<'a> {
    source: &'a Source,
    sample: String,
    body: Bytes,
    history: Vec<Past>,
}

/// What the rules make of a specimen.
pub(super) struct Case<'a> {
    pub(super) sample: &'a str,
    pub(super) facts: Facts<'a>,
    /// One for each route, in order.
    pub(super) routes: Vec<RouteAnswer>,
}

/// Renders each route's messages for every sample that it may see, looks at the fields that rules name
/// and at what no sample reaches, and runs the tests.
pub fn rehearse(ready: &Ready, now: Timestamp) -> Rehearsal {
    let (samples, findings) = Samples::of(ready);
    let specimens = specimens(ready, &samples, now);
    let cases = specimens
        .iter()
        .filter_map(|specimen| specimen.case(ready, now));
    let cases: Vec<Case<'_>> = cases.collect();
    let mut rehearsal = Rehearsal {
        findings,
        ..Rehearsal::default()
    };
    for (at, route) in ready.compiled.rules.routes.iter().enumerate() {
        rehearsal.conditions(ready, at, &cases);
        rehearsal.messages(ready, (at, route), &cases);
    }
    rehearsal
        .findings
        .extend(reach::unknown_fields(ready, &samples));
    rehearsal.findings.extend(reach::rates(ready));
    let mut unreached = reach::unreached(ready, &cases);
    // What is wrong with a route already says why nothing reaches it.
    unreached.retain(|finding| {
        let told = |other: &Finding| other.key.starts_with(&finding.key);
        !rehearsal.findings.iter().any(told)
    });
    rehearsal.findings.extend(unreached);
    let tried = trials::run(ready, &samples, now);
    rehearsal.passed = tried.passed;
    rehearsal.findings.extend(tried.findings);
    rehearsal
}

/// Every sample as a first revision; the bundled ones of a life, and own ones of the same subject, as
/// later revisions too.
fn specimens<'a>(ready: &'a Ready, samples: &Samples, now: Timestamp) -> Vec<Specimen<'a>> {
    let mut sources: Vec<&Source> = ready
        .compiled
        .rules
        .sources
        .values()
        .map(|source| &**source)
        .collect();
    sources.sort_by(|a, b| a.name.cmp(&b.name));
    let mut specimens = Vec::new();
    for source in sources {
        let mut latest = HashMap::new();
        for sample in samples.for_source(source) {
            if let Some(before) = before(source, &sample, &mut latest)
                && let Ok(past) = Past::supposed(ready, source, &before, now)
            {
                specimens.push(Specimen::new(source, &sample, vec![past]));
            }
            specimens.push(Specimen::new(source, &sample, Vec::new()));
        }
    }
    specimens
}

/// What a sample is a later revision of, if it is one.
fn before(source: &Source, sample: &Sample, latest: &mut HashMap<Subject, Bytes>) -> Option<Bytes> {
    if !sample.own {
        let later = sample.name.starts_with(BEFORE) && sample.name != BEFORE;
        let body = || self::sample(BEFORE).map(|text| Bytes::from_static(text.as_bytes()));
        return later.then(body)?.map(|body| with_an_id(&body));
    }
    let body = Body::parse(&sample.body).ok()?;
    let subject = source
        .kind
        .classify(&body, &http::HeaderMap::new())
        .subject?;
    latest.insert(subject, sample.body.clone())
}

/// A bundled sample's candidate is in nobody's system, so its id says nothing about a configuration: one
/// that every vendor can read stands in.
fn with_an_id(body: &Bytes) -> Bytes {
    const ID: &str = "candidate_external_id";
    let has_one = Body::parse(body).is_ok_and(|body| body.value()[ID].is_string());
    let id = Map::from_iter([(ID.to_owned(), Value::from("4417820"))]);
    let edited = has_one.then(|| edited(body, &id, &[]));
    edited.flatten().unwrap_or_else(|| body.clone())
}

impl<'a> Specimen<'a> {
    fn new(source: &'a Source, sample: &Sample, history: Vec<Past>) -> Self {
        Self {
            source,
            sample: sample.name.clone(),
            body: if sample.own {
                sample.body.clone()
            } else {
                with_an_id(&sample.body)
            },
            history,
        }
    }

    /// None for one that comes to nothing, such as a sample that repeats the one before it.
    fn case<'s>(&'s self, ready: &'s Ready, now: Timestamp) -> Option<Case<'s>> {
        let facts = facts(
            ready,
            Question::new(self.source, &self.body, &self.history, now),
        )
        .ok()?;
        facts.deliveries.as_ref()?;
        Some(Case {
            sample: &self.sample,
            routes: facts.routes(),
            facts,
        })
    }
}

impl Case<'_> {
    /// Whether the route at `at` may see it, whatever changed before: later revisions look like it.
    fn may_match(&self, at: usize) -> bool {
        let timing = [Some(Clause::First), Some(Clause::Changed), None];
        let mut clauses = self.routes[at].clauses.iter();
        clauses.all(|clause| clause.answer == Answer::True || timing.contains(&clause.kind))
    }

    fn revision(&self) -> &'static str {
        if self.facts.event.revision == 1 {
            " as a first revision"
        } else {
            ""
        }
    }
}

impl Rehearsal {
    /// What would make deliveries dead or routes deaf. Tests that fail and samples that cannot be read
    /// are for `relay check` alone.
    pub fn doomed(self) -> Vec<Finding> {
        let about_rules = |finding: &Finding| {
            let key = &finding.key;
            key.starts_with("destinations.") || key.starts_with("routes[")
        };
        let findings = self.findings.into_iter();
        findings
            .filter(|finding| finding.is_error() && about_rules(finding))
            .collect()
    }

    /// Where a route's `when` fails on a sample, it will fail on real events, and then it does not match.
    fn conditions(&mut self, ready: &Ready, at: usize, cases: &[Case<'_>]) {
        let error = |case: &Case<'_>| case.routes[at].deciding()?.error.clone();
        let failed = cases.iter().find_map(|case| Some((case, error(case)?)));
        let Some((case, error)) = failed else { return };
        let problem = format!(
            "fails on sample {}{}: {error}; that counts as no match",
            case.sample,
            case.revision()
        );
        let hint = "ask for null first, such as: result.score != null && result.score >= 4";
        let key = format!("routes[{at}].when");
        self.findings
            .push(ready.locator.warning(&key, problem).hint(hint));
    }

    fn messages(&mut self, ready: &Ready, (at, route): (usize, &Route), cases: &[Case<'_>]) {
        let destinations = &ready.compiled.rules.destinations;
        for destination in route.to.iter().filter_map(|name| destinations.get(name)) {
            let mut told: BTreeSet<String> = BTreeSet::new();
            for case in cases.iter().filter(|case| case.may_match(at)) {
                self.rendered += 1;
                let Some(reason) = dead(case, route, destination) else {
                    continue;
                };
                if told.insert(reason.clone()) {
                    let key = format!("destinations.{}", destination.name());
                    let problem = format!(
                        "cannot be rendered for sample {} (route {}): {reason}",
                        case.sample, route.name
                    );
                    let hint = "a delivery like that would be dead; `require` skips one whose field is null, \
                                and `| default(…)` gives a null another value";
                    let finding = ready.locator.error(&key, problem).hint(hint);
                    self.findings.push(finding);
                }
            }
        }
    }
}

/// Why a case cannot be rendered.
fn dead(case: &Case<'_>, route: &Route, destination: &Destination) -> Option<String> {
    let delivery = NewDelivery {
        destination: destination.name().clone(),
        route: route.name.clone(),
        due_at: case.facts.event.received_at,
        settle_by: None,
        skipped: None,
        supersedes: false,
        takes_up: false,
    };
    let id = case.facts.event.id.delivery(0);
    match case.facts.request(destination, &delivery, id) {
        Err(Unsendable::Dead { reason }) => Some(reason),
        Ok(_) | Err(Unsendable::Skipped { .. }) => None,
    }
}

/// Whether a source's bodies are documented.
pub(super) fn is_interviews(source: &Source) -> bool {
    matches!(source.kind, Kind::Jobmojito)
}
