//! Tables and words for people: columns, spans of time, and texts of others made harmless.

use std::time::Duration;

use jiff::Timestamp;
use unicode_width::UnicodeWidthStr as _;

use super::{colourful, say};
use crate::model::after;

/// Rows under a head, each column as wide as its widest cell.
pub(super) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(head: &[&'static str]) -> Self {
        Self {
            head: head.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Cells may be of others: they are made harmless.
    pub(super) fn row<const N: usize>(&mut self, cells: [&str; N]) {
        self.rows.push(cells.map(plain).to_vec());
    }

    pub(super) fn print(&self) {
        let bold = colourful();
        for (at, line) in self.lines().iter().enumerate() {
            match at {
                0 if bold => say(format_args!("\x1b[1m{line}\x1b[0m")),
                _ => say(line),
            }
        }
    }

    fn lines(&self) -> Vec<String> {
        let head: Vec<String> = self.head.iter().map(|&cell| cell.to_owned()).collect();
        let all: Vec<&Vec<String>> = std::iter::once(&head).chain(&self.rows).collect();
        let width = |column: usize| {
            let cells = all.iter().map(|row| row[column].width());
            cells.max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let line = |row: &&Vec<String>| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| {
                let padding = " ".repeat(width - cell.width());
                format!("{cell}{padding}")
            });
            let cells: Vec<String> = cells.collect();
            cells.join("  ").trim_end().to_owned()
        };
        all.iter().map(line).collect()
    }
}

/// A text in one line, without what a terminal would obey: its sender may be anybody.
pub(super) fn plain(text: &str) -> String {
    let harmless = |c: char| match c {
        '\n' | '\r' | '\t' => ' ',
        // Marks that turn the direction of writing make a text look like another.
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.chars().map(harmless).collect()
}

/// A time to the second.
pub(super) fn second(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// How long from one time to a later one.
pub(super) fn between(earlier: Timestamp, later: Timestamp) -> String {
    span(after(earlier, later))
}

/// A span of time in its two largest units.
pub(super) fn span(long: Duration) -> String {
    let seconds = long.as_secs();
    let units = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (name, size) in units {
        let count = rest / size;
        rest %= size;
        if count > 0 {
            parts.push(format!("{count} {name}"));
        }
        if !parts.is_empty() && (parts.len() == 2 || count == 0) {
            break;
        }
    }
    if parts.is_empty() {
        return "0 s".to_owned();
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_whatever_the_script() {
        let mut table = Table::new(&["NAME", "STATE"]);
        table.row(["ats", "healthy"]);
        table.row(["面接結果", "open"]);
        assert_eq!(
            table.lines(),
            ["NAME      STATE", "ats       healthy", "面接結果  open"]
        );
    }

    #[test]
    fn what_others_wrote_cannot_command_a_terminal() {
        assert_eq!(plain("a\x1b[2Jb\nc\u{202e}d"), "a\u{fffd}[2Jb c\u{fffd}d");
        assert_eq!(plain("Žluťoučký 🐎"), "Žluťoučký 🐎");
    }

    #[test]
    fn a_span_is_told_in_its_two_largest_units() {
        let check = |seconds: u64, words: &str| {
            assert_eq!(span(Duration::from_secs(seconds)), words);
        };
        check(0, "0 s");
        check(59, "59 s");
        check(60, "1 min");
        check(125, "2 min 5 s");
        check(7_500, "2 h 5 min");
        check(7_205, "2 h");
        check(90_000, "1 d 1 h");
    }
}
