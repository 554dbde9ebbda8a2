//! A rate as operators write it: `1/s`, `50/10s`, `600/min`.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

/// So many in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub count: NonZeroU32,
    pub period: Duration,
}

/// A text that is no rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no rate; write a count and a period, such as \"1/s\", \"50/10s\" or \"600/min\"")]
pub struct BadRate(String);

impl FromStr for Rate {
    type Err = BadRate;

    fn from_str(text: &str) -> Result<Self, BadRate> {
        let bad = || BadRate(text.chars().take(40).collect());
        let (count, period) = text.split_once('/').ok_or_else(bad)?;
        let count: NonZeroU32 = count.trim().parse().map_err(|_| bad())?;
        let period = match period.trim() {
            "" => return Err(bad()),
            unit if unit.starts_with(|c: char| c.is_ascii_digit()) => unit.to_owned(),
            unit => format!("1{unit}"),
        };
        let period = humantime::parse_duration(&period).map_err(|_| bad())?;
        let day = Duration::from_hours(24);
        if period.is_zero() || period > day {
            return Err(bad());
        }
        Ok(Self { count, period })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let period = humantime::format_duration(self.period).to_string();
        let unit = match period.strip_prefix('1') {
            Some(unit) if unit.bytes().all(|b| b.is_ascii_alphabetic()) => unit,
            _ => &period,
        };
        write!(f, "{}/{unit}", self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_a_count_and_a_period() {
        let check = |text: &str, expect: Option<(u32, u64)>| {
            let rate = text.parse::<Rate>().ok();
            let got = rate.map(|r| {
                (
                    r.count.get(),
                    u64::try_from(r.period.as_millis()).expect("a day"),
                )
            });
            assert_eq!(got, expect, "{text}");
        };
        check("1/s", Some((1, 1_000)));
        check("50/10s", Some((50, 10_000)));
        check("600/min", Some((600, 60_000)));
        check("2 / 250ms", Some((2, 250)));
        check("0/s", None);
        check("-1/s", None);
        check("5", None);
        check("5/", None);
        check("5/parsec", None);
        check("1/0s", None);
        check("1/2d", None);
    }

    #[test]
    fn a_rate_is_written_as_it_is_read() {
        for text in ["1/s", "50/10s", "600/m", "3/1m 30s"] {
            assert_eq!(text.parse::<Rate>().expect("a rate").to_string(), text);
        }
    }
}
