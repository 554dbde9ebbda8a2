//! A destination at work: what goes out next, and what an answer means for the delivery and for the
//! lane. All of it is decisions over values; the loop in `mod` carries them out.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::breaker::{Breaker, Change, Kind};
use super::gate::{Gate, Pass};
use super::window::{Entry, Window};
use super::{LaneSpec, LaneView};
use crate::clock::Clock;
use crate::destination::{Judgement, Order, Revisions, Unsendable};
use crate::model::{Budget, Cause, LaneState, Name, Verdict, after, plus};
use crate::retry::{Decision, Failed};
use crate::store::{Fence, LaneRecord, Lease, Outcome, WORDS_ERASED, Waiting};

/// One lane.
pub(super) struct Lane {
    pub(super) spec: LaneSpec,
    pub(super) fence: Fence,
    pub(super) window: Window,
    gate: Gate,
    breaker: Breaker,
    paused: bool,
    /// No longer in relay.toml: it starts nothing more.
    retired: bool,
    tenure: Tenure,
    clock: Arc<dyn Clock>,
    standing: Standing,
    /// Subjects (or deliveries without one) that were probes in the present trouble.
    probed: HashSet<u64>,
    probing: bool,
}

/// How a lane is this relay's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tenure {
    /// Nobody else could have it.
    Own,
    /// Until then, by the clock that never goes back.
    Until(Duration),
    /// It is to be another relay's, and starts nothing more.
    Parting,
    /// It may be another relay's already.
    Lost,
}

/// What a lane wants to be done.
pub(super) enum Step {
    /// Read up to so many deliveries from the store.
    Read { limit: usize },
    /// Send this one.
    Start { entry: Entry, probe: bool },
    /// Nothing before this time, unless something happens.
    Wait { until: Option<Timestamp> },
}

/// What an attempt came to.
pub(super) enum Told {
    /// The request could not be made from this delivery.
    Unsendable(Unsendable),
    /// It was sent, and this is what came back.
    Judged(Judgement),
}

/// When an attempt is judged, and with what chance.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) begun: Timestamp,
    pub(super) now: Timestamp,
    /// 0 to 1.
    pub(super) unit: f64,
}

/// Adds up how long the lane has stood still: held, open, blocked or paused.
#[derive(Debug)]
struct Standing {
    total: Duration,
    since: Option<Timestamp>,
}

impl Lane {
    pub(super) fn new(spec: LaneSpec, lease: Lease, clock: Arc<dyn Clock>) -> Self {
        let Lease {
            fence,
            lane: record,
        } = lease;
        let mut breaker = Breaker::new(spec.settings.breaker.clone());
        let still = record.paused || record.state != LaneState::Healthy;
        let since = still.then_some(record.since);
        breaker.restore(record.state, record.reason, record.since);
        Self {
            gate: Gate::new(&spec.settings, clock.clone()),
            window: Window::new(),
            breaker,
            paused: record.paused,
            retired: false,
            tenure: Tenure::Own,
            clock,
            standing: Standing {
                total: record.stood_still,
                since,
            },
            probed: HashSet::new(),
            probing: false,
            spec,
            fence,
        }
    }

    pub(super) fn name(&self) -> &Name {
        self.spec.destination.name()
    }

    /// What to do now. Ask again after each answer, until it is `Wait`.
    pub(super) fn next(&mut self, now: Timestamp) -> Step {
        self.note_standing(now);
        if self.is_retired() || self.is_over() {
            return Step::Wait { until: None };
        }
        if let Some(limit) = self.window.wants(now) {
            return Step::Read { limit };
        }
        if self.is_paused() {
            return Step::Wait { until: None };
        }
        let until = match self.breaker.trouble() {
            None => self.start(now, false),
            // What is being read may bring another subject to probe with.
            Some(_) if self.probing || self.window.is_reading() => Err(None),
            Some(trouble) if trouble.probe_at > now => Err(Some(trouble.probe_at)),
            Some(_) => self.start(now, true),
        };
        match until {
            Ok(entry) => {
                let probe = self.breaker.trouble().is_some();
                self.probing |= probe;
                Step::Start { entry, probe }
            }
            Err(until) => Step::Wait {
                until: earlier(until, self.window.wake()),
            },
        }
    }

    /// A delivery that may go out now, or when to ask again.
    fn start(&mut self, now: Timestamp, probe: bool) -> Result<Entry, Option<Timestamp>> {
        let ordered = self.spec.destination.order() == Order::Subject;
        if !self.window.has_ready(ordered) {
            return Err(None);
        }
        match self.gate.enter(now) {
            Pass::Now => {}
            Pass::At(at) => return Err(Some(at)),
            Pass::AfterOne => return Err(None),
        }
        let probed = &self.probed;
        let fresh = |waiting: &Waiting| !probe || !probed.contains(&identity(waiting));
        let entry = self.window.take(ordered, fresh).or_else(|| {
            // Every subject at hand had its turn.
            self.probed.clear();
            self.window.take(ordered, |_| true)
        });
        let entry = entry.expect("something was ready a moment ago");
        if probe {
            self.probed.insert(identity(&entry.waiting));
        }
        Ok(entry)
    }

    /// Decides what becomes of a delivery, and what its answer says about the destination.
    pub(super) fn decide(
        &mut self,
        waiting: &Waiting,
        probe: bool,
        told: Told,
        at: Moment,
    ) -> (Outcome, Change) {
        self.note_standing(at.now);
        match told {
            Told::Unsendable(Unsendable::Skipped { field }) => (
                Outcome::Skipped {
                    reason: format!("{field} is null"),
                },
                Change::None,
            ),
            Told::Unsendable(Unsendable::Dead { reason }) => {
                let cause = Cause::Unsendable;
                (Outcome::Dead { cause, reason }, Change::None)
            }
            Told::Judged(judgement) => {
                let (outcome, change) = self.judged(waiting, probe, judgement, at);
                if change == Change::Tripped {
                    // The first probe is to be another subject, where there is one.
                    self.probed = HashSet::from([identity(waiting)]);
                }
                (outcome, change)
            }
        }
    }

    fn judged(
        &mut self,
        waiting: &Waiting,
        probe: bool,
        judgement: Judgement,
        at: Moment,
    ) -> (Outcome, Change) {
        let Moment { now, unit, begun } = at;
        let mut budget = waiting.budget.clone();
        budget.tries = budget.tries.saturating_add(1);
        if judgement.again.is_some() {
            return (self.keep(waiting, budget, judgement.reason), Change::None);
        }
        let reason = judgement.reason.as_str();
        match judgement.verdict {
            Verdict::Accepted => {
                self.gate.accepted(now);
                let change = self.breaker.accepted(begun, probe);
                let Judgement {
                    receipt, warning, ..
                } = judgement;
                (Outcome::Delivered { receipt, warning }, change)
            }
            Verdict::Retry if judgement.holds_lane => {
                let policy = &self.spec.settings.retry;
                let longest = self.spec.settings.breaker.probe_max;
                let fallback = |times| policy.delay(times, unit).min(longest);
                self.gate.hold(now, judgement.retry_after, fallback);
                (self.keep(waiting, budget, judgement.reason), Change::None)
            }
            Verdict::Retry if probe => {
                let change = self.breaker.failed(now, reason, true);
                (self.keep(waiting, budget, judgement.reason), change)
            }
            Verdict::Retry => {
                let outcome = self.charge(waiting, &budget, &judgement, at);
                (outcome, self.breaker.failed(now, reason, false))
            }
            Verdict::Blocked if judgement.not_sent => {
                let change = self.breaker.refused(now, reason, probe);
                (self.keep(waiting, budget, judgement.reason), change)
            }
            Verdict::Blocked if self.breaker.took_another_since(budget.refused_at) => {
                let reason = format!("refused twice while others were accepted: {reason}");
                let cause = Cause::Refused;
                (Outcome::Dead { cause, reason }, Change::None)
            }
            Verdict::Blocked => {
                let change = self.breaker.refused(now, reason, probe);
                budget.refused_at = budget.refused_at.or(Some(now));
                (self.keep(waiting, budget, judgement.reason), change)
            }
            Verdict::Rejected => {
                let again = self.breaker.took_another_since(budget.refused_at);
                let (change, stands) = self.breaker.rejected(now, waiting.id.event, reason, probe);
                if stands || again {
                    return (
                        Outcome::Dead {
                            cause: Cause::Rejected,
                            reason: judgement.reason,
                        },
                        change,
                    );
                }
                budget.refused_at = budget.refused_at.or(Some(now));
                (self.keep(waiting, budget, judgement.reason), change)
            }
        }
    }

    /// It goes on waiting, at no charge.
    fn keep(&self, waiting: &Waiting, budget: Budget, reason: String) -> Outcome {
        let supersedable = self.spec.destination.revisions() == Revisions::Latest;
        Outcome::Waiting {
            due_at: waiting.due_at,
            reason,
            budget,
            supersedable,
        }
    }

    fn charge(
        &self,
        waiting: &Waiting,
        budget: &Budget,
        judgement: &Judgement,
        at: Moment,
    ) -> Outcome {
        let Moment { now, unit, .. } = at;
        let stood_still = self.standing.upto(now);
        let failed = Failed {
            at: now,
            stood_still,
            retry_after: judgement.retry_after,
            unit,
        };
        match self.spec.settings.retry.charge(budget, failed) {
            Decision::Again { delay, budget } => Outcome::Waiting {
                due_at: plus(now, delay).max(waiting.due_at),
                reason: judgement.reason.clone(),
                budget,
                supersedable: self.spec.destination.revisions() == Revisions::Latest,
            },
            Decision::GiveUp { reason } => Outcome::Dead {
                cause: Cause::GaveUp,
                reason: format!("{}; {reason}", judgement.reason),
            },
        }
    }

    /// The outcome of an attempt is recorded: its place is free.
    pub(super) fn done(&mut self, waiting: &Waiting, probe: bool, outcome: Option<&Outcome>) {
        self.gate.leave();
        self.window.done(waiting);
        self.probing &= !probe;
        match outcome {
            Some(Outcome::Waiting { due_at, .. }) if *due_at > waiting.due_at => {
                self.window.wakes_at(*due_at);
            }
            Some(Outcome::Waiting { .. }) => self.window.look(),
            _ => {}
        }
    }

    /// Healthy again: what waits for a retry is due at once, and probes start anew next time.
    pub(super) fn freed(&mut self) {
        self.probed.clear();
        self.window.look();
    }

    pub(super) fn pause(&mut self, now: Timestamp, paused: bool) -> Change {
        self.note_standing(now);
        self.paused = paused;
        let change = if paused {
            Change::None
        } else {
            self.gate.free();
            self.breaker.free()
        };
        self.note_standing(now);
        change
    }

    /// Forgets what the receiver said.
    pub(super) fn unquote(&mut self) {
        self.breaker.reword(WORDS_ERASED);
    }

    /// Takes other settings; whatever was wrong may be mended by them.
    pub(super) fn reconfigure(&mut self, now: Timestamp, spec: LaneSpec) -> Change {
        self.note_standing(now);
        self.gate.reconfigure(&spec.settings);
        let change = self.breaker.reconfigure(spec.settings.breaker.clone());
        self.spec = spec;
        self.retired = false;
        self.window.reread();
        self.note_standing(now);
        change
    }

    pub(super) fn retire(&mut self) {
        self.retired = true;
    }

    pub(super) fn is_idle(&self) -> bool {
        self.gate.under_way() == 0
    }

    /// It starts nothing more: because it is gone from relay.toml, or is to be another relay's.
    pub(super) fn is_retired(&self) -> bool {
        self.retired || self.is_parting()
    }

    pub(super) fn is_parting(&self) -> bool {
        matches!(self.tenure, Tenure::Parting | Tenure::Lost)
    }

    pub(super) fn is_lost(&self) -> bool {
        self.tenure == Tenure::Lost
    }

    pub(super) fn until(&self) -> Option<Duration> {
        match self.tenure {
            Tenure::Until(until) => Some(until),
            Tenure::Own | Tenure::Parting | Tenure::Lost => None,
        }
    }

    /// It is this relay's until then. What was known before nobody knew whose it is may not be so any more.
    pub(super) fn renew(&mut self, until: Duration) {
        if self.is_over() {
            self.window.reread();
        }
        if !self.is_parting() {
            self.tenure = Tenure::Until(until);
        }
    }

    /// To be given back once nothing is under way.
    pub(super) fn part(&mut self) {
        if !self.is_lost() {
            self.tenure = Tenure::Parting;
        }
    }

    /// It is not this relay's any more; true where that is news.
    pub(super) fn lose(&mut self) -> bool {
        std::mem::replace(&mut self.tenure, Tenure::Lost) != Tenure::Lost
    }

    /// Its time is over, and nobody knows whose it is.
    pub(super) fn is_over(&self) -> bool {
        self.until()
            .is_some_and(|until| self.clock.monotonic() >= until)
    }

    /// What must outlive a restart.
    pub(super) fn record(&self, now: Timestamp) -> LaneRecord {
        let trouble = self.breaker.trouble();
        LaneRecord {
            destination: self.name().clone(),
            state: self.breaker.state(),
            paused: self.paused,
            reason: trouble
                .map(|trouble| trouble.reason.clone())
                .unwrap_or_default(),
            since: self.standing.since.unwrap_or(now),
            stood_still: self.standing.total,
        }
    }

    /// How it stands, for people.
    pub(super) fn view(&self, now: Timestamp) -> LaneView {
        let trouble = self.breaker.trouble();
        let reason = match trouble {
            _ if self.spec.settings.paused => "paused = true in relay.toml".to_owned(),
            _ if self.paused => "paused by an operator".to_owned(),
            Some(trouble) if trouble.kind == Kind::Open => {
                format!("does not answer: {}", trouble.reason)
            }
            Some(trouble) => trouble.reason.clone(),
            None if self.gate.held_until(now).is_some() => {
                "it asked to be sent nothing for a while; resume ends that".to_owned()
            }
            None => match self.breaker.failing() {
                Some((1, why)) => format!("the last attempt failed: {why}"),
                Some((count, why)) => format!("the last {count} attempts failed: {why}"),
                None => String::new(),
            },
        };
        LaneView {
            destination: self.name().clone(),
            state: if self.is_paused() {
                LaneState::Paused
            } else {
                self.breaker.state()
            },
            reason,
            since: trouble.map(|trouble| trouble.since).or(self.standing.since),
            held_until: self.gate.held_until(now),
            next_probe: trouble.map(|trouble| trouble.probe_at),
            in_flight: self.gate.under_way(),
            blocked: self.breaker.state() == LaneState::Blocked,
        }
    }

    fn is_paused(&self) -> bool {
        self.paused || self.spec.settings.paused
    }

    fn note_standing(&mut self, now: Timestamp) {
        let held = self.gate.held_until(now).is_some();
        self.standing.note(
            now,
            held || self.is_paused() || self.breaker.trouble().is_some(),
        );
    }
}

impl Standing {
    fn note(&mut self, now: Timestamp, still: bool) {
        match (self.since, still) {
            (None, true) => self.since = Some(now),
            (Some(since), false) => {
                self.total += after(since, now);
                self.since = None;
            }
            _ => {}
        }
    }

    fn upto(&self, now: Timestamp) -> Duration {
        self.total + self.since.map_or(Duration::ZERO, |since| after(since, now))
    }
}

/// What "another subject" means for a delivery that may have none.
fn identity(waiting: &Waiting) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    match waiting.subject {
        Some(subject) => subject.hash(&mut hasher),
        None => waiting.id.hash(&mut hasher),
    }
    hasher.finish()
}

fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}
