//! The tables of a store as rows that belong to no engine: what is in a column, in which order rows go, and what
//! they come to.

/// What a column holds. Engines keep some of it under other types; here each has one form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Kind {
    /// Numbers of 64, 32 and 16 bits.
    Big,
    Int,
    Small,
    Flag,
    /// Bytes, and texts that have to come back exactly.
    Bytes,
    /// Words and JSON, without zero characters.
    Text,
}

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) enum Cell {
    Null,
    Number(i64),
    Bytes(Vec<u8>),
    Text(String),
}

pub(in crate::store) type Row = Vec<Cell>;

/// One table. Its rows are ordered by the first `key` columns, and found by them.
#[derive(Debug)]
pub(in crate::store) struct Table {
    pub(in crate::store) name: &'static str,
    pub(in crate::store) key: usize,
    pub(in crate::store) columns: &'static [(&'static str, Kind)],
}

use Kind::{Big, Bytes, Flag, Int, Small, Text};

/// Every table but `meta`, which says of a store what is its own.
pub(in crate::store) const TABLES: &[Table] = &[
    table("name", 1, &[("id", Int), ("text", Text)]),
    table("kept", 1, &[("id", Int), ("fields", Text)]),
    table("seal_key", 1, &[("fingerprint", Big)]),
    table(
        "sealing",
        1,
        &[
            ("one", Flag),
            ("sealed_by", Big),
            ("place", Big),
            ("until", Big),
            ("done", Flag),
        ],
    ),
    table(
        "subject",
        1,
        &[
            ("id", Big),
            ("digest", Bytes),
            ("source", Int),
            ("subject", Bytes),
            ("revision", Int),
            ("latest_seq", Big),
            ("fields", Bytes),
        ],
    ),
    table(
        "event",
        1,
        &[
            ("seq", Big),
            ("id", Bytes),
            ("source", Int),
            ("type", Bytes),
            ("subject", Big),
            ("revision", Int),
            ("prev_seq", Big),
            ("changed", Text),
            ("candidate", Bytes),
            ("received_at", Big),
            ("route_errors", Text),
            ("trace", Bytes),
            ("kept", Int),
        ],
    ),
    table(
        "payload",
        1,
        &[("seq", Big), ("body", Bytes), ("sealed_by", Big)],
    ),
    table(
        "delivery",
        2,
        &[
            ("event_seq", Big),
            ("number", Int),
            ("destination", Int),
            ("route", Int),
            ("subject", Big),
            ("state", Small),
            ("due_at", Big),
            ("created_at", Big),
            ("last_error", Text),
            ("webhook", Int),
            ("tries", Big),
            ("charged", Big),
            ("age", Big),
            ("last_at", Big),
            ("last_delay", Big),
            ("last_stood_still", Big),
            ("refused_at", Big),
            ("settle_by", Big),
        ],
    ),
    table(
        "attempt",
        3,
        &[
            ("event_seq", Big),
            ("number", Int),
            ("try", Int),
            ("at", Big),
            ("duration", Big),
            ("status", Int),
            ("verdict", Small),
            ("reason", Text),
            ("excerpt", Text),
        ],
    ),
    table("candidate", 2, &[("candidate", Bytes), ("subject", Big)]),
    table(
        "unconfirmed",
        2,
        &[("subject", Big), ("event_seq", Big), ("fields", Bytes)],
    ),
    table(
        "receipt",
        2,
        &[
            ("subject", Big),
            ("destination", Int),
            ("revision", Int),
            ("value", Bytes),
            ("scope", Bytes),
        ],
    ),
    table(
        "lane",
        1,
        &[
            ("destination", Int),
            ("state", Small),
            ("paused", Flag),
            ("reason", Text),
            ("since", Big),
            ("stood_still", Big),
        ],
    ),
    table(
        "tally",
        2,
        &[
            ("state", Small),
            ("destination", Int),
            ("slot", Int),
            ("count", Big),
        ],
    ),
    table("heard", 1, &[("source", Int), ("slot", Int), ("at", Big)]),
    table(
        "awaited",
        1,
        &[("subject", Big), ("source", Int), ("since", Big)],
    ),
    table(
        "erased",
        1,
        &[("hash", Bytes), ("at", Big), ("subject", Big)],
    ),
    table(
        "job",
        1,
        &[
            ("id", Int),
            ("task", Text),
            ("dry_run", Flag),
            ("state", Small),
            ("created_at", Big),
            ("ended_at", Big),
            ("place_event", Bytes),
            ("place_number", Int),
            ("progress", Text),
        ],
    ),
];

const fn table(name: &'static str, key: usize, columns: &'static [(&'static str, Kind)]) -> Table {
    Table { name, key, columns }
}

impl Table {
    /// The columns of the key.
    pub(in crate::store) fn keys(&self) -> &'static [(&'static str, Kind)] {
        self.columns.get(..self.key).unwrap_or(self.columns)
    }

    /// The names of all columns, or of those of the key.
    pub(in crate::store) fn names(columns: &[(&'static str, Kind)]) -> String {
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        names.join(", ")
    }
}

impl Cell {
    /// About how much room it takes.
    pub(in crate::store) fn size(&self) -> usize {
        match self {
            Self::Null => 1,
            Self::Number(_) => 8,
            Self::Bytes(bytes) => bytes.len(),
            Self::Text(text) => text.len(),
        }
    }
}

/// What rows come to, in their order.
#[derive(Clone, Default)]
pub(in crate::store) struct Sum {
    hasher: blake3::Hasher,
    pub(in crate::store) rows: u64,
}

impl Sum {
    pub(in crate::store) fn add(&mut self, row: &[Cell]) {
        self.rows += 1;
        for cell in row {
            let (tag, bytes): (u8, &[u8]) = match cell {
                Cell::Null => (0, &[]),
                Cell::Number(number) => {
                    self.hasher.update(&[1]).update(&number.to_be_bytes());
                    continue;
                }
                Cell::Bytes(bytes) => (2, bytes),
                Cell::Text(text) => (3, text.as_bytes()),
            };
            self.hasher.update(&[tag]);
            self.hasher.update(&(bytes.len() as u64).to_be_bytes());
            self.hasher.update(bytes);
        }
    }

    pub(in crate::store) fn is_that_of(&self, other: &Self) -> bool {
        self.rows == other.rows && self.hasher.finalize() == other.hasher.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_to_the_same_only_where_they_are_the_same() {
        let sum = |rows: &[Row]| {
            let mut sum = Sum::default();
            for row in rows {
                sum.add(row);
            }
            sum
        };
        let text = |text: &str| Cell::Text(text.to_owned());
        let one = sum(&[vec![text("a"), text("bc")], vec![Cell::Null]]);
        assert!(one.is_that_of(&one.clone()));
        for other in [
            sum(&[vec![text("ab"), text("c")], vec![Cell::Null]]),
            sum(&[vec![Cell::Null], vec![text("a"), text("bc")]]),
            sum(&[
                vec![text("a"), Cell::Bytes(b"bc".to_vec())],
                vec![Cell::Null],
            ]),
            sum(&[vec![text("a"), text("bc")], vec![Cell::Number(0)]]),
            sum(&[vec![text("a"), text("bc")]]),
        ] {
            assert!(!one.is_that_of(&other));
        }
    }
}
