//! What came before a revision, and what became of it: what `previous`, `changed` and superseding are
//! reckoned from. The store answers the same from its tables.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;

use super::{Question, Unanswerable, facts};
use crate::app::Ready;
use crate::destination::{Destination, Unsendable};
use crate::model::{Event, Kept, Name};
use crate::source::{Body, Source};
use crate::store::{Receipt, Skipped};

/// Stands in for what a destination gave back for an earlier revision, such as a note's id.
pub const RECEIPT: &str = "RECEIPT";

/// An earlier revision.
#[derive(Clone, Debug)]
pub struct Past {
    pub revision: u32,
    pub payload: Bytes,
    /// The fields that were kept of it; None for the whole.
    pub kept: Option<Kept>,
    pub changed: Vec<String>,
    /// By destination, as far as it had a delivery: its route, and what became of it.
    pub fates: BTreeMap<Name, (Name, Fate)>,
}

/// What became of an earlier revision's delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The destination took it.
    Sent,
    Waiting,
    /// It is taken for sent, but it may be waiting still.
    SentOrWaiting,
    /// A later revision took its place, or took it up.
    Superseded {
        by: u32,
    },
    /// It lacked a field.
    Skipped,
    /// It was never taken: dead, discarded.
    Never,
}

impl Past {
    /// A first revision that is only supposed to have been received.
    pub fn supposed(
        ready: &Ready,
        source: &Source,
        body: &Bytes,
        now: Timestamp,
    ) -> Result<Self, Unanswerable> {
        let answer = facts(ready, Question::new(source, body, &[], now))?;
        let deliveries = answer.deliveries.iter().flatten();
        let fates = deliveries.filter_map(|delivery| {
            let destination = ready
                .compiled
                .rules
                .destinations
                .get(&delivery.destination)?;
            let rendered = answer.request(destination, delivery, answer.event.id.delivery(0));
            let fate = match rendered {
                Ok(_) => Fate::SentOrWaiting,
                Err(Unsendable::Skipped { .. }) => Fate::Skipped,
                Err(Unsendable::Dead { .. }) => Fate::Never,
            };
            Some((delivery.destination.clone(), (delivery.route.clone(), fate)))
        });
        Ok(Self {
            revision: 1,
            payload: body.clone(),
            kept: None,
            changed: Vec::new(),
            fates: fates.collect(),
        })
    }

    /// The payload as a store has it, and what is kept of it.
    pub(super) fn in_store(&self, source: &Source, ready: &Ready) -> (Bytes, Option<Kept>) {
        let rules = &ready.compiled.rules;
        let body = Body::parse(&self.payload);
        match (&self.kept, rules.kept.get(&source.name), body) {
            (None, Some(kept), Ok(body)) => (body.keeping(kept).into(), Some(kept.clone())),
            _ => (self.payload.clone(), self.kept.clone()),
        }
    }

    fn taken_by(&self, destination: &Name) -> bool {
        let fate = self.fate(destination);
        matches!(fate, Some(Fate::Sent | Fate::SentOrWaiting))
    }

    fn fate(&self, destination: &Name) -> Option<Fate> {
        self.fates.get(destination).map(|(_, fate)| *fate)
    }
}

/// A payload that a revision is compared with, and the fields that differ.
pub(super) struct Before {
    pub(super) stored: Option<(Bytes, Option<Kept>)>,
    pub(super) changed: Vec<String>,
}

pub(super) fn since_previous<'a>(
    history: &'a [Past],
    event: &Event,
) -> (Option<&'a Past>, Vec<String>) {
    (history.last(), event.changed.clone())
}

/// What the destination has of an earlier revision, where a later one can change it.
pub(super) fn receipt(history: &[Past], destination: &Destination) -> Option<Receipt> {
    let took = |past: &Past| past.taken_by(destination.name());
    (destination.updates() && history.iter().any(took)).then(|| Receipt {
        value: RECEIPT.to_owned(),
        scope: destination.receipt_scope().to_owned(),
    })
}

/// Since the last revision that the destination took; it has no previous where it took none.
pub(super) fn since_sent<'a>(
    history: &'a [Past],
    event: &Event,
    destination: &Name,
) -> (Option<&'a Past>, Vec<String>) {
    let took = |past: &Past| past.taken_by(destination);
    let Some(at) = history.iter().rposition(took) else {
        return (None, Vec::new());
    };
    let between = history.iter().skip(at + 1);
    let mut changed = event.changed.clone();
    changed.extend(between.flat_map(|past| past.changed.iter().cloned()));
    changed.sort_unstable();
    changed.dedup();
    (Some(&history[at]), changed)
}

/// Deliveries that were skipped, and no later one to the same destination was not.
pub(super) fn skipped(history: &[Past]) -> Vec<Skipped> {
    let mut newest = BTreeMap::new();
    newest.extend(history.iter().flat_map(|past| &past.fates));
    let skipped = newest
        .into_iter()
        .filter(|(_, (_, fate))| *fate == Fate::Skipped);
    let skipped = skipped.map(|(destination, (route, _))| Skipped {
        destination: destination.clone(),
        route: route.clone(),
    });
    skipped.collect()
}

/// The revisions whose deliveries a newer one to `destination` takes the place of.
pub(super) fn superseded(history: &[Past], destination: &Name, by: u32) -> Vec<String> {
    let waits = |past: &Past| match past.fate(destination)? {
        Fate::Waiting => Some(format!("revision {}", past.revision)),
        Fate::SentOrWaiting => Some(format!("revision {}, if it waits still", past.revision)),
        Fate::Superseded { by: this } if this == by => {
            Some(format!("revision {}, as it did", past.revision))
        }
        Fate::Sent | Fate::Superseded { .. } | Fate::Skipped | Fate::Never => None,
    };
    history.iter().filter_map(waits).collect()
}
