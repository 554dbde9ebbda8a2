//! What would become of a body: each clause of each route, each request as it would be sent. It is
//! planned and rendered by the code that does it in a relay at work, and nothing is sent.

mod answer;
mod history;

pub use answer::{Answer, ClauseAnswer, DeliveryAnswer, DeliveryOutcome, Explanation, RouteAnswer};
pub use history::{Fate, Past, RECEIPT};

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use jiff::Timestamp;
use serde_json::Value;

use super::Ready;
use crate::destination::{Destination, Revisions, Token, Unsendable};
use crate::dispatch::{Terms, request};
use crate::intake::{Arrival, Plan, Stamp, plan, work};
use crate::model::{DeliveryId, Event, EventId, FieldDigests, Kept, Secret, Subject};
use crate::route::Payload;
use crate::source::{Body, Malformed, Source};
use crate::store::{Head, NewDelivery, StoreKey};
use crate::transport::Outgoing;

/// Digests made here are compared with each other only.
const KEY: StoreKey = StoreKey::new([0; 32]);

/// A body that is asked about, and what came before it.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    pub source: &'a Source,
    /// Those that the source picks type and subject from, where it does.
    pub headers: &'a HeaderMap,
    pub body: &'a Bytes,
    /// Earlier revisions of its subject, oldest first.
    pub history: &'a [Past],
    /// The event's id and time, where it was received already.
    pub stored: Option<(EventId, Timestamp)>,
    /// Set where that event's payload, or that of the revision before, is not whole.
    pub as_kept: Option<AsKept<'a>>,
    pub now: Timestamp,
}

/// A stored event among payloads that were minimised: what changed cannot be told from them any more.
#[derive(Clone, Copy, Debug)]
pub struct AsKept<'a> {
    /// The fields that were kept; None for the whole.
    pub kept: Option<&'a Kept>,
    /// The payload in the store: the question's body may have been edited since.
    pub payload: &'a Bytes,
    /// What differed from the revision before, as the relay saw it.
    pub changed: &'a [String],
}

/// Why a question has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Unanswerable {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("the body before it is of another subject ({before}, not {now}): no revision of it")]
    OtherSubject { before: String, now: String },
}

/// Answers for one body.
pub fn explain(ready: &Ready, question: Question<'_>) -> Result<Explanation, Unanswerable> {
    Ok(facts(ready, question)?.explanation())
}

/// A body as the rules take it.
pub(super) struct Facts<'a> {
    ready: &'a Ready,
    question: Question<'a>,
    /// As the store has it.
    payload: Bytes,
    kept: Option<Kept>,
    pub(super) event: Arc<Event>,
    pub(super) result: Payload<'static>,
    pub(super) previous: Payload<'static>,
    /// None for a body that equals the revision before: it goes nowhere.
    pub(super) deliveries: Option<Vec<NewDelivery>>,
}

/// Plans for a body as intake does.
pub(super) fn facts<'a>(
    ready: &'a Ready,
    question: Question<'a>,
) -> Result<Facts<'a>, Unanswerable> {
    let body = Body::parse(question.body)?;
    let head = question.head(&body, ready)?;
    let (id, now) = question
        .stored
        .unwrap_or((EventId::first_at(question.now), question.now));
    let stamp = Stamp { id, now, key: &KEY };
    let arrival = question.arrival();
    let planned = plan(&ready.compiled.rules, &arrival, head.as_ref(), &stamp)?;
    let mut stored = question.stored();
    let (event, deliveries) = match planned {
        Plan::News(plan) => {
            if question.as_kept.is_none() {
                stored = (plan.payload, plan.kept);
            }
            (plan.event, Some(plan.deliveries))
        }
        Plan::Latest { revision, .. } | Plan::Retry { revision, .. } => {
            (Arc::new(question.known(&body, revision, (id, now))), None)
        }
    };
    let previous = head.and_then(|head| head.payload);
    let previous = previous.map(|payload| Body::parse(&payload).map(|body| body.value()));
    Ok(Facts {
        ready,
        question,
        payload: stored.0,
        kept: stored.1,
        event,
        result: body.value().into(),
        previous: previous.transpose()?.unwrap_or(Value::Null).into(),
        deliveries,
    })
}

impl<'a> Question<'a> {
    /// One about a body that nobody has sent yet.
    pub fn new(source: &'a Source, body: &'a Bytes, history: &'a [Past], now: Timestamp) -> Self {
        static NONE: std::sync::LazyLock<HeaderMap> = std::sync::LazyLock::new(HeaderMap::new);
        Self {
            source,
            headers: &NONE,
            body,
            history,
            stored: None,
            as_kept: None,
            now,
        }
    }

    fn arrival(&self) -> Arrival<'a> {
        Arrival {
            source: self.source,
            headers: self.headers,
            body: self.body,
        }
    }

    /// The latest revision before it, as the store would answer it.
    fn head(&self, body: &Body<'_>, ready: &Ready) -> Result<Option<Head>, Unanswerable> {
        let Some(latest) = self.history.last() else {
            return Ok(None);
        };
        let before = Body::parse(&latest.payload)?;
        let subject = |body: &Body<'_>| self.source.kind.classify(body, self.headers).subject;
        let (older, newer) = (subject(&before), subject(body));
        if older != newer || newer.is_none() {
            let shown = |subject: Option<Subject>| {
                subject.map_or("none".to_owned(), |subject| subject.as_str().to_owned())
            };
            return Err(Unanswerable::OtherSubject {
                before: shown(older),
                now: shown(newer),
            });
        }
        Ok(Some(Head {
            event: EventId::first_at(self.now),
            revision: latest.revision,
            fields: match &self.as_kept {
                Some(known) => known.before()?,
                None => before.digests(KEY.as_bytes()),
            },
            payload: Some(latest.in_store(self.source, ready).0),
            unconfirmed: Vec::new(),
            skipped: history::skipped(self.history),
        }))
    }

    /// Its own payload, and what was kept of it.
    fn stored(&self) -> (Bytes, Option<Kept>) {
        let kept = self.as_kept.and_then(|known| known.kept.cloned());
        (self.body.clone(), kept)
    }

    /// The event that the body repeats.
    fn known(&self, body: &Body<'_>, revision: u32, stamp: (EventId, Timestamp)) -> Event {
        let classified = self.source.kind.classify(body, self.headers);
        let (id, received_at) = stamp;
        Event {
            id,
            source: self.source.name.clone(),
            event_type: classified.event_type,
            subject: classified.subject,
            revision,
            changed: Vec::new(),
            candidate: classified.candidate,
            received_at,
            route_errors: Vec::new(),
        }
    }
}

impl AsKept<'_> {
    /// Digests that differ from those of the payload in just the fields that had changed.
    fn before(&self) -> Result<FieldDigests, Malformed> {
        let mut fields = Body::parse(self.payload)?.digests(KEY.as_bytes());
        for field in self.changed {
            // No value has this digest, and neither has a field that is not there.
            fields.set(field.clone(), [0; 16]);
        }
        Ok(fields)
    }
}

impl Facts<'_> {
    /// The request of a planned delivery, rendered as its first attempt does.
    pub(super) fn request(
        &self,
        destination: &Destination,
        delivery: &NewDelivery,
        id: DeliveryId,
    ) -> Result<Outgoing, Unsendable> {
        let before = self.before(destination);
        let (previous, previous_kept) = before.stored.unzip();
        let payloads = (self.payload.clone(), previous);
        let mut work = work(&self.event, delivery, id, payloads);
        work.kept.clone_from(&self.kept);
        work.previous_kept = previous_kept.flatten();
        work.changed = before.changed;
        work.receipt = history::receipt(self.question.history, destination);
        let terms = Terms {
            destination,
            with: self.ready.compiled.routes.get(&delivery.route),
            attempt: 1,
            now: self.question.now,
            key: &KEY,
        };
        let mut request = request(&terms, &work)?;
        if destination.oauth2().is_some() {
            // The attempt asks for one: that it will be there is all that can be shown of it.
            let token = Token {
                secret: Secret::new("token"),
                renew_at: self.question.now,
            };
            token.apply(&mut request.headers);
        }
        Ok(request)
    }

    /// What `previous` and `changed` mean to a destination.
    fn before(&self, destination: &Destination) -> history::Before {
        let history = self.question.history;
        let (past, changed) = match destination.revisions() {
            Revisions::All => history::since_previous(history, &self.event),
            Revisions::Latest => history::since_sent(history, &self.event, destination.name()),
        };
        history::Before {
            stored: past.map(|past| past.in_store(self.question.source, self.ready)),
            changed,
        }
    }
}
