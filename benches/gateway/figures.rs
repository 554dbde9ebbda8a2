//! Figures of one row over the rounds.

use std::time::Duration;

/// Samples, of which the median counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures(Vec<f64>);

impl Figures {
    pub(crate) fn push(&mut self, sample: f64) {
        self.0.push(sample);
    }

    /// How these compare with another's of the same rounds.
    pub(crate) fn ratios(&self, other: &Self) -> Self {
        let pairs = self.0.iter().zip(&other.0);
        Self(pairs.map(|(own, other)| own / other).collect())
    }

    /// None without a sample, as where this system cannot tell.
    pub(crate) fn median(&self) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let upper = *sorted.get(middle)?;
        if sorted.len() % 2 == 1 {
            return Some(upper);
        }
        Some(f64::midpoint(sorted[middle - 1], upper))
    }
}

/// The value below which `share` of the durations lie, in microseconds.
pub(crate) fn quantile(sorted: &[Duration], share: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place in a list that is there"
    )]
    let place = ((sorted.len() as f64 - 1.0).max(0.0) * share).round() as usize;
    sorted.get(place).map_or(0.0, |one| one.as_secs_f64() * 1e6)
}
