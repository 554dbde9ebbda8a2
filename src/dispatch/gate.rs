//! How many may go out: concurrency, rate, and the hold that a receiver asked for.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::LaneSettings;
use crate::clock::Clock;
use crate::limiter::Limiter;
use crate::model::{Rate, plus};
use crate::retry::LONGEST_WAIT;

/// The gate of one lane.
pub(super) struct Gate {
    limiter: Option<Limiter>,
    limits: (Option<Rate>, NonZeroU32),
    concurrency: usize,
    under_way: usize,
    hold: Option<Hold>,
    clock: Arc<dyn Clock>,
}

/// The receiver asked for a pause (429, or 503 with Retry-After).
#[derive(Clone, Copy, Debug)]
struct Hold {
    until: Timestamp,
    /// How often in a row.
    times: u32,
}

/// May another request go out?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    Now,
    /// Not before this time.
    At(Timestamp),
    /// When one that is under way is done.
    AfterOne,
}

impl Gate {
    pub(super) fn new(settings: &LaneSettings, clock: Arc<dyn Clock>) -> Self {
        let limits = (settings.rate_limit, settings.burst);
        Self {
            limiter: limiter(limits, &clock),
            limits,
            concurrency: settings.concurrency.get() as usize,
            under_way: 0,
            hold: None,
            clock,
        }
    }

    /// Takes other settings. An unchanged rate keeps what it has counted.
    pub(super) fn reconfigure(&mut self, settings: &LaneSettings) {
        let limits = (settings.rate_limit, settings.burst);
        if limits != self.limits {
            self.limiter = limiter(limits, &self.clock);
            self.limits = limits;
        }
        self.concurrency = settings.concurrency.get() as usize;
        self.hold = None;
    }

    /// Asks for a place; `Now` takes it. After a hold they go one by one until one is accepted.
    pub(super) fn enter(&mut self, now: Timestamp) -> Pass {
        if let Some(until) = self.held_until(now) {
            return Pass::At(until);
        }
        let room = if self.hold.is_some() {
            1
        } else {
            self.concurrency
        };
        if self.under_way >= room {
            return Pass::AfterOne;
        }
        match self.limiter.as_ref().map_or(Ok(()), Limiter::take) {
            Ok(()) => {
                self.under_way += 1;
                Pass::Now
            }
            // A wait is rounded up to the clock's milliseconds: waking early would only ask again.
            Err(wait) => Pass::At(plus(now, wait + Duration::from_micros(999))),
        }
    }

    /// One that entered is done.
    pub(super) fn leave(&mut self) {
        self.under_way -= 1;
    }

    /// The receiver asked for a pause of `wait`, or just for less (then each pause is longer).
    pub(super) fn hold(
        &mut self,
        now: Timestamp,
        wait: Option<Duration>,
        fallback: impl Fn(u32) -> Duration,
    ) {
        let times = self.hold.map_or(1, |hold| hold.times.saturating_add(1));
        let wait = wait.unwrap_or_else(|| fallback(times)).min(LONGEST_WAIT);
        let until = plus(now, wait).max(self.hold.map_or(now, |hold| hold.until));
        self.hold = Some(Hold { until, times });
    }

    /// The receiver took one: no more pauses.
    pub(super) fn accepted(&mut self, now: Timestamp) {
        if self.held_until(now).is_none() {
            self.hold = None;
        }
    }

    /// An operator knows better than the receiver.
    pub(super) fn free(&mut self) {
        self.hold = None;
    }

    /// Until when the receiver wants nothing.
    pub(super) fn held_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.hold
            .map(|hold| hold.until)
            .filter(|until| *until > now)
    }

    /// Requests that have entered and not left.
    pub(super) fn under_way(&self) -> usize {
        self.under_way
    }
}

fn limiter((rate, burst): (Option<Rate>, NonZeroU32), clock: &Arc<dyn Clock>) -> Option<Limiter> {
    rate.map(|rate| Limiter::outgoing(rate, burst, clock.clone()))
}
