//! Keeps what strangers can cause from filling the log: of one kind of line so many a minute, and with the
//! next one how many were left out. The metrics count them all.

use std::collections::HashMap;

use jiff::Timestamp;

/// Lines of one kind in one minute.
const LINES: u32 = 10;

/// What was said lately. Kinds are configured names and statuses, so there are not many.
#[derive(Debug, Default)]
pub(super) struct Hush {
    kinds: HashMap<(String, u16), Said>,
}

#[derive(Debug, Default)]
struct Said {
    minute: i64,
    lines: u32,
    left_out: u64,
}

impl Hush {
    /// How many lines of this kind were left out before this one, if it may be said.
    pub(super) fn left_out(&mut self, at: Timestamp, source: &str, status: u16) -> Option<u64> {
        let said = self.kinds.entry((source.to_owned(), status)).or_default();
        let minute = at.as_second().div_euclid(60);
        if said.minute != minute {
            said.minute = minute;
            said.lines = 0;
        }
        if said.lines == LINES {
            said.left_out += 1;
            return None;
        }
        said.lines += 1;
        Some(std::mem::take(&mut said.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_some_lines_a_minute_and_a_count() {
        let mut hush = Hush::default();
        let mut at = |seconds, source| {
            let at = Timestamp::from_second(seconds).expect("a time");
            hush.left_out(at, source, 401)
        };
        let said = (0..1000).filter(|_| at(59, "a") == Some(0)).count();
        assert_eq!(said, 10);
        assert_eq!(at(59, "b"), Some(0), "another source is another kind");
        assert_eq!((at(60, "a"), at(60, "a")), (Some(990), Some(0)));
    }
}
