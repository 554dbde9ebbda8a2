//! Alerts: a lane that is blocked or freed, a source that falls silent, a store that fails, and what died.
//! Each is an event of its own, delivered like any other; the store's failure alone goes out directly.
//! No receiver's words, payload, subject or candidate is in one, and none is about who is told.

mod digest;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use rand::Rng;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::digest::Digests;
use super::Lanes;
use crate::clock::Clock;
use crate::doorbell::{Doorbell, Ring};
use crate::model::{
    ALERT, ALERTS, Event, EventType, FieldDigests, LaneState, Mint, Name, SourceState, after, plus,
};
use crate::store::{AcceptOutcome, AcceptPlan, LaneRecord, NewDelivery, Store, StoreError};
use crate::telemetry::Happening;

/// Between two looks at the store.
const LOOK: Duration = Duration::from_secs(15);
/// Between two tries to say that the store fails.
const AGAIN: Duration = Duration::from_mins(1);
/// Alerts that are kept for a store that fails.
const KEPT: usize = 100;

/// Sends an alert past the store.
#[async_trait]
pub trait Direct: Send + Sync {
    /// True where `to` took it.
    async fn send(&self, to: &Name, event: Arc<Event>, payload: Bytes) -> bool;
}

/// Who is told. Changing it wakes the alerts.
#[derive(Default)]
pub struct Told {
    names: ArcSwap<Vec<Name>>,
    changed: Notify,
}

/// Tells operators.
pub struct Alerts {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub doorbell: Doorbell,
    pub lanes: Arc<dyn Lanes>,
    pub direct: Arc<dyn Direct>,
    pub to: Arc<Told>,
    /// Of what happens.
    pub feed: broadcast::Receiver<Happening>,
    pub random: Mutex<Box<dyn Rng + Send>>,
    pub mint: Mint,
    pub attempts: TaskTracker,
    /// Lanes that were blocked when it began.
    pub blocked: HashSet<Name>,
}

/// Something to tell.
#[derive(Clone, Debug, PartialEq)]
struct Alert {
    /// Out of a closed set.
    kind: &'static str,
    title: String,
    text: String,
    /// What else there is for machines.
    more: Value,
}

/// What is known of how things stand.
#[derive(Default)]
struct Known {
    blocked: HashSet<Name>,
    silent: HashSet<Name>,
    digests: Digests,
    /// Since when the store fails, and when that is to be said again; None where it was said.
    failing: Option<(Timestamp, Option<Timestamp>)>,
    /// Waits for the store.
    unsent: Vec<Noticed>,
}

/// An alert and when it was due, which a failing store does not change.
type Noticed = (Timestamp, Alert);

impl Told {
    /// These are told.
    pub fn to(names: Vec<Name>) -> Self {
        let told = Self::default();
        told.set(names);
        told
    }

    /// These are told from now on.
    pub fn set(&self, names: Vec<Name>) {
        self.names.store(Arc::new(names));
        self.changed.notify_one();
    }

    fn names(&self) -> Arc<Vec<Name>> {
        self.names.load_full()
    }
}

impl Alerts {
    /// Sees which of these lanes were left blocked, before they are set to work: a restart repeats nothing.
    pub async fn recall(&mut self, lanes: &[Name]) {
        let left: Vec<LaneRecord> = if let Some(commons) = self.store.commons() {
            let all = commons.roll().await.unwrap_or_default().lanes.into_iter();
            all.map(|owned| owned.lane).collect()
        } else {
            let leased = self.store.lease(lanes).await.unwrap_or_default();
            leased.into_iter().map(|lease| lease.lane).collect()
        };
        let left = left.into_iter();
        let blocked = left.filter(|lane| lane.state == LaneState::Blocked);
        self.blocked = blocked.map(|lane| lane.destination).collect();
    }

    /// Works until `stop`; what was gathered by then is told at once.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut known = Known {
            blocked: std::mem::take(&mut self.blocked),
            ..Known::default()
        };
        let mut look_at = self.clock.monotonic() + LOOK;
        loop {
            let now = self.clock.monotonic();
            let due = known.digests.due();
            let due = due.map(|at| now + after(self.clock.now(), at));
            let next = due.map_or(look_at, |at| at.min(look_at));
            let pause = async {
                // Where nobody is told there is nothing to look for.
                if self.to.names().is_empty() {
                    std::future::pending::<()>().await;
                }
                self.clock.idle_until(next).await;
            };
            tokio::select! {
                biased;
                heard = self.feed.recv() => match heard {
                    Ok(happening) => self.heard(&mut known, happening),
                    Err(RecvError::Lagged(missed)) => {
                        tracing::warn!(missed, "alerts missed some of what happened; metrics and status have it");
                        self.catch_up(&mut known).await;
                    }
                    Err(RecvError::Closed) => return,
                },
                () = stop.cancelled() => {
                    // The lanes have ended; what their last attempts came to may be told still.
                    self.attempts.close();
                    self.attempts.wait().await;
                    while let Ok(happening) = self.feed.try_recv() {
                        self.heard(&mut known, happening);
                    }
                    let now = self.clock.now();
                    let all = known.digests.all().into_iter();
                    known.unsent.extend(all.map(|alert| (now, alert)));
                    self.write(&mut known).await;
                    return;
                }
                () = self.to.changed.notified() => {}
                () = pause => {}
            }
            let now = self.clock.now();
            let due = known.digests.take(now).into_iter();
            known.unsent.extend(due.map(|alert| (now, alert)));
            if self.clock.monotonic() >= look_at {
                self.look_at_store(&mut known).await;
                look_at = self.clock.monotonic() + LOOK;
            }
            self.write(&mut known).await;
        }
    }

    fn heard(&self, known: &mut Known, happening: Happening) {
        match happening {
            Happening::Lane {
                destination, state, ..
            } => {
                // A lane says so only when it gets into it: one that was found blocked at the start says nothing.
                if state == LaneState::Blocked {
                    known.blocked.remove(&destination);
                }
                self.lane(known, &destination, state);
            }
            Happening::Source {
                source,
                state,
                reason,
                ..
            } => {
                let silent = state == SourceState::Silent;
                let changed = if silent {
                    known.silent.insert(source.clone())
                } else {
                    known.silent.remove(&source)
                };
                if changed {
                    let alert = source_alert(&source, silent, &reason);
                    known.unsent.push((self.clock.now(), alert));
                }
            }
            Happening::Attempt(attempted) => {
                if let Some(cause) = attempted.cause
                    && !attempted.of_alert
                    && !self.to.names().is_empty()
                    && !self.is_told(&attempted.destination)
                {
                    let now = self.clock.now();
                    known.digests.count(now, &attempted, cause);
                }
            }
            Happening::Event(_) | Happening::Delivery { .. } => {}
        }
    }

    fn lane(&self, known: &mut Known, destination: &Name, state: LaneState) {
        let changed = match state {
            LaneState::Blocked => known.blocked.insert(destination.clone()),
            LaneState::Healthy => known.blocked.remove(destination),
            LaneState::Open | LaneState::Paused | LaneState::Orphaned => false,
        };
        if changed && !self.is_told(destination) {
            let blocked = state == LaneState::Blocked;
            let alert = lane_alert(destination, blocked);
            known.unsent.push((self.clock.now(), alert));
        }
    }

    /// Something was missed: how the lanes stand now is what counts.
    async fn catch_up(&self, known: &mut Known) {
        let Some(blocked) = self.lanes.blocked().await else {
            return;
        };
        let all: Vec<Name> = blocked.union(&known.blocked).cloned().collect();
        for destination in all {
            let state = if blocked.contains(&destination) {
                LaneState::Blocked
            } else {
                LaneState::Healthy
            };
            self.lane(known, &destination, state);
        }
    }

    async fn look_at_store(&self, known: &mut Known) {
        if self.store.commons().is_some() {
            // Lanes that came from another relay, which told what there was to tell.
            known
                .blocked
                .extend(self.lanes.blocked().await.unwrap_or_default());
        }
        if self.to.names().is_empty() {
            known.failing = None;
            return;
        }
        let now = self.clock.now();
        let works = self.store.ready().await.is_ok();
        match (works, known.failing) {
            (true, Some((since, _))) => {
                known.failing = None;
                let long = after(since, now);
                known.unsent.push((now, store_works(since, long)));
            }
            (false, None) => known.failing = Some((now, Some(now))),
            (true, None) | (false, Some(_)) => {}
        }
        if let Some((since, Some(at))) = known.failing
            && now >= at
        {
            let said = self.say_directly(&store_fails(since)).await;
            known.failing = Some((since, (!said).then(|| plus(now, AGAIN))));
        }
    }

    /// True where somebody took it.
    async fn say_directly(&self, alert: &Alert) -> bool {
        let (event, payload) = self.event(self.clock.now(), alert);
        let mut taken = false;
        for to in self.to.names().iter() {
            let took = self.direct.send(to, event.clone(), payload.clone()).await;
            tracing::warn!(to = &**to, took, "alert: {}", alert.title);
            taken |= took;
        }
        taken
    }

    /// Puts everything that is to be told into the store; what it does not take is kept for later.
    async fn write(&self, known: &mut Known) {
        let to = self.to.names();
        if to.is_empty() {
            known.unsent.clear();
            return;
        }
        while let Some(noticed) = known.unsent.first() {
            match self.accept(noticed, &to).await {
                Ok(()) => {
                    known.unsent.remove(0);
                }
                Err(error) => {
                    tracing::warn!(%error, "an alert waits for the store: {}", noticed.1.title);
                    let dropped = known.unsent.len().saturating_sub(KEPT);
                    if dropped > 0 {
                        tracing::error!(dropped, "too many alerts wait for the store");
                        known.unsent.truncate(KEPT);
                    }
                    return;
                }
            }
        }
    }

    async fn accept(&self, (at, alert): &Noticed, to: &[Name]) -> Result<(), StoreError> {
        let (event, payload) = self.event(*at, alert);
        let due_at = event.received_at;
        let delivery = |destination: &Name| NewDelivery {
            destination: destination.clone(),
            route: ALERTS.into(),
            skipped: None,
            due_at,
            settle_by: None,
            supersedes: false,
            takes_up: false,
        };
        let plan = AcceptPlan {
            event,
            payload,
            kept: None,
            fields: FieldDigests::default(),
            deliveries: to.iter().map(delivery).collect(),
            trace: None,
        };
        let outcome = self.store.accept(plan).await?;
        if matches!(outcome, AcceptOutcome::Accepted(_)) {
            tracing::warn!("alert: {}", alert.title);
            for destination in to {
                let destination = destination.clone();
                self.doorbell.ring(Ring::Look { destination });
            }
        }
        Ok(())
    }

    fn event(&self, at: Timestamp, alert: &Alert) -> (Arc<Event>, Bytes) {
        let now = self.clock.now();
        let chance = self
            .random
            .lock()
            .expect("nobody panics with it")
            .next_u64();
        let event = Event {
            id: self.mint.event(now, chance),
            source: ALERTS.into(),
            event_type: EventType::new(ALERT),
            subject: None,
            revision: 1,
            changed: Vec::new(),
            candidate: None,
            received_at: now,
            route_errors: Vec::new(),
        };
        let mut body = json!({
            "alert": alert.kind, "title": alert.title, "text": alert.text, "at": at,
        });
        if let (Some(body), Value::Object(more)) = (body.as_object_mut(), alert.more.clone()) {
            body.extend(more);
        }
        (Arc::new(event), body.to_string().into())
    }

    /// Nothing is told about who is told: an alert never causes one.
    fn is_told(&self, destination: &Name) -> bool {
        self.to.names().contains(destination)
    }
}

fn lane_alert(destination: &Name, blocked: bool) -> Alert {
    let command = format!("relay resume {destination}");
    let (kind, title, text) = if blocked {
        (
            "blocked",
            format!("{destination} is blocked"),
            format!(
                "It refuses the relay itself, so nothing goes out to it; its backlog is kept. What it says: relay status. \
                 Mend its block in relay.toml or the other side, then: {command}"
            ),
        )
    } else {
        (
            "freed",
            format!("{destination} is free again"),
            "It took a delivery, or was resumed or changed: its backlog is sent.".to_owned(),
        )
    };
    let mut more = json!({ "destination": destination });
    if blocked {
        more["command"] = command.into();
    }
    Alert {
        kind,
        title,
        text,
        more,
    }
}

fn source_alert(source: &Name, silent: bool, reason: &str) -> Alert {
    let (kind, title, text) = if silent {
        let text = format!(
            "{reason}. Is its webhook on, its URL right, its secret the one that is configured here?"
        );
        ("silent", format!("source {source} is silent"), text)
    } else {
        let text = "Its events come in again.".to_owned();
        ("heard", format!("source {source} is heard again"), text)
    };
    Alert {
        kind,
        title,
        text,
        more: json!({ "source": source }),
    }
}

fn store_fails(since: Timestamp) -> Alert {
    Alert {
        kind: "store_failing",
        title: "the store cannot be written".to_owned(),
        text: format!(
            "No write succeeds since {since}: senders get 503 and come again, nothing acknowledged is lost. The log says why."
        ),
        more: json!({ "since": since }),
    }
}

fn store_works(since: Timestamp, long: Duration) -> Alert {
    let seconds = long.as_secs();
    Alert {
        kind: "store_working",
        title: "the store can be written again".to_owned(),
        text: format!("It failed for {seconds} s, from {since} on."),
        more: json!({ "since": since, "failed_for_seconds": seconds }),
    }
}
