//! Rate limits: governor's GCRA on the clock that everything else follows.

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use governor::clock::Clock as GovernorClock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::clock::Clock;
use crate::model::Rate;

/// One limit, shared by whoever holds it.
pub struct Limiter {
    inner: RateLimiter<NotKeyed, InMemoryState, Reading, NoOpMiddleware<Duration>>,
    clock: Reading,
}

/// The monotonic side of a [`Clock`], in the form that governor asks.
#[derive(Clone)]
struct Reading(Arc<dyn Clock>);

impl GovernorClock for Reading {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.monotonic()
    }
}

impl Limiter {
    /// For what comes in: `rate.count` at once, and as many again spread over each period.
    pub fn incoming(rate: Rate, clock: Arc<dyn Clock>) -> Self {
        let quota = Quota::with_period(rate.period / rate.count.get())
            .expect("a rate's period is not zero");
        Self::new(quota.allow_burst(rate.count), clock)
    }

    /// For what goes out: at most `rate.count` in every window of `rate.period`, evenly spaced, after a
    /// quiet time `burst` of them at once. It starts without that burst, so that a restart does not
    /// add one to what was sent just before. The spacing is one percent wider than the rate asks:
    /// what leaves evenly arrives with the network's jitter, and a window is counted over there.
    pub fn outgoing(rate: Rate, burst: NonZeroU32, clock: Arc<dyn Clock>) -> Self {
        let burst = burst.min(rate.count);
        let spaced = rate.count.get() - burst.get() + 1;
        let interval = rate.period / spaced;
        let quota =
            Quota::with_period(interval + interval / 100).expect("a rate's period is not zero");
        let limiter = Self::new(quota.allow_burst(burst), clock);
        let _used_up = limiter.inner.check_n(burst);
        limiter
    }

    fn new(quota: Quota, clock: Arc<dyn Clock>) -> Self {
        let clock = Reading(clock);
        Self {
            inner: RateLimiter::direct_with_clock(quota, clock.clone()),
            clock,
        }
    }

    /// Takes a slot, or tells how long it is until the next one.
    pub fn take(&self) -> Result<(), Duration> {
        self.inner
            .check()
            .map_err(|not_yet| not_yet.wait_time_from(self.clock.now()))
    }
}

/// A limit for each of many strangers, of whom only so many are remembered.
pub struct Limiters<K> {
    rate: Rate,
    most: usize,
    clock: Arc<dyn Clock>,
    /// With the time of each one's last slot, taken or not.
    each: Mutex<HashMap<K, (Limiter, Duration)>>,
    /// Shared by all others while there are too many.
    others: Limiter,
}

impl<K: Eq + Hash> Limiters<K> {
    /// `rate` as for what comes in, for each of `most` keys.
    pub fn incoming(rate: Rate, most: usize, clock: Arc<dyn Clock>) -> Self {
        Self {
            rate,
            most,
            others: Limiter::incoming(rate, clock.clone()),
            clock,
            each: Mutex::default(),
        }
    }

    /// Takes a slot of `key`, or tells how long it is until the next one.
    pub fn take(&self, key: K) -> Result<(), Duration> {
        let now = self.clock.monotonic();
        let mut each = self.each.lock().expect("nothing panics in here");
        if each.len() >= self.most && !each.contains_key(&key) {
            // After a period all slots are there again: one that is forgotten would be new with as many.
            each.retain(|_, (_, last)| now.saturating_sub(*last) < self.rate.period);
            if each.len() >= self.most {
                return self.others.take();
            }
        }
        let fresh = || (Limiter::incoming(self.rate, self.clock.clone()), now);
        let (limiter, last) = each.entry(key).or_insert_with(fresh);
        *last = now;
        limiter.take()
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::clock::ManualClock;

    fn rate(text: &str) -> Rate {
        text.parse().expect("a rate")
    }

    fn clock() -> Arc<ManualClock> {
        Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH))
    }

    /// When the first `n` slots come for somebody who always waits for the next.
    fn slots(limiter: &Limiter, clock: &ManualClock, n: usize) -> Vec<Duration> {
        let mut taken = Vec::new();
        while taken.len() < n {
            match limiter.take() {
                Ok(()) => taken.push(clock.monotonic()),
                Err(wait) => clock.advance(wait),
            }
        }
        taken
    }

    #[test]
    fn an_outgoing_limit_starts_empty_and_is_evenly_spaced() {
        let clock = clock();
        let limiter = Limiter::outgoing(rate("2/s"), NonZeroU32::MIN, clock.clone());
        let millis: Vec<u128> = slots(&limiter, &clock, 3)
            .iter()
            .map(Duration::as_millis)
            .collect();
        assert_eq!(millis, [505, 1_010, 1_515]);
        clock.advance(Duration::from_mins(1));
        assert_eq!(limiter.take(), Ok(()));
        assert!(
            limiter.take().is_err(),
            "a quiet minute earns no more than the burst"
        );
    }

    #[test]
    fn an_incoming_limit_allows_its_count_at_once_and_names_the_next_slot() {
        let limiter = Limiter::incoming(rate("3/s"), clock());
        for _ in 0..3 {
            assert_eq!(limiter.take(), Ok(()));
        }
        let wait = limiter.take().expect_err("the fourth");
        assert!(
            wait > Duration::from_millis(330) && wait < Duration::from_millis(340),
            "{wait:?}"
        );
    }

    #[test]
    fn each_of_many_has_a_limit_of_its_own_and_memory_has_an_end() {
        let clock = clock();
        let limiters = Limiters::incoming(rate("2/min"), 3, clock.clone());
        for key in 0..3 {
            assert_eq!((limiters.take(key), limiters.take(key)), (Ok(()), Ok(())));
            assert!(limiters.take(key).is_err(), "the third of {key}");
        }
        // Whoever comes now shares what is left for strangers.
        assert_eq!((limiters.take(10), limiters.take(11)), (Ok(()), Ok(())));
        assert!((12..1000).all(|key| limiters.take(key).is_err()));
        assert_eq!(limiters.each.lock().unwrap().len(), 3);
        clock.advance(Duration::from_secs(30));
        assert_eq!(limiters.take(0), Ok(()), "half a minute is one slot");
        clock.advance(Duration::from_secs(30));
        assert_eq!((limiters.take(13), limiters.take(13)), (Ok(()), Ok(())));
        let kept = limiters.each.lock().unwrap();
        assert_eq!(
            kept.len(),
            2,
            "0 was there half a minute ago, the others are forgotten"
        );
    }

    proptest! {
        #[test]
        fn a_rate_holds_in_every_window(
            count in 1u32..20, burst in 1u32..25, period in 1u64..10_000, pauses in prop::collection::vec(0u64..20_000, 60),
        ) {
            let clock = clock();
            let rate = Rate { count: NonZeroU32::new(count).expect("from 1"), period: Duration::from_millis(period) };
            let limiter = Limiter::outgoing(rate, NonZeroU32::new(burst).expect("from 1"), clock.clone());
            let mut taken: Vec<Duration> = Vec::new();
            for pause in pauses {
                match limiter.take() {
                    Ok(()) => taken.push(clock.monotonic()),
                    Err(wait) => clock.advance(wait),
                }
                if pause > 15_000 {
                    clock.advance(Duration::from_millis(pause - 15_000));
                }
            }
            for (at, start) in taken.iter().enumerate() {
                let inside = taken[at..].iter().filter(|slot| (**slot).checked_sub(*start).unwrap() < rate.period).count();
                prop_assert!(inside <= count as usize, "{inside} in a window of {rate}");
            }
        }
    }
}
