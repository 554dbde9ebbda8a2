//! What died, gathered for each destination: counted by cause, told at most once an hour.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::Alert;
use crate::model::{Cause, EventId, Name, plus};
use crate::telemetry::Attempted;

/// How long the first is held, because more may follow.
const GATHER: Duration = Duration::from_mins(1);
/// Between two digests of one destination.
const HOUR: Duration = Duration::from_hours(1);
/// Events that are named.
const NAMED: usize = 10;

/// By destination.
#[derive(Debug, Default)]
pub(super) struct Digests {
    gathered: BTreeMap<Name, Digest>,
    told: BTreeMap<Name, Timestamp>,
}

#[derive(Debug)]
struct Digest {
    due: Timestamp,
    causes: BTreeMap<Cause, u64>,
    events: Vec<EventId>,
    /// When the first and the last of them were created.
    created: (Timestamp, Timestamp),
}

impl Digests {
    pub(super) fn count(&mut self, now: Timestamp, died: &Attempted, cause: Cause) {
        let told = self.told.get(&died.destination);
        let due = told.map_or(now, |at| plus(*at, HOUR));
        let digest = self
            .gathered
            .entry(died.destination.clone())
            .or_insert_with(|| Digest {
                due: due.max(plus(now, GATHER)),
                causes: BTreeMap::new(),
                events: Vec::new(),
                created: (died.created_at, died.created_at),
            });
        *digest.causes.entry(cause).or_default() += 1;
        if digest.events.len() < NAMED && !digest.events.contains(&died.event) {
            digest.events.push(died.event);
        }
        let (first, last) = digest.created;
        digest.created = (first.min(died.created_at), last.max(died.created_at));
    }

    /// When the next is to be told.
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.gathered.values().map(|digest| digest.due).min()
    }

    /// Those whose time has come.
    pub(super) fn take(&mut self, now: Timestamp) -> Vec<Alert> {
        let due = self.gathered.iter().filter(|(_, one)| one.due <= now);
        let due: Vec<Name> = due.map(|(name, _)| name.clone()).collect();
        let mut alerts = Vec::with_capacity(due.len());
        for name in due {
            self.told.insert(name.clone(), now);
            alerts.extend(self.gathered.remove(&name).map(|one| one.alert(&name)));
        }
        alerts
    }

    /// Everything, before the relay ends.
    pub(super) fn all(&mut self) -> Vec<Alert> {
        let gathered = std::mem::take(&mut self.gathered);
        gathered.iter().map(|(name, one)| one.alert(name)).collect()
    }
}

impl Digest {
    fn alert(&self, destination: &Name) -> Alert {
        let all: u64 = self.causes.values().sum();
        let deliveries = if all == 1 { "delivery" } else { "deliveries" };
        let causes = self.causes.iter();
        let causes: Vec<String> = causes
            .map(|(cause, count)| format!("{} {count}", cause.as_str()))
            .collect();
        let named = self.events.iter().map(ToString::to_string);
        let named: Vec<String> = named.collect();
        let (since, last) = self.created;
        // A list is of what was created before its end.
        let until = plus(last, Duration::from_millis(1));
        let command = format!(
            "relay replay --state dead --destination {destination} --since {since} --until {until}"
        );
        Alert {
            kind: "dead",
            title: format!("{all} {deliveries} to {destination} died"),
            text: format!(
                "{}. What it says: relay deliveries --state dead --destination {destination}. Once mended: {command}. \
                 Events: {}{}",
                causes.join(", "),
                named.join(", "),
                if all > named.len() as u64 {
                    ", …"
                } else {
                    ""
                },
            ),
            more: json!({
                "destination": destination, "counts": self.causes, "events": self.events, "command": command,
            }),
        }
    }
}
