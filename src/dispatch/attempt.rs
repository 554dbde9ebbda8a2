//! One attempt from start to record: load, render, send, judge, ask the lane what follows, settle.
//! A failed delivery is a value here; only the store's own faults are errors, and they are waited out.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use super::lane::Told;
use super::request::{Terms, request};
use super::tokens::{Held, Tokens};
use super::window::Entry;
use crate::clock::Clock;
use crate::destination::{Again, Destination, Judgement, Revisions, Unsendable};
use crate::model::{ALERTS, Attempt as Record, Cause, DeliveryId, Name, State, Verdict, after};
use crate::store::{
    Fence, Outcome, Receipt, Settled, Settlement, Since, Store, StoreError, Waiting, Work,
};
use crate::telemetry::{Attempted, Span, TRACEPARENT, Telemetry};
use crate::transport::{Answer, Failure, Outgoing, Transport};

/// How long to wait before the store is asked again after a fault.
pub(super) const STORE_PAUSE: Duration = Duration::from_secs(1);

/// What attempts of every lane work with.
pub struct Bench {
    pub store: Arc<dyn Store>,
    pub transport: Arc<dyn Transport>,
    pub clock: Arc<dyn Clock>,
    pub telemetry: Arc<Telemetry>,
    pub tokens: Tokens,
}

/// One attempt under way.
pub(super) struct Attempt {
    pub(super) bench: Arc<Bench>,
    pub(super) destination: Arc<Destination>,
    /// Each route's own template values, by the route's name.
    pub(super) routes: Arc<super::RouteValues>,
    pub(super) fence: Fence,
    /// When the lane may be another relay's, by the clock that never goes back.
    pub(super) until: Option<Duration>,
    pub(super) entry: Entry,
    pub(super) probe: bool,
    /// When the lane let it go: what rates are reckoned by.
    pub(super) at: Timestamp,
    pub(super) desk: mpsc::Sender<Report>,
}

/// What an attempt tells the loop.
pub(super) enum Report {
    /// It came to this; what becomes of the delivery?
    Asked {
        destination: Name,
        waiting: Waiting,
        probe: bool,
        begun: Timestamp,
        told: Box<Told>,
        answer: oneshot::Sender<Outcome>,
    },
    /// It is recorded (or there was nothing to record).
    Done {
        destination: Name,
        waiting: Waiting,
        probe: bool,
        outcome: Option<Outcome>,
        store_failed: bool,
    },
}

/// A request that was sent.
struct Sent {
    took: Duration,
    status: Option<u16>,
}

impl Attempt {
    /// Runs to the end. Dropped on the way, the delivery is still waiting in the store.
    pub(super) async fn run(mut self) {
        let (recorded, store_failed) = match self.load().await {
            Ok(None) => (None, false),
            // Lost for good: waiting would hold up what comes after it, and bring nothing.
            Err(StoreError::Payload(reason)) => (self.give_up(reason).await, false),
            Err(error) => {
                tracing::warn!(delivery = %self.id(), %error, "delivery could not be read from the store");
                (None, true)
            }
            // The relay was paused on the way: now it may be another's to send.
            Ok(Some(_)) if self.is_late() => (None, true),
            Ok(Some(work)) => (self.carry_out(&work).await, false),
        };
        let (outcome, attempted) = recorded.unzip();
        let report = Report::Done {
            destination: self.destination.name().clone(),
            waiting: self.entry.waiting,
            probe: self.probe,
            outcome,
            store_failed,
        };
        // The lane first: who hears of it and asks the lane is not to find it under way still.
        let _loop_is_gone = self.desk.send(report).await;
        if let Some(attempted) = attempted {
            self.bench.telemetry.attempted(attempted);
        }
    }

    fn id(&self) -> DeliveryId {
        self.entry.waiting.id
    }

    fn is_late(&self) -> bool {
        let now = self.bench.clock.monotonic();
        self.until.is_some_and(|until| now >= until)
    }

    async fn load(&mut self) -> Result<Option<Box<Work>>, StoreError> {
        if let Some(work) = self.entry.work.take() {
            return Ok(Some(work));
        }
        let since = match self.destination.revisions() {
            Revisions::All => Since::PreviousRevision,
            Revisions::Latest => Since::LastSent,
        };
        Ok(self.bench.store.work(self.id(), since).await?.map(Box::new))
    }

    async fn carry_out(&self, work: &Work) -> Option<(Outcome, Attempted)> {
        let traces = &self.bench.telemetry.traces;
        let mut span = traces.deliver(self.destination.name(), work.trace);
        let (told, sent, judgement) = self.send(work, &span).await;
        let (answer, decided) = oneshot::channel();
        let asked = Report::Asked {
            destination: self.destination.name().clone(),
            waiting: self.entry.waiting.clone(),
            probe: self.probe,
            begun: self.at,
            told: Box::new(told),
            answer,
        };
        self.desk.send(asked).await.ok()?;
        let outcome = decided.await.ok()?;
        let attempt = sent
            .as_ref()
            .zip(judgement.as_ref())
            .map(|(sent, judgement)| Record {
                at: self.at,
                duration: sent.took,
                status: sent.status,
                verdict: judgement.verdict,
                reason: judgement.reason.clone(),
                excerpt: judgement.excerpt.clone(),
            });
        let gone = judgement.as_ref().and_then(|judgement| judgement.again) == Some(Again::Gone);
        let gone = work.receipt.clone().filter(|_| gone);
        let settled = self.settle(attempt, outcome.clone(), gone).await?;
        let verdict = judgement.map(|judgement| judgement.verdict);
        let attempted = self.told(
            Some(work),
            sent.as_ref(),
            verdict,
            (&outcome, settled.state),
        );
        trace(&mut span, &attempted);
        Some((outcome, attempted))
    }

    /// Ends a delivery that cannot be made; nothing was sent.
    async fn give_up(&self, reason: String) -> Option<(Outcome, Attempted)> {
        tracing::error!(delivery = %self.id(), reason, "a delivery is dead: its payload is lost");
        let cause = Cause::Lost;
        let outcome = Outcome::Dead { cause, reason };
        let settled = self.settle(None, outcome.clone(), None).await?;
        let attempted = self.told(None, None, None, (&outcome, settled.state));
        Some((outcome, attempted))
    }

    async fn send(&self, work: &Work, span: &Span) -> (Told, Option<Sent>, Option<Judgement>) {
        let mut request = match self.render(work) {
            Ok(request) => request,
            Err(unsendable) => return (Told::Unsendable(unsendable), None, None),
        };
        let place = span
            .place()
            .filter(|_| self.destination.settings().traceparent);
        if let Some(value) = place.and_then(|place| place.to_string().parse().ok()) {
            request.headers.insert(TRACEPARENT, value);
        }
        let started = self.bench.clock.monotonic();
        let (judgement, status) = self.ask(work, request).await;
        let took = self.bench.clock.monotonic().saturating_sub(started);
        (
            Told::Judged(judgement.clone()),
            Some(Sent { took, status }),
            Some(judgement),
        )
    }

    /// Sends a request, with a token where the destination takes one; what it means, and its status.
    async fn ask(&self, work: &Work, mut request: Outgoing) -> (Judgement, Option<u16>) {
        let held = match self.token().await {
            Ok(held) => held,
            Err(judgement) => return (*judgement, None),
        };
        if let Some(held) = &held {
            held.token.apply(&mut request.headers);
        }
        let reply: Result<Answer, Failure> = self.bench.transport.send(request).await;
        let asked = (
            self.destination.action(work.receipt.as_ref()),
            held.as_ref().map(|held| &held.token),
        );
        let now = self.bench.clock.now();
        let mut judgement = self.destination.judge(&reply, now, asked);
        let status = reply.as_ref().ok().map(|answer| answer.status.as_u16());
        if let Some(held) = held.filter(|_| status == Some(401)) {
            self.token_refused(&held, &mut judgement).await;
        }
        (judgement, status)
    }

    async fn token(&self) -> Result<Option<Held>, Box<Judgement>> {
        let Some(client) = self.destination.oauth2() else {
            return Ok(None);
        };
        let Bench {
            transport, clock, ..
        } = &*self.bench;
        let held = self.bench.tokens.get(client, &**transport, &**clock).await;
        held.map(Some)
    }

    /// A token that was good a while ago may have been taken back: the delivery is sent once more with
    /// a new one. A new one that is refused is no accident.
    async fn token_refused(&self, held: &Held, judgement: &mut Judgement) {
        if let Some(client) = self.destination.oauth2() {
            self.bench.tokens.refused(client, &held.token).await;
        }
        if !held.fresh {
            judgement.verdict = Verdict::Retry;
            judgement.again = Some(Again::NewToken);
            judgement.reason.push_str("; once more with a new token");
        }
    }

    fn render(&self, work: &Work) -> Result<Outgoing, Unsendable> {
        let terms = Terms {
            destination: &self.destination,
            with: self.routes.get(&work.route),
            attempt: self.entry.waiting.budget.tries.saturating_add(1),
            now: self.at,
            key: self.bench.store.key(),
        };
        request(&terms, work)
    }

    /// Records what happened, however long the store takes; None where that is not ours to record any more.
    async fn settle(
        &self,
        attempt: Option<Record>,
        outcome: Outcome,
        gone: Option<Receipt>,
    ) -> Option<Settled> {
        let mut told = false;
        loop {
            let settlement = Settlement {
                delivery: self.id(),
                fence: self.fence,
                attempt: attempt.clone(),
                outcome: outcome.clone(),
                gone: gone.clone(),
                at: self.bench.clock.now(),
            };
            match self.bench.store.settle(settlement).await {
                Ok(settled) => return Some(settled),
                Err(error @ (StoreError::Fenced | StoreError::Closed)) => {
                    tracing::warn!(delivery = %self.id(), %error, "attempt not recorded");
                    return None;
                }
                Err(error) => {
                    if !told {
                        tracing::error!(delivery = %self.id(), %error, "attempt cannot be recorded yet: trying on");
                        told = true;
                    }
                    self.bench.clock.pause(STORE_PAUSE).await;
                }
            }
        }
    }

    /// What is to be told of it.
    fn told(
        &self,
        work: Option<&Work>,
        sent: Option<&Sent>,
        verdict: Option<Verdict>,
        end: (&Outcome, State),
    ) -> Attempted {
        let (outcome, state) = end;
        let now = self.bench.clock.now();
        let (reason, due_at) = match outcome {
            Outcome::Delivered { warning, .. } => (warning.clone().unwrap_or_default(), None),
            Outcome::Waiting { reason, due_at, .. } => (reason.clone(), Some(*due_at)),
            Outcome::Dead { reason, .. } | Outcome::Skipped { reason } => (reason.clone(), None),
        };
        let cause = match outcome {
            Outcome::Dead { cause, .. } if state == State::Dead => Some(*cause),
            _ => None,
        };
        Attempted {
            at: self.at,
            event: self.id().event,
            delivery: self.id(),
            destination: self.destination.name().clone(),
            attempt: self.entry.waiting.budget.tries.saturating_add(1),
            status: sent.and_then(|sent| sent.status),
            verdict,
            duration_ms: sent.map_or(0, |sent| {
                u64::try_from(sent.took.as_millis()).unwrap_or(u64::MAX)
            }),
            state,
            due_at: due_at.filter(|_| state == State::Waiting),
            reason,
            cause,
            of_alert: work.is_some_and(|work| &*work.event.source == ALERTS),
            created_at: self.entry.waiting.created_at,
            end_to_end: work
                .filter(|_| state == State::Delivered)
                .map(|work| after(work.event.received_at, now)),
        }
    }
}

/// Tells a span what came of an attempt.
fn trace(span: &mut Span, attempted: &Attempted) {
    span.set("relay.event", || attempted.event.to_string().into());
    span.set("relay.delivery", || attempted.delivery.to_string().into());
    span.set("relay.attempt", || i64::from(attempted.attempt).into());
    span.set("relay.state", || attempted.state.as_str().into());
    if let Some(status) = attempted.status {
        span.set("http.response.status_code", || i64::from(status).into());
    }
    match attempted.verdict {
        Some(verdict) => {
            span.set("relay.verdict", || verdict.as_str().into());
            if verdict != Verdict::Accepted {
                span.fail(verdict.as_str());
            }
        }
        None => span.fail("not sent"),
    }
}
