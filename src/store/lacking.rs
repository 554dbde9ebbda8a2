//! Which of the sets of fields that payloads were kept with lack something, and what is told of it. Knows no database.

use std::collections::{BTreeSet, HashMap};

use super::{Lacking, Wanted};
use crate::model::{EventId, Kept, Name};

/// Waiting deliveries of one destination that are looked at.
pub(super) const LOOKED_AT: usize = 20_000;

/// What waits for one destination and lacks a field.
pub(super) struct Found<'a, N> {
    wanted: &'a Wanted,
    /// Sets that lack one, by the store's number.
    short: HashMap<N, &'a Kept>,
    looked_at: usize,
    all: Vec<Lacking>,
}

impl<'a, N: Copy + Eq + std::hash::Hash> Found<'a, N> {
    /// None where every set has every field, which is nearly always so: then no delivery need be looked at.
    pub(super) fn new(wanted: &'a Wanted, sets: &'a [(N, Kept)]) -> Option<Self> {
        let short: HashMap<N, &Kept> = sets
            .iter()
            .filter(|(_, kept)| lacks(kept, wanted))
            .map(|(number, kept)| (*number, kept))
            .collect();
        (!short.is_empty()).then(|| Self {
            wanted,
            short,
            looked_at: 0,
            all: Vec::new(),
        })
    }

    /// Whether an event that was kept with this set lacks a field.
    pub(super) fn is_short(&mut self, kept: Option<N>) -> bool {
        self.looked_at += 1;
        kept.is_some_and(|kept| self.short.contains_key(&kept))
    }

    /// Counts one that does.
    pub(super) fn count(&mut self, source: Name, kept: N, event: EventId) {
        let Some(kept) = self.short.get(&kept) else {
            return;
        };
        let known = self
            .all
            .iter()
            .position(|one| one.source == source && one.kept == **kept);
        let at = known.unwrap_or(self.all.len());
        if known.is_none() {
            self.all.push(none_yet(source, kept, self.wanted));
        }
        let one = &mut self.all[at];
        one.count += 1;
        if one.events.len() < Lacking::NAMED {
            one.events.push(event);
        }
    }

    pub(super) fn told(mut self) -> Vec<Lacking> {
        for one in &mut self.all {
            one.more = self.looked_at == LOOKED_AT;
        }
        self.all
    }
}

fn lacks(kept: &Kept, wanted: &Wanted) -> bool {
    let has_all = |fields: &BTreeSet<String>| fields.iter().all(|field| kept.holds(field));
    !wanted.fields.as_ref().is_some_and(has_all)
}

fn none_yet(source: Name, kept: &Kept, wanted: &Wanted) -> Lacking {
    let missing = |fields: &BTreeSet<String>| {
        let missing = fields.iter().filter(|field| !kept.holds(field));
        missing.cloned().collect()
    };
    Lacking {
        source,
        destination: wanted.destination.clone(),
        kept: kept.clone(),
        missing: wanted.fields.as_ref().map(missing),
        count: 0,
        more: false,
        events: Vec::new(),
    }
}
