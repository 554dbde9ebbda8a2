//! How much came in and went out in the last half hour, in slices of ten seconds: for people who look now.
//! Whoever wants history asks the metrics.

use std::collections::VecDeque;

use jiff::Timestamp;

const SLICE_SECONDS: i64 = 10;
const SLICES_A_MINUTE: i64 = 6;
const MINUTES: usize = 30;

/// Events taken and deliveries delivered, minute by minute, the oldest first; the last minute ends now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    pub now: Timestamp,
    pub taken: [u64; MINUTES],
    pub delivered: [u64; MINUTES],
}

/// What is counted: by slice, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    slices: VecDeque<Slice>,
}

#[derive(Debug)]
struct Slice {
    number: i64,
    taken: u64,
    delivered: u64,
}

impl Buckets {
    pub(super) fn count(&mut self, at: Timestamp, (taken, delivered): (u64, u64)) {
        let number = number(at);
        let kept = i64::try_from(MINUTES).unwrap_or(i64::MAX) * SLICES_A_MINUTE;
        let last = self.slices.back().map_or(number, |slice| slice.number);
        if number <= last - kept {
            // The clock was put back far: what is later than now is of no use.
            self.slices.clear();
        }
        // What comes a little late belongs to an earlier slice.
        let place = self.slices.iter().rposition(|slice| slice.number <= number);
        let found = place.filter(|place| self.slices[*place].number == number);
        let place = found.unwrap_or_else(|| {
            let place = place.map_or(0, |place| place + 1);
            let slice = Slice {
                number,
                taken: 0,
                delivered: 0,
            };
            self.slices.insert(place, slice);
            place
        });
        self.slices[place].taken += taken;
        self.slices[place].delivered += delivered;
        let last = self.slices.back().map_or(number, |slice| slice.number);
        self.slices.retain(|slice| slice.number > last - kept);
    }

    pub(super) fn by_minute(&self, now: Timestamp) -> Pace {
        let mut pace = Pace {
            now,
            taken: [0; MINUTES],
            delivered: [0; MINUTES],
        };
        let last = number(now);
        for slice in &self.slices {
            let back = (last - slice.number).div_euclid(SLICES_A_MINUTE);
            let minute = usize::try_from(back).ok().filter(|back| *back < MINUTES);
            if let Some(back) = minute {
                pace.taken[MINUTES - 1 - back] += slice.taken;
                pace.delivered[MINUTES - 1 - back] += slice.delivered;
            }
        }
        pace
    }
}

fn number(at: Timestamp) -> i64 {
    at.as_second().div_euclid(SLICE_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).expect("in range")
    }

    #[test]
    fn the_last_minute_is_the_last_number_and_half_an_hour_is_kept() {
        let mut buckets = Buckets::default();
        for second in [0, 1, 59, 130] {
            buckets.count(at(second), (1, 0));
        }
        buckets.count(at(131), (0, 2));
        let pace = buckets.by_minute(at(135));
        assert_eq!(pace.taken[MINUTES - 3..], [2, 1, 1]);
        assert_eq!(pace.delivered[MINUTES - 1], 2);
        let pace = buckets.by_minute(at(135 + 29 * 60));
        assert_eq!((pace.taken[0], pace.taken.iter().sum()), (1, 1));
        buckets.count(at(3600), (1, 0));
        assert_eq!(buckets.slices.len(), 1, "memory does not grow");
    }

    #[test]
    fn a_clock_that_was_put_back_loses_nothing() {
        let mut buckets = Buckets::default();
        buckets.count(at(100), (1, 0));
        buckets.count(at(60), (1, 0));
        buckets.count(at(60), (1, 0));
        assert_eq!(buckets.by_minute(at(100)).taken.iter().sum::<u64>(), 3);
        buckets.count(at(-100_000), (1, 0));
        assert_eq!(buckets.by_minute(at(-100_000)).taken[MINUTES - 1], 1);
    }
}
