//! Takes one authenticated body: which event it is, whether it is news, where it goes; and has all of
//! that written before anybody is told that it was taken.

mod asked;
mod carried;
mod keep;
mod plan;

pub use keep::UsesAll;
pub use plan::{Arrival, Plan, Stamp, plan, replan, work};

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::HeaderMap;
use rand::Rng;
use tokio_util::task::TaskTracker;

use carried::Taking;

use crate::clock::Clock;
use crate::destination::Destination;
use crate::doorbell::{Doorbell, Ring};
use crate::model::{
    Budget, Event, EventId, EventType, Kept, Mint, Name, State, Subject, TraceParent,
};
use crate::route::Routes;
use crate::source::{Body, Malformed, Source, known_type};
use crate::store::{
    AcceptOutcome, AcceptPlan, Accepted, Head, NewDelivery, Placed, Store, StoreError, Waiting,
    Work,
};
use crate::telemetry::{Received, Span, Telemetry};

/// How often a plan is made anew for a subject that others keep writing to, before the sender is asked
/// to come back. Each round lost means that somebody else's event was taken.
const ROUNDS: usize = 100;

/// The rules in force, swapped whole on reload.
#[derive(Debug, Default)]
pub struct Rules {
    pub sources: HashMap<Name, Arc<Source>>,
    pub routes: Routes,
    pub destinations: HashMap<Name, Arc<Destination>>,
    /// What is kept of the payloads of sources that are minimised.
    pub kept: HashMap<Name, Kept>,
}

/// Takes bodies.
pub struct Intake {
    parts: Parts,
    rules: ArcSwap<Rules>,
    mint: Mint,
}

/// What an intake works with.
pub struct Parts {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub doorbell: Doorbell,
    pub telemetry: Arc<Telemetry>,
    pub tasks: TaskTracker,
    pub random: Mutex<Box<dyn Rng + Send>>,
    /// Waiting deliveries above which nothing more is taken.
    pub max_waiting: u64,
}

/// A body that was taken, or is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub id: EventId,
    pub event_type: EventType,
    pub subject: Option<Subject>,
    pub revision: u32,
    pub duplicate: bool,
    /// Its subject was erased: it is dropped.
    pub erased: bool,
    pub deliveries: usize,
}

/// Why a body was not taken.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NotTaken {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("too many deliveries are waiting ({0})")]
    TooMuchWaiting(u64),
    #[error("the subject is being written to by too many senders at once")]
    Contended,
}

impl Intake {
    pub fn new(parts: Parts, rules: Rules) -> Self {
        Self {
            parts,
            rules: ArcSwap::from_pointee(rules),
            mint: Mint::default(),
        }
    }

    /// Puts other rules in force for what comes from now on.
    pub fn swap_rules(&self, rules: Rules) {
        self.rules.store(Arc::new(rules));
    }

    /// The source that is configured under `name`.
    pub fn source(&self, name: &str) -> Option<Arc<Source>> {
        self.rules.load().sources.get(name).cloned()
    }

    /// Takes a body of `source`, which the caller has authenticated. Once begun it is carried through,
    /// also when the caller goes away: then the event is marked unconfirmed.
    pub async fn receive(
        self: &Arc<Self>,
        source: Arc<Source>,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Receipt, NotTaken> {
        let (intake, bytes) = (self.clone(), body.clone());
        let taking = Box::pin(async move {
            let arrival = Arrival {
                source: &source,
                headers: &headers,
                body: &bytes,
            };
            let traces = &intake.parts.telemetry.traces;
            let mut span = traces.receive(&source.name, &headers);
            let taken = intake.take(&arrival, &span).await;
            trace(&mut span, &taken);
            taken
        });
        Taking::new(taking, self.clone(), body).await
    }

    /// The acknowledgement of `receipt` could not be written: one later body equal to `body` is its retry.
    pub fn lost(self: &Arc<Self>, receipt: Receipt, body: Bytes) {
        let intake = self.clone();
        self.parts
            .tasks
            .spawn(async move { intake.mark_unconfirmed(&receipt, &body).await });
    }

    async fn mark_unconfirmed(&self, receipt: &Receipt, body: &Bytes) {
        if receipt.duplicate || receipt.erased || receipt.subject.is_none() {
            return;
        }
        tracing::info!(event = %receipt.id, "acknowledgement not written: the sender hung up");
        let Ok(body) =
            Body::parse(body).map(|body| body.digests(self.parts.store.key().as_bytes()))
        else {
            return;
        };
        if let Err(error) = self.parts.store.mark_unconfirmed(receipt.id, body).await {
            tracing::warn!(event = %receipt.id, %error, "event could not be marked unconfirmed");
        }
    }

    async fn take(&self, arrival: &Arrival<'_>, span: &Span) -> Result<Receipt, NotTaken> {
        let store = &self.parts.store;
        if store.waiting() >= self.parts.max_waiting {
            return Err(NotTaken::TooMuchWaiting(store.waiting()));
        }
        let started = self.parts.clock.monotonic();
        let rules = self.rules.load_full();
        let mut head: Option<Head> = None;
        for _ in 0..ROUNDS {
            let stamp = self.stamp();
            match plan(&rules, arrival, head.as_ref(), &stamp)? {
                Plan::News(mut plan) => {
                    plan.trace = span.place();
                    let (event, deliveries) = (plan.event.clone(), plan.deliveries.clone());
                    let (payload, kept) = (plan.payload.clone(), plan.kept.clone());
                    match self.write(plan, span).await? {
                        AcceptOutcome::Stale(latest) => head = Some(latest),
                        AcceptOutcome::Erased => {
                            let (source, kind) = (&event.source, &event.event_type);
                            self.parts.telemetry.erased(source, kind);
                            return Ok(Receipt {
                                erased: true,
                                ..Self::unsaid(&event)
                            });
                        }
                        AcceptOutcome::Accepted(accepted) => {
                            let previous = head.and_then(|head| head.payload);
                            let news = News {
                                trace: span.place(),
                                event,
                                deliveries,
                                payload,
                                kept,
                                previous,
                            };
                            let count = news.deliveries.len();
                            let receipt = self.receipt(&news.event, false, count, started);
                            self.ring(&rules, &news, &accepted);
                            return Ok(receipt);
                        }
                    }
                }
                Plan::Latest {
                    id,
                    revision,
                    unconfirmed,
                } => {
                    if unconfirmed {
                        store.take_unconfirmed(id).await?;
                    }
                    return Ok(self.duplicate(arrival, id, revision, started)?);
                }
                Plan::Retry { id, revision } => {
                    if store.take_unconfirmed(id).await? {
                        return Ok(self.duplicate(arrival, id, revision, started)?);
                    }
                    // Somebody else's body was its one retry: this one is news.
                    if let Some(head) = &mut head {
                        head.unconfirmed.retain(|lost| lost.event != id);
                    }
                }
            }
        }
        Err(NotTaken::Contended)
    }

    async fn write(&self, plan: AcceptPlan, span: &Span) -> Result<AcceptOutcome, StoreError> {
        let mut span = self.parts.telemetry.traces.accept(span);
        let outcome = self.parts.store.accept(plan).await;
        if outcome.is_err() {
            span.fail("store");
            // It may be written all the same, and the lanes are to find it.
            self.parts.doorbell.ring(Ring::Unsure);
        }
        outcome
    }

    /// Tells the lanes, and everybody who watches, what was just written.
    fn ring(&self, rules: &Rules, news: &News, accepted: &Accepted) {
        let doorbell = &self.parts.doorbell;
        for (destination, delivery) in &accepted.superseded {
            self.parts
                .telemetry
                .ended(*delivery, destination, State::Superseded);
            doorbell.ring(Ring::Superseded {
                destination: destination.clone(),
                delivery: *delivery,
            });
        }
        for error in &news.event.route_errors {
            self.parts.telemetry.metrics.expression_error(&error.route);
        }
        for (delivery, placed) in news.deliveries.iter().zip(&accepted.placed) {
            let destination = delivery.destination.clone();
            if delivery.skipped.is_some() {
                self.parts
                    .telemetry
                    .ended(placed.id, &destination, State::Skipped);
            } else if placed.ready {
                let looks_back = rules
                    .destinations
                    .get(&destination)
                    .is_some_and(|destination| destination.looks_back());
                let known = !looks_back || news.event.revision == 1;
                let work = known.then(|| {
                    let previous = news.previous.clone();
                    let payloads = (news.payload.clone(), previous);
                    Box::new(Work {
                        trace: news.trace,
                        kept: news.kept.clone(),
                        ..work(&news.event, delivery, placed.id, payloads)
                    })
                });
                doorbell.ring(Ring::Offer {
                    waiting: news.waiting(*placed, accepted.subject),
                    destination,
                    work,
                });
            } else {
                doorbell.ring(Ring::Look { destination });
            }
        }
    }

    fn stamp(&self) -> Stamp<'_> {
        let now = self.parts.clock.now();
        let chance = self.parts.random.lock().expect("no draw panics").next_u64();
        Stamp {
            id: self.mint.event(now, chance),
            now,
            key: self.parts.store.key(),
        }
    }

    fn duplicate(
        &self,
        arrival: &Arrival<'_>,
        id: EventId,
        revision: u32,
        started: Duration,
    ) -> Result<Receipt, Malformed> {
        let classified = arrival
            .source
            .kind
            .classify(&Body::parse(arrival.body)?, arrival.headers);
        let event = Event {
            id,
            source: arrival.source.name.clone(),
            event_type: classified.event_type,
            subject: classified.subject,
            revision,
            changed: Vec::new(),
            candidate: None,
            received_at: self.parts.clock.now(),
            route_errors: Vec::new(),
        };
        Ok(self.receipt(&event, true, 0, started))
    }

    /// A receipt that nobody has heard of yet.
    fn unsaid(event: &Event) -> Receipt {
        Receipt {
            id: event.id,
            event_type: event.event_type.clone(),
            subject: event.subject.clone(),
            revision: event.revision,
            duplicate: false,
            erased: false,
            deliveries: 0,
        }
    }

    fn receipt(
        &self,
        event: &Event,
        duplicate: bool,
        deliveries: usize,
        started: Duration,
    ) -> Receipt {
        let took = self.parts.clock.monotonic().saturating_sub(started);
        self.parts.telemetry.received(
            Received {
                at: event.received_at,
                event: event.id,
                source: event.source.clone(),
                event_type: event.event_type.clone(),
                revision: event.revision,
                changed: event.changed.clone(),
                duplicate,
                deliveries,
            },
            took,
        );
        Receipt {
            duplicate,
            deliveries,
            ..Self::unsaid(event)
        }
    }
}

/// Tells a span what became of a body.
fn trace(span: &mut Span, taken: &Result<Receipt, NotTaken>) {
    match taken {
        Ok(receipt) => {
            let outcome = match receipt {
                Receipt { erased: true, .. } => "erased",
                Receipt {
                    duplicate: true, ..
                } => "duplicate",
                _ => "accepted",
            };
            span.set("relay.outcome", || outcome.into());
            span.set("relay.event", || receipt.id.to_string().into());
            span.set("relay.type", || known_type(&receipt.event_type).into());
            span.set("relay.revision", || i64::from(receipt.revision).into());
        }
        Err(error) => span.fail(match error {
            NotTaken::Malformed(_) => "malformed",
            NotTaken::Store(_) => "store",
            NotTaken::TooMuchWaiting(_) => "too much waiting",
            NotTaken::Contended => "contended",
        }),
    }
}

/// An event that was just written.
struct News {
    event: Arc<Event>,
    deliveries: Vec<NewDelivery>,
    /// As the store has it, so that an attempt sees the same after a restart.
    payload: Bytes,
    kept: Option<Kept>,
    /// Payload of the revision before.
    previous: Option<Bytes>,
    trace: Option<TraceParent>,
}

impl News {
    fn waiting(&self, placed: Placed, subject: Option<u64>) -> Waiting {
        Waiting {
            id: placed.id,
            subject,
            revision: self.event.revision,
            due_at: self.event.received_at,
            created_at: self.event.received_at,
            budget: Budget::default(),
        }
    }
}
