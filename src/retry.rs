//! When a delivery is tried again, and when it is given up. Time and chance come in as values.

use std::time::Duration;

use jiff::Timestamp;

use crate::model::{Budget, LastCharge, after};

/// A destination's `retry`.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Wait after the first failed attempt.
    pub first: Duration,
    /// Longest wait, at most 6 hours.
    pub max: Duration,
    /// Each wait is so many times the one before; at least 1.
    pub factor: f64,
    /// Up to this share of the wait is added at random; 0 to 1.
    pub jitter: f64,
    /// Charged attempts after which it is given up.
    pub attempts: u32,
    /// Age after which it is given up.
    pub give_up_after: Duration,
}

/// No wait is longer, whatever a schedule or a Retry-After says.
pub const LONGEST_WAIT: Duration = Duration::from_hours(6);

/// What follows from a failed attempt that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Again { delay: Duration, budget: Budget },
    GiveUp { reason: String },
}

/// The moment of a failed attempt.
#[derive(Clone, Copy, Debug)]
pub struct Failed {
    pub at: Timestamp,
    /// How long the lane has stood still in all: held, open, blocked or paused.
    pub stood_still: Duration,
    /// What the receiver asked for.
    pub retry_after: Option<Duration>,
    /// Chance: 0 to 1.
    pub unit: f64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(5),
            max: LONGEST_WAIT,
            factor: 4.0,
            jitter: 0.1,
            attempts: 12,
            give_up_after: Duration::from_hours(72),
        }
    }
}

impl Policy {
    /// Charges a failed attempt to `budget` and decides. The age grows by the waits between charged
    /// attempts, without the time in which the lane stood still or the delivery queued for its turn.
    pub fn charge(&self, budget: &Budget, failed: Failed) -> Decision {
        let charged = budget.charged.saturating_add(1);
        let age = budget.age
            + budget
                .last
                .map_or(Duration::ZERO, |last| aged(last, failed));
        if charged >= self.attempts {
            return Decision::GiveUp {
                reason: format!("given up after {charged} attempts (retry.attempts)"),
            };
        }
        let delay = self
            .delay(charged, failed.unit)
            .max(failed.retry_after.unwrap_or_default())
            .min(LONGEST_WAIT);
        if age + delay > self.give_up_after {
            let limit = humantime::format_duration(self.give_up_after);
            return Decision::GiveUp {
                reason: format!(
                    "given up after {charged} attempts: the next would be past {limit} (retry.give_up_after)"
                ),
            };
        }
        let last = LastCharge {
            at: failed.at,
            delay,
            stood_still: failed.stood_still,
        };
        Decision::Again {
            delay,
            budget: Budget {
                charged,
                age,
                last: Some(last),
                ..budget.clone()
            },
        }
    }

    /// The wait after the `charged`th failed attempt, counted from 1; `unit` is chance, 0 to 1.
    pub fn delay(&self, charged: u32, unit: f64) -> Duration {
        let exponent = i32::try_from(charged.saturating_sub(1)).unwrap_or(i32::MAX);
        let seconds = self.first.as_secs_f64() * self.factor.max(1.0).powi(exponent);
        let capped = seconds.min(self.max.min(LONGEST_WAIT).as_secs_f64());
        let spread = capped * (1.0 + self.jitter.clamp(0.0, 1.0) * unit.clamp(0.0, 1.0));
        Duration::try_from_secs_f64(spread)
            .unwrap_or(LONGEST_WAIT)
            .min(LONGEST_WAIT)
    }
}

/// How much older a delivery got since its last charged attempt.
fn aged(last: LastCharge, failed: Failed) -> Duration {
    let elapsed = after(last.at, failed.at);
    let standing = failed.stood_still.saturating_sub(last.stood_still);
    elapsed.saturating_sub(standing).min(last.delay)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("in range")
    }

    fn failed(seconds: i64) -> Failed {
        Failed {
            at: at(seconds),
            stood_still: Duration::ZERO,
            retry_after: None,
            unit: 0.0,
        }
    }

    fn again(decision: Decision) -> (Duration, Budget) {
        match decision {
            Decision::Again { delay, budget } => (delay, budget),
            Decision::GiveUp { reason } => panic!("{reason}"),
        }
    }

    #[test]
    fn the_schedule_grows_by_its_factor_up_to_its_max() {
        let policy = Policy::default();
        let seconds: Vec<u64> = (1..=8).map(|n| policy.delay(n, 0.0).as_secs()).collect();
        assert_eq!(seconds, [5, 20, 80, 320, 1_280, 5_120, 20_480, 21_600]);
        assert_eq!(policy.delay(1, 1.0), Duration::from_millis(5_500));
    }

    #[test]
    fn retry_after_counts_where_it_is_longer_and_never_beyond_six_hours() {
        let policy = Policy::default();
        let wait = |seconds| {
            let failed = Failed {
                retry_after: Some(Duration::from_secs(seconds)),
                ..failed(0)
            };
            again(policy.charge(&Budget::default(), failed)).0.as_secs()
        };
        assert_eq!((wait(1), wait(60), wait(1_000_000)), (5, 60, 21_600));
    }

    #[test]
    fn the_twelfth_attempt_is_the_last() {
        let policy = Policy {
            attempts: 12,
            ..Policy::default()
        };
        let mut budget = Budget::default();
        for n in 1..12 {
            budget = again(policy.charge(&budget, failed(n))).1;
        }
        assert!(matches!(
            policy.charge(&budget, failed(12)),
            Decision::GiveUp { .. }
        ));
    }

    #[test]
    fn age_stands_still_while_the_lane_does_and_while_it_queues() {
        let policy = Policy {
            first: Duration::from_secs(100),
            factor: 1.0,
            jitter: 0.0,
            ..Policy::default()
        };
        let (_, first) = again(policy.charge(&Budget::default(), failed(0)));
        let on_time = again(policy.charge(&first, failed(100))).1;
        assert_eq!(on_time.age, Duration::from_secs(100));
        let queued_long = again(policy.charge(&first, failed(50_000))).1;
        assert_eq!(queued_long.age, Duration::from_secs(100));
        let blocked = Failed {
            stood_still: Duration::from_secs(70),
            ..failed(100)
        };
        assert_eq!(
            again(policy.charge(&first, blocked)).1.age,
            Duration::from_secs(30)
        );
    }

    #[test]
    fn it_is_given_up_when_the_next_attempt_would_be_too_old() {
        let policy = Policy {
            give_up_after: Duration::from_secs(24),
            ..Policy::default()
        };
        let (_, first) = again(policy.charge(&Budget::default(), failed(0)));
        assert!(matches!(
            policy.charge(&first, failed(5)),
            Decision::GiveUp { .. }
        ));
    }

    proptest! {
        #[test]
        fn a_wait_is_never_shorter_than_first_nor_longer_than_six_hours(
            first in 1u64..100_000, factor in 1.0f64..10.0, jitter in 0.0f64..1.0, n in 1u32..100, unit in 0.0f64..1.0,
        ) {
            let policy = Policy { first: Duration::from_millis(first), factor, jitter, ..Policy::default() };
            let delay = policy.delay(n, unit);
            prop_assert!(delay >= policy.first.min(LONGEST_WAIT) && delay <= LONGEST_WAIT);
            prop_assert!(policy.delay(n + 1, unit) >= delay);
        }

        #[test]
        fn every_delivery_is_given_up_in_the_end(attempts in 1u32..40, hint in proptest::option::of(0u64..100_000)) {
            let policy = Policy { attempts, ..Policy::default() };
            let mut budget = Budget::default();
            let mut now = 0;
            for _ in 0..attempts {
                let failed = Failed { retry_after: hint.map(Duration::from_secs), ..failed(now) };
                match policy.charge(&budget, failed) {
                    Decision::Again { delay, budget: next } => {
                        now += i64::try_from(delay.as_secs()).expect("hours");
                        budget = next;
                    }
                    Decision::GiveUp { .. } => return Ok(()),
                }
            }
            prop_assert!(false, "still trying after {attempts} attempts");
        }
    }
}
