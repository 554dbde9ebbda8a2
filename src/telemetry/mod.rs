//! What happened, told once in each of three forms: a wide log line, a metric, and a feed for whoever
//! watches. No payload, subject, candidate, URL or secret passes through here.

mod families;
mod hush;
mod metrics;
mod pace;
mod traces;

pub use metrics::{LaneGauges, Metrics, SourceGauges};
pub use pace::Pace;
pub use traces::{Span, TRACEPARENT, TraceSettings, Traces};

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::broadcast;

use crate::model::{
    Cause, DeliveryId, EventId, EventType, LaneState, Name, SourceState, State, Verdict, after,
};

/// Tells what happened.
pub struct Telemetry {
    pub metrics: Metrics,
    pub traces: Traces,
    feed: broadcast::Sender<Happening>,
    paces: Mutex<pace::Buckets>,
    hush: Mutex<hush::Hush>,
    /// A body was not taken for a fault of our own, and none was taken since.
    failing: AtomicBool,
    /// When the last one was not, and why.
    last_fault: Mutex<Option<(Timestamp, String)>>,
}

/// One thing that happened, as the feed tells it.
#[derive(Clone, Debug)]
pub enum Happening {
    /// A body was taken, or found to be one that is known.
    Event(Received),
    /// A request was sent, or could not be made.
    Attempt(Attempted),
    /// A delivery ended without an attempt: superseded or skipped when an event was accepted.
    Delivery {
        delivery: DeliveryId,
        destination: Name,
        state: State,
    },
    /// A lane stands otherwise than before.
    Lane {
        at: Timestamp,
        destination: Name,
        state: LaneState,
        reason: String,
    },
    /// A sender stands otherwise than before.
    Source {
        at: Timestamp,
        source: Name,
        state: SourceState,
        reason: String,
    },
}

/// The kind of line that tells why a body was not taken, beside those of statuses.
const NOT_TAKEN: u16 = 0;

/// A body that was taken.
#[derive(Clone, Debug)]
pub struct Received {
    pub at: Timestamp,
    pub event: EventId,
    pub source: Name,
    pub event_type: EventType,
    pub revision: u32,
    pub changed: Vec<String>,
    pub duplicate: bool,
    /// Deliveries made for it.
    pub deliveries: usize,
}

/// An attempt and where it left its delivery.
#[derive(Clone, Debug)]
pub struct Attempted {
    pub at: Timestamp,
    pub event: EventId,
    pub delivery: DeliveryId,
    pub destination: Name,
    /// 1 for the first request of the delivery.
    pub attempt: u32,
    pub status: Option<u16>,
    /// None where nothing was sent.
    pub verdict: Option<Verdict>,
    pub duration_ms: u64,
    pub state: State,
    /// When it is tried again.
    pub due_at: Option<Timestamp>,
    /// It may quote the receiver: for the API and the page, never for a log.
    pub reason: String,
    /// Why it died, where it did.
    pub cause: Option<Cause>,
    /// It is about an alert of the relay's own.
    pub of_alert: bool,
    /// When the delivery was created.
    pub created_at: Timestamp,
    /// From acceptance to delivery; None unless it was delivered just now.
    pub end_to_end: Option<Duration>,
}

impl Telemetry {
    pub fn new(metrics: Metrics, traces: Traces) -> Self {
        Self {
            metrics,
            traces,
            feed: broadcast::channel(1024).0,
            paces: Mutex::default(),
            hush: Mutex::default(),
            failing: AtomicBool::new(false),
            last_fault: Mutex::default(),
        }
    }

    /// What happens from now on. A listener that is too slow misses some and is told how many.
    pub fn listen(&self) -> broadcast::Receiver<Happening> {
        self.feed.subscribe()
    }

    /// A body was taken, `took` after it had arrived whole.
    pub fn received(&self, received: Received, took: Duration) {
        if self.failing.load(Ordering::Relaxed) && self.failing.swap(false, Ordering::Relaxed) {
            tracing::info!("events are taken again");
        }
        let outcome = if received.duplicate {
            "duplicate"
        } else {
            "accepted"
        };
        self.metrics
            .event(&received.source, &received.event_type, outcome);
        self.metrics.accepted(took);
        if !received.duplicate {
            self.paces().count(received.at, (1, 0));
        }
        tracing::info!(
            event = %received.event,
            source = &*received.source,
            r#type = received.event_type.as_str(),
            revision = received.revision,
            changed = received.changed.join(","),
            deliveries = received.deliveries,
            took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            "event {outcome} from {}{}",
            received.source,
            if received.deliveries == 0 && !received.duplicate {
                "; it goes nowhere: no route took it"
            } else {
                ""
            }
        );
        self.tell(Happening::Event(received));
    }

    /// A body of a subject that was erased was dropped.
    pub fn erased(&self, source: &str, event_type: &EventType) {
        self.metrics.event(source, event_type, "erased");
        tracing::info!(source, "body of an erased subject dropped");
    }

    /// A request to `source` was refused with `status`.
    pub fn refused(&self, at: Timestamp, (source, status): (&str, u16), why: &str) {
        self.metrics.refused(source, status);
        if let Some(left_out) = self.left_out(at, source, status) {
            tracing::info!(source, status, why, left_out, "request refused");
        }
    }

    /// A body of `source` was not taken for a fault of our own, whose words hold no data.
    pub fn not_taken(&self, at: Timestamp, source: &str, error: &dyn std::error::Error) {
        *self.fault() = Some((at, error.to_string()));
        self.failing.store(true, Ordering::Relaxed);
        if let Some(left_out) = self.left_out(at, source, NOT_TAKEN) {
            tracing::error!(source, %error, left_out, "event not taken");
        }
    }

    /// Why the last body was not taken, where that is no longer ago than `within` and none was taken since.
    pub fn failing(&self, now: Timestamp, within: Duration) -> Option<String> {
        let (at, words) = self.fault().clone()?;
        let lately = after(at, now) <= within && self.failing.load(Ordering::Relaxed);
        lately.then_some(words)
    }

    fn fault(&self) -> MutexGuard<'_, Option<(Timestamp, String)>> {
        self.last_fault
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// An admin request was not answered for a fault of the store, whose words hold no data.
    pub fn not_answered(&self, at: Timestamp, error: &str) {
        if let Some(left_out) = self.left_out(at, "[admin]", NOT_TAKEN) {
            tracing::error!(error, left_out, "admin request not answered");
        }
    }

    /// An admin request was refused with `status`, for what it has not or should not have.
    pub fn turned_away(&self, at: Timestamp, status: u16, peer: IpAddr) {
        self.metrics.turned_away(status);
        if let Some(left_out) = self.left_out(at, "[admin]", status) {
            tracing::warn!(status, %peer, left_out, "admin request refused");
        }
    }

    fn left_out(&self, at: Timestamp, source: &str, status: u16) -> Option<u64> {
        let mut hush = self.hush.lock().unwrap_or_else(PoisonError::into_inner);
        hush.left_out(at, source, status)
    }

    /// An attempt was made and recorded.
    pub fn attempted(&self, attempted: Attempted) {
        self.metrics.attempted(&attempted);
        if attempted.state == State::Delivered {
            self.paces().count(attempted.at, (0, 1));
        }
        let verdict = attempted.verdict.map_or("none", Verdict::as_str);
        // The reason may quote the receiver, so it stays out of the log.
        let doubtful = attempted.state == State::Delivered && !attempted.reason.is_empty();
        macro_rules! say {
            ($level:expr, $more:literal) => {
                tracing::event!(
                    $level,
                    event = %attempted.event,
                    delivery = %attempted.delivery,
                    destination = &*attempted.destination,
                    attempt = attempted.attempt,
                    status = attempted.status,
                    verdict,
                    duration_ms = attempted.duration_ms,
                    state = attempted.state.as_str(),
                    due_at = attempted.due_at.map(tracing::field::display),
                    concat!("attempt {} to {}: {}", $more),
                    attempted.attempt,
                    attempted.destination,
                    attempted.state
                )
            };
        }
        match attempted.state {
            State::Dead => say!(tracing::Level::WARN, "; `relay event` tells why"),
            _ if doubtful => say!(
                tracing::Level::WARN,
                ", with a warning; `relay event` tells it"
            ),
            _ => say!(tracing::Level::INFO, ""),
        }
        self.tell(Happening::Attempt(attempted));
    }

    /// A delivery ended without an attempt: superseded or skipped when an event was accepted.
    pub fn ended(&self, delivery: DeliveryId, destination: &Name, state: State) {
        self.metrics.delivery(destination, state);
        tracing::info!(%delivery, destination = &**destination, state = state.as_str(), "delivery to {destination} {state}");
        self.tell(Happening::Delivery {
            delivery,
            destination: destination.clone(),
            state,
        });
    }

    /// A lane changed its state. The reason may quote the receiver, so the log leaves it out.
    pub fn lane(&self, at: Timestamp, destination: &Name, state: LaneState, reason: &str) {
        if state == LaneState::Healthy {
            tracing::info!(
                destination = &**destination,
                state = state.as_str(),
                "lane is healthy again"
            );
        } else {
            tracing::warn!(
                destination = &**destination,
                state = state.as_str(),
                "lane is {state}; `relay status` tells why"
            );
        }
        self.tell(Happening::Lane {
            at,
            destination: destination.clone(),
            state,
            reason: reason.to_owned(),
        });
    }

    /// How much came in and went out lately.
    pub fn pace(&self, now: Timestamp) -> Pace {
        self.paces().by_minute(now)
    }

    fn paces(&self) -> MutexGuard<'_, pace::Buckets> {
        self.paces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A source changed its state. The reason is our own: it has counts and times in it.
    pub fn source(&self, at: Timestamp, source: &Name, state: SourceState, reason: &str) {
        let (name, word) = (&**source, state.as_str());
        if state == SourceState::Healthy {
            tracing::info!(source = name, state = word, "source is healthy again");
        } else {
            tracing::warn!(source = name, state = word, reason, "source is {state}");
        }
        self.tell(Happening::Source {
            at,
            source: source.clone(),
            state,
            reason: reason.to_owned(),
        });
    }

    fn tell(&self, happening: Happening) {
        let _nobody_listens = self.feed.send(happening);
    }
}
