//! Which fields of a source's payloads are used at all: what is kept where it is to be minimised. Known
//! from the rules alone.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Rules;
use crate::destination::{Destination, Fields};
use crate::model::{Kept, Name};
use crate::route::Route;
use crate::source::Source;

/// A rule that uses all of a payload, so that nothing could be left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UsesAll {
    /// `name`, such as `result`, is read as a whole.
    Condition { route: Name, name: String },
    Destination {
        destination: Name,
        route: Name,
        /// The template that reads a whole, such as `body.text`; None where the payload is passed on.
        key: Option<String>,
    },
}

impl Rules {
    /// Works out what is kept of each source that is to be minimised. Where some rule uses all of its payloads
    /// nothing can be left out: those rules come back, and it is kept whole.
    pub fn minimise(&mut self) -> Vec<(Name, UsesAll)> {
        let minimised = self.sources.values().filter(|source| source.minimise);
        let mut sources: Vec<Arc<Source>> = minimised.cloned().collect();
        sources.sort_by(|a, b| a.name.cmp(&b.name));
        let mut contradictions = Vec::new();
        for source in sources {
            match self.used(&source) {
                Ok(kept) => {
                    self.kept.insert(source.name.clone(), kept);
                }
                Err(all) => {
                    contradictions.extend(all.into_iter().map(|one| (source.name.clone(), one)));
                }
            }
        }
        contradictions
    }

    /// Whether an event of `source` that was kept with these fields still has all that some rule reads.
    pub fn suffices(&self, source: &str, kept: &Kept) -> bool {
        let used = self.sources.get(source).map(|source| self.used(source));
        matches!(used, Some(Ok(used)) if used.iter().all(|field| kept.holds(field)))
    }

    /// The fields that classification, a route that listens to `source`, or a destination of such a route uses;
    /// or every rule that uses all of them.
    fn used(&self, source: &Source) -> Result<Kept, Vec<UsesAll>> {
        let mut fields = BTreeSet::from_iter(source.kind.fields());
        let mut all = Vec::new();
        let heard = self.routes.iter().filter(|route| route.hears(&source.name));
        for route in heard {
            condition(route, &mut fields, &mut all);
            let to = route.to.iter();
            for destination in to.filter_map(|name| self.destinations.get(name)) {
                match destination.fields() {
                    Fields::Only(read) => fields.extend(read),
                    Fields::All => {
                        let found = passed_on(destination, route);
                        if !all.iter().any(|known| same(known, &found)) {
                            all.push(found);
                        }
                    }
                }
            }
        }
        if all.is_empty() {
            Ok(fields.into_iter().collect())
        } else {
            Err(all)
        }
    }
}

/// A first revision asks whether the fields in `changed` are null, so they must be there.
fn condition(route: &Route, fields: &mut BTreeSet<String>, all: &mut Vec<UsesAll>) {
    fields.extend(route.changed.iter().cloned());
    let Some(when) = &route.when else { return };
    for path in when.reads() {
        if let [root, field, ..] = path.as_slice()
            && is_payload(root)
        {
            fields.insert(field.clone());
        }
    }
    let whole = when.reads_whole().iter().find(|root| is_payload(root));
    all.extend(whole.map(|name| UsesAll::Condition {
        route: route.name.clone(),
        name: name.clone(),
    }));
}

fn passed_on(destination: &Destination, route: &Route) -> UsesAll {
    let reads = destination.reads().into_iter();
    let mut whole = reads.filter(|read| matches!(read.path.as_slice(), [root] if is_payload(root)));
    UsesAll::Destination {
        destination: destination.name().clone(),
        route: route.name.clone(),
        key: whole.next().map(|read| read.key),
    }
}

/// A destination is told once, whichever routes lead there.
fn same(known: &UsesAll, found: &UsesAll) -> bool {
    match (known, found) {
        (
            UsesAll::Destination { destination, .. },
            UsesAll::Destination {
                destination: other, ..
            },
        ) => destination == other,
        _ => false,
    }
}

fn is_payload(root: &str) -> bool {
    matches!(root, "result" | "previous")
}
