//! Whether a destination is worth trying: healthy, open (it does not answer) or blocked (it refuses
//! altogether). Decides nothing about single deliveries except whether a rejection of one stands.

use std::time::Duration;

use jiff::Timestamp;

use super::BreakerPolicy;
use crate::model::{EventId, LaneState, plus};

/// The breaker of one lane.
#[derive(Debug)]
pub(super) struct Breaker {
    policy: BreakerPolicy,
    trouble: Option<Trouble>,
    /// Failures in a row, and why the last failed.
    failures: u32,
    last_failure: String,
    /// Different events rejected in a row.
    rejected: Vec<EventId>,
    /// When the last attempt that was accepted had begun.
    last_accepted: Option<Timestamp>,
}

/// Why nothing but probes goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) kind: Kind,
    /// In the receiver's words where it had any.
    pub(super) reason: String,
    pub(super) since: Timestamp,
    pub(super) probe_at: Timestamp,
    wait: Duration,
}

/// The kinds of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It does not answer.
    Open,
    /// It refuses us: credentials, disabled.
    Refused,
    /// It rejects whatever it is sent.
    Rejecting,
}

/// What a report did to the breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    None,
    /// It is in trouble now, or in another trouble than before.
    Tripped,
    /// It is healthy again.
    Freed,
}

impl Breaker {
    pub(super) fn new(policy: BreakerPolicy) -> Self {
        Self {
            policy,
            trouble: None,
            failures: 0,
            last_failure: String::new(),
            rejected: Vec::new(),
            last_accepted: None,
        }
    }

    /// Puts back what was so before a restart; the first probe goes out at once.
    pub(super) fn restore(&mut self, state: LaneState, reason: String, since: Timestamp) {
        let kind = match state {
            LaneState::Open => Kind::Open,
            LaneState::Blocked => Kind::Refused,
            LaneState::Healthy | LaneState::Paused | LaneState::Orphaned => return,
        };
        let wait = self.policy.probe_after;
        self.trouble = Some(Trouble {
            kind,
            reason,
            since,
            probe_at: since,
            wait,
        });
    }

    pub(super) fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    /// How many attempts in a row failed while nothing is wrong yet, and why the last did.
    pub(super) fn failing(&self) -> Option<(u32, &str)> {
        let so_far = self.failures > 0 && self.trouble.is_none();
        so_far.then_some((self.failures, &self.last_failure))
    }

    /// Gives another reason for the trouble there is.
    pub(super) fn reword(&mut self, reason: &str) {
        reason.clone_into(&mut self.last_failure);
        if let Some(trouble) = &mut self.trouble {
            reason.clone_into(&mut trouble.reason);
        }
    }

    pub(super) fn state(&self) -> LaneState {
        match self.trouble.as_ref().map(|trouble| trouble.kind) {
            None => LaneState::Healthy,
            Some(Kind::Open) => LaneState::Open,
            Some(Kind::Refused | Kind::Rejecting) => LaneState::Blocked,
        }
    }

    /// A delivery refused at `refused_at` is to blame itself: the destination took another that was sent after.
    pub(super) fn took_another_since(&self, refused_at: Option<Timestamp>) -> bool {
        refused_at.is_some_and(|refused| {
            self.last_accepted
                .is_some_and(|accepted| accepted > refused)
        })
    }

    /// A delivery whose attempt was `begun` then was accepted. Only a probe frees a lane: others were sent
    /// before the trouble began.
    pub(super) fn accepted(&mut self, begun: Timestamp, probe: bool) -> Change {
        self.failures = 0;
        self.rejected.clear();
        self.last_accepted = self.last_accepted.max(Some(begun));
        if probe { self.free() } else { Change::None }
    }

    /// No answer, or one that asks for another try.
    pub(super) fn failed(&mut self, now: Timestamp, reason: &str, probe: bool) -> Change {
        if self.trouble.is_some() {
            return self.still_in_trouble(now, probe);
        }
        self.failures += 1;
        reason.clone_into(&mut self.last_failure);
        if self.failures < self.policy.failures.get() {
            return Change::None;
        }
        self.trip(now, Kind::Open, reason.to_owned())
    }

    /// The destination refused us altogether.
    pub(super) fn refused(&mut self, now: Timestamp, reason: &str, probe: bool) -> Change {
        match &self.trouble {
            Some(trouble) if trouble.kind != Kind::Open => self.still_in_trouble(now, probe),
            _ => self.trip(now, Kind::Refused, reason.to_owned()),
        }
    }

    /// One delivery was rejected. The second part tells whether that stands: a destination that rejects
    /// everything is to blame itself, and what it rejects from then on keeps waiting.
    pub(super) fn rejected(
        &mut self,
        now: Timestamp,
        event: EventId,
        reason: &str,
        probe: bool,
    ) -> (Change, bool) {
        if self
            .trouble
            .as_ref()
            .is_some_and(|trouble| trouble.kind == Kind::Rejecting)
        {
            return (self.still_in_trouble(now, probe), false);
        }
        self.failures = 0;
        if !self.rejected.contains(&event) {
            self.rejected.push(event);
        }
        let count = self.rejected.len();
        if count >= self.policy.rejections.get() as usize {
            let reason = format!("{count} different events rejected in a row, the last: {reason}");
            return (self.trip(now, Kind::Rejecting, reason), true);
        }
        // It answered, and about this delivery: it is there, and it lets us in.
        (if probe { self.free() } else { Change::None }, true)
    }

    /// Healthy from now on, whoever says so.
    pub(super) fn free(&mut self) -> Change {
        self.failures = 0;
        self.rejected.clear();
        if self.trouble.take().is_some() {
            Change::Freed
        } else {
            Change::None
        }
    }

    /// Other settings: what was wrong may be mended by them.
    pub(super) fn reconfigure(&mut self, policy: BreakerPolicy) -> Change {
        self.policy = policy;
        self.free()
    }

    fn trip(&mut self, now: Timestamp, kind: Kind, reason: String) -> Change {
        let wait = self.policy.probe_after;
        let since = self.trouble.as_ref().map_or(now, |trouble| trouble.since);
        self.rejected.clear();
        self.trouble = Some(Trouble {
            kind,
            reason,
            since,
            probe_at: plus(now, wait),
            wait,
        });
        Change::Tripped
    }

    fn still_in_trouble(&mut self, now: Timestamp, probe: bool) -> Change {
        if let Some(trouble) = self.trouble.as_mut().filter(|_| probe) {
            trouble.wait =
                (trouble.wait * 2).min(self.policy.probe_max.max(self.policy.probe_after));
            trouble.probe_at = plus(now, trouble.wait);
        }
        Change::None
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn breaker() -> Breaker {
        Breaker::new(BreakerPolicy {
            failures: NonZeroU32::new(3).expect("not 0"),
            rejections: NonZeroU32::new(2).expect("not 0"),
            probe_after: Duration::from_secs(30),
            probe_max: Duration::from_secs(100),
        })
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("in range")
    }

    fn event(n: i64) -> EventId {
        EventId::first_at(at(n))
    }

    #[test]
    fn failures_in_a_row_open_it_and_one_acceptance_starts_the_count_anew() {
        let mut breaker = breaker();
        breaker.failed(at(0), "timeout", false);
        breaker.failed(at(0), "timeout", false);
        breaker.accepted(at(0), false);
        breaker.failed(at(0), "timeout", false);
        assert_eq!(breaker.failed(at(0), "timeout", false), Change::None);
        assert_eq!(breaker.failed(at(1), "timeout", false), Change::Tripped);
        assert_eq!(breaker.state(), LaneState::Open);
        assert_eq!(breaker.trouble().map(|t| t.probe_at), Some(at(31)));
    }

    #[test]
    fn probes_wait_twice_as_long_each_time_up_to_the_maximum() {
        let mut breaker = breaker();
        breaker.refused(at(0), "401", false);
        let mut waits = Vec::new();
        for now in [30, 90, 190, 290] {
            breaker.failed(at(now), "401", true);
            waits.push(breaker.trouble().map(|t| t.probe_at.as_second() - now));
        }
        assert_eq!(waits, [Some(60), Some(100), Some(100), Some(100)]);
    }

    #[test]
    fn only_a_probe_frees_a_lane() {
        let mut breaker = breaker();
        breaker.refused(at(0), "401", false);
        assert_eq!(breaker.accepted(at(1), false), Change::None);
        assert_eq!(breaker.state(), LaneState::Blocked);
        assert_eq!(breaker.accepted(at(30), true), Change::Freed);
        assert_eq!(breaker.state(), LaneState::Healthy);
    }

    #[test]
    fn different_events_rejected_in_a_row_block_it_and_from_then_on_none_stands() {
        let mut breaker = breaker();
        assert_eq!(
            breaker.rejected(at(0), event(1), "422", false),
            (Change::None, true)
        );
        assert_eq!(
            breaker.rejected(at(0), event(1), "422", false),
            (Change::None, true)
        );
        assert_eq!(
            breaker.rejected(at(0), event(2), "422", false),
            (Change::Tripped, true)
        );
        assert_eq!(
            breaker.rejected(at(30), event(3), "422", true),
            (Change::None, false)
        );
        assert_eq!(breaker.state(), LaneState::Blocked);
    }

    #[test]
    fn a_rejected_probe_closes_an_open_breaker_because_somebody_answered() {
        let mut breaker = breaker();
        for _ in 0..3 {
            breaker.failed(at(0), "refused", false);
        }
        assert_eq!(
            breaker.rejected(at(30), event(1), "404", true),
            (Change::Freed, true)
        );
    }

    #[test]
    fn a_refusal_is_the_delivery_s_own_once_another_was_accepted_after_it() {
        let mut breaker = breaker();
        breaker.refused(at(0), "403", false);
        assert!(!breaker.took_another_since(Some(at(0))));
        breaker.accepted(at(30), true);
        assert!(breaker.took_another_since(Some(at(0))));
        assert!(!breaker.took_another_since(Some(at(30))));
        assert!(!breaker.took_another_since(None));
        // One that was sent before a refusal says nothing about it, however late its answer comes.
        breaker.refused(at(60), "401", false);
        breaker.accepted(at(59), false);
        assert!(!breaker.took_another_since(Some(at(60))));
    }
}
