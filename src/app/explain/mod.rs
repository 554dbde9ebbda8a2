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
use crate::model::{DeliveryId, Event, EventId, Secret, Subject};
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
    pub now: Timestamp,
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
    pub(super) event: Arc<Event>,
    pub(super) result: Value,
    pub(super) previous: Value,
    /// None for a body that equals the revision before: it goes nowhere.
    pub(super) deliveries: Option<Vec<NewDelivery>>,
}

/// Plans for a body as intake does.
pub(super) fn facts<'a>(
    ready: &'a Ready,
    question: Question<'a>,
) -> Result<Facts<'a>, Unanswerable> {
    let body = Body::parse(question.body)?;
    let head = question.head(&body)?;
    let (id, now) = question
        .stored
        .unwrap_or((EventId::first_at(question.now), question.now));
    let stamp = Stamp { id, now, key: &KEY };
    let arrival = question.arrival();
    let planned = plan(&ready.compiled.rules, &arrival, head.as_ref(), &stamp)?;
    let (event, deliveries) = match planned {
        Plan::News(plan) => (plan.event, Some(plan.deliveries)),
        Plan::Latest { revision, .. } | Plan::Retry { revision, .. } => {
            (Arc::new(question.known(&body, revision, (id, now))), None)
        }
    };
    let previous = head.and_then(|head| head.payload);
    let previous = previous.map(|payload| Body::parse(&payload).map(|body| body.value()));
    Ok(Facts {
        ready,
        question,
        event,
        result: body.value(),
        previous: previous.transpose()?.unwrap_or(Value::Null),
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
    fn head(&self, body: &Body<'_>) -> Result<Option<Head>, Unanswerable> {
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
            fields: before.digests(KEY.as_bytes()),
            payload: Some(latest.payload.clone()),
            unconfirmed: Vec::new(),
            skipped: history::skipped(self.history),
        }))
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

impl Facts<'_> {
    /// The request of a planned delivery, rendered as its first attempt does.
    pub(super) fn request(
        &self,
        destination: &Destination,
        delivery: &NewDelivery,
        id: DeliveryId,
    ) -> Result<Outgoing, Unsendable> {
        let before = self.before(destination);
        let payloads = (self.question.body.clone(), before.payload);
        let mut work = work(&self.event, delivery, id, payloads);
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
        match destination.revisions() {
            Revisions::All => history::since_previous(self.question.history, &self.event),
            Revisions::Latest => {
                history::since_sent(self.question.history, &self.event, destination.name())
            }
        }
    }
}
