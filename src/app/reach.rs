//! What a configuration reaches for: routes that no sample reaches, fields that no sample has, rates that
//! no vendor grants.

use std::collections::{BTreeMap, BTreeSet};

use super::Ready;
use super::explain::RouteAnswer;
use super::rehearse::{Case, is_interviews};
use super::samples::Samples;
use crate::config::{Finding, closest};
use crate::expr::{Expression, FieldPath};
use crate::model::Rate;
use crate::route::RESULT_FIELDS;
use crate::source::Body;

/// Routes that take no sample of the sources that they listen to, with the clause that stops most.
pub(super) fn unreached(ready: &Ready, cases: &[Case<'_>]) -> Vec<Finding> {
    let routes = ready.compiled.rules.routes.iter().enumerate();
    let found = routes.filter_map(|(at, route)| {
        let heard = cases
            .iter()
            .filter(|case| route.listens_to(&case.facts.event));
        let answers: Vec<&RouteAnswer> = heard.map(|case| &case.routes[at]).collect();
        if answers.is_empty() || answers.iter().any(|answer| answer.matched) {
            return None;
        }
        let mut stopped: BTreeMap<&str, usize> = BTreeMap::new();
        for clause in answers.iter().filter_map(|answer| answer.deciding()) {
            *stopped.entry(&clause.clause).or_default() += 1;
        }
        let (clause, most) = stopped.into_iter().max_by_key(|(_, count)| *count)?;
        let problem = format!(
            "no sample reaches \"{}\": {most} of {} end at {clause}",
            route.name,
            answers.len()
        );
        let hint = "put a body that it is for into `samples_dir`, or correct the clause";
        Some(
            ready
                .locator
                .warning(&format!("routes[{at}]"), problem)
                .hint(hint),
        )
    });
    found.collect()
}

/// Destinations that may send faster than their preset's vendor is known to allow.
pub(super) fn rates(ready: &Ready) -> Vec<Finding> {
    let lanes = ready.compiled.lanes.iter();
    let found = lanes.filter_map(|lane| {
        let allowed = lane.destination.settings().vendor_rate?;
        let own = lane.settings.rate_limit;
        if own.is_some_and(|own| per_second(own) <= per_second(allowed)) {
            return None;
        }
        let own = own.map_or("no rate_limit".to_owned(), |own| own.to_string());
        let problem = format!("{own} is above what the vendor allows, {allowed}");
        let hint = "the vendor would answer 429, and the whole lane waits then; take the key out for the preset's rate";
        let key = format!("destinations.{}.rate_limit", lane.destination.name());
        Some(ready.locator.warning(&key, problem).hint(hint))
    });
    found.collect()
}

fn per_second(rate: Rate) -> f64 {
    f64::from(rate.count.get()) / rate.period.as_secs_f64()
}

/// Fields that rules name and no body has: slips of the pen, or new fields. They read as null.
pub(super) fn unknown_fields(ready: &Ready, samples: &Samples) -> Vec<Finding> {
    let rules = &ready.compiled.rules;
    let sampled = |source| !samples.for_source(source).is_empty();
    if rules.sources.is_empty() || !rules.sources.values().all(|source| sampled(source)) {
        return Vec::new();
    }
    let known = Known::of(ready, samples);
    let mut findings = Vec::new();
    let mut destinations: Vec<_> = rules.destinations.values().collect();
    destinations.sort_by(|a, b| a.name().cmp(b.name()));
    for destination in destinations {
        for read in destination.reads() {
            let key = format!("destinations.{}.{}", destination.name(), read.key);
            findings.extend(known.finding(ready, &key, &read.path));
        }
        for (at, field) in destination.settings().require.iter().enumerate() {
            let key = format!("destinations.{}.require[{at}]", destination.name());
            let path = field.split('.').map(str::to_owned).collect();
            findings.extend(known.finding(ready, &key, &path));
        }
    }
    for (at, test) in ready.config.tests.iter().enumerate() {
        let set = test.set.keys().map(|field| ("set", field));
        let unset = test.unset.iter().map(|field| ("unset", field));
        for (how, field) in set.chain(unset) {
            let key = format!("tests[{at}].{how}");
            let path = vec!["result".to_owned(), field.clone()];
            findings.extend(known.finding(ready, &key, &path));
        }
    }
    for (at, route) in rules.routes.iter().enumerate() {
        let reads = route.when.iter().flat_map(Expression::reads);
        let key = format!("routes[{at}].when");
        findings.extend(reads.filter_map(|path| known.finding(ready, &key, path)));
    }
    let mut told = Vec::new();
    findings.retain(|finding| {
        let new = !told.contains(finding);
        told.push(finding.clone());
        new
    });
    findings
}

/// The top-level fields that bodies are known to have.
struct Known {
    fields: BTreeSet<String>,
    /// Every source sends interview results, whose fields are documented.
    documented: bool,
}

impl Known {
    fn of(ready: &Ready, samples: &Samples) -> Self {
        let sources = || ready.compiled.rules.sources.values();
        let mut fields = BTreeSet::new();
        for sample in sources().flat_map(|source| samples.for_source(source)) {
            if let Ok(serde_json::Value::Object(body)) =
                Body::parse(&sample.body).map(|body| body.value())
            {
                fields.extend(body.into_iter().map(|(field, _)| field));
            }
        }
        if sources().any(|source| is_interviews(source)) {
            fields.extend(RESULT_FIELDS.map(str::to_owned));
        }
        Self {
            fields,
            documented: sources().all(|source| is_interviews(source)),
        }
    }

    fn finding(&self, ready: &Ready, key: &str, path: &FieldPath) -> Option<Finding> {
        let [root, field, ..] = path.as_slice() else {
            return None;
        };
        if (root != "result" && root != "previous") || self.fields.contains(field) {
            return None;
        }
        let finding = if self.documented {
            let problem = format!("`{root}.{field}` is no field of an interview result");
            ready.locator.error(key, problem)
        } else {
            let problem = format!("`{root}.{field}` is in no sample: it would read as null");
            ready.locator.warning(key, problem)
        };
        let fields = || self.fields.iter().map(String::as_str);
        let hint = match closest(field, fields()) {
            Some(meant) => format!("did you mean `{root}.{meant}`?"),
            None if self.documented => format!("there are {}", RESULT_FIELDS.join(", ")),
            None => format!("there are {}", fields().collect::<Vec<_>>().join(", ")),
        };
        Some(finding.hint(hint))
    }
}
