//! Reads TOML text into plain values and remembers the line of every key, so that a finding can
//! name it. Knows no key by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};
use toml_edit::{Document, Item, TableLike};

use super::finding::{Finding, Severity};

/// Where each key of the configuration was written.
#[derive(Clone, Debug, Default)]
pub struct Locator {
    file: String,
    spots: BTreeMap<String, Spot>,
    elsewhere: BTreeMap<String, String>,
    /// What lies under the table at a path: other files, the uppermost first.
    under: BTreeMap<String, Vec<Arc<Locator>>>,
}

/// A key's place in the file.
#[derive(Clone, Copy, Debug)]
struct Spot {
    line: usize,
    offset: usize,
}

impl Locator {
    /// For findings about a file as a whole.
    pub(super) fn of(file: &str) -> Self {
        Self {
            file: file.to_owned(),
            ..Self::default()
        }
    }

    /// The line of `key` (dotted, as in [`Finding::key`]), else that of the nearest table around it.
    pub fn line(&self, key: &str) -> Option<usize> {
        self.nearest(key).map(|spot| spot.line)
    }

    /// An error about `key`.
    pub fn error(&self, key: &str, problem: impl Into<String>) -> Finding {
        self.finding(Severity::Error, key, problem.into())
    }

    /// A doubt about `key`.
    pub fn warning(&self, key: &str, problem: impl Into<String>) -> Finding {
        self.finding(Severity::Warning, key, problem.into())
    }

    /// The finding is about this file.
    pub(super) fn is_of(&self, finding: &Finding) -> bool {
        finding.file == self.file
    }

    /// The operator wrote this key, or something below it: it is no default and no preset's.
    pub(super) fn written(&self, key: &str) -> bool {
        let below = |found: &String| {
            found
                .strip_prefix(key)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let in_file = self.spots.range(key.to_owned()..).map(|(found, _)| found);
        let in_overlay = self.elsewhere.range(key.to_owned()..);
        in_file
            .take_while(|found| found.starts_with(key))
            .any(below)
            || in_overlay
                .map(|(found, _)| found)
                .take_while(|found| found.starts_with(key))
                .any(below)
    }

    /// The value of this key came as plain text from the environment or the command line.
    pub(super) fn overlaid(&self, key: &str) -> bool {
        self.elsewhere.contains_key(key)
    }

    /// Remembers that `key` was set outside the file.
    pub(super) fn overlay(&mut self, key: String, origin: &str) {
        self.elsewhere.insert(key, origin.to_owned());
    }

    /// Remembers that these files lie under the table at `path`: a key that only one of them has is found there.
    pub(super) fn lay_under(&mut self, path: String, files: Vec<Arc<Locator>>) {
        self.under.insert(path, files);
    }

    /// Puts the keys of all tables in `value` into the order in which they stand in the file.
    pub(super) fn restore_order(&self, value: Value, path: &str) -> Value {
        match value {
            Value::Object(map) => {
                let mut fields: Vec<(String, Value)> = map.into_iter().collect();
                fields.sort_by_key(|(key, _)| self.offset(&join(path, key)));
                let ordered = fields.into_iter().map(|(key, value)| {
                    let below = join(path, &key);
                    (key, self.restore_order(value, &below))
                });
                Value::Object(ordered.collect())
            }
            Value::Array(items) => {
                let ordered = items.into_iter().enumerate();
                let ordered = ordered.map(|(at, item)| self.restore_order(item, &index(path, at)));
                Value::Array(ordered.collect())
            }
            leaf => leaf,
        }
    }

    /// Sorts keys as they stand in the file; those of other layers come last.
    pub(super) fn offset(&self, key: &str) -> usize {
        self.spots.get(key).map_or(usize::MAX, |spot| spot.offset)
    }

    fn finding(&self, severity: Severity, key: &str, problem: String) -> Finding {
        let (file, line, key) = match self.elsewhere.get(key) {
            Some(origin) => (origin, None, key),
            None => self.place(key),
        };
        Finding {
            severity,
            file: file.clone(),
            line,
            key: key.to_owned(),
            problem,
            hint: None,
        }
    }

    /// File, line and key there. A key that nobody wrote is missing here, in the nearest table around it.
    fn place<'k>(&self, key: &'k str) -> (&String, Option<usize>, &'k str) {
        let lower = self.under.iter().filter(|_| !self.spots.contains_key(key));
        for (path, files) in lower {
            let below = match path.as_str() {
                "" => Some(key),
                path => key.strip_prefix(path).and_then(|key| key.strip_prefix('.')),
            };
            let Some(below) = below else { continue };
            let written = files.iter().find_map(|file| {
                let spot = file.spots.get(below)?;
                Some((&file.file, Some(spot.line), below))
            });
            if let Some(place) = written {
                return place;
            }
        }
        (&self.file, self.line(key), key)
    }

    fn nearest(&self, key: &str) -> Option<Spot> {
        let mut key = key;
        loop {
            if let Some(spot) = self.spots.get(key) {
                return Some(*spot);
            }
            key = key.rfind(['.', '[']).and_then(|at| key.get(..at))?;
        }
    }
}

/// Reads TOML. A syntax error is a finding with its line and column.
pub(super) fn read(file: &str, text: &str) -> Result<(Value, Locator), Finding> {
    let lines = Lines::new(text);
    let mut locator = Locator::of(file);
    let document = Document::parse(text).map_err(|error| {
        let (line, column) = lines.place(error.span().map_or(0, |span| span.start));
        let words = error.message().trim().replace('\n', ", ");
        Finding {
            line: Some(line),
            ..locator.error("", format!("this is not TOML: column {column}: {words}"))
        }
        .hint("text stands in quotes, and a key only once in its table")
    })?;
    let value = table(document.as_table(), "", &lines, &mut locator);
    Ok((value, locator))
}

/// Reads one TOML value, such as a list in an environment variable.
pub(super) fn read_value(text: &str) -> Option<Value> {
    let value: toml_edit::Value = text.trim().parse().ok()?;
    Some(plain(
        &Item::Value(value),
        "",
        &Lines::new(""),
        &mut Locator::default(),
    ))
}

/// A key below a path.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// An element of a list.
pub(super) fn index(path: &str, at: usize) -> String {
    format!("{path}[{at}]")
}

fn table(table: &dyn TableLike, path: &str, lines: &Lines<'_>, locator: &mut Locator) -> Value {
    let mut map = Map::new();
    for (name, _) in table.iter() {
        let Some((key, item)) = table.get_key_value(name) else {
            continue;
        };
        let below = join(path, name);
        if let Some(span) = key.span() {
            locator.spots.insert(below.clone(), lines.spot(span.start));
        }
        map.insert(name.to_owned(), plain(item, &below, lines, locator));
    }
    Value::Object(map)
}

fn plain(item: &Item, path: &str, lines: &Lines<'_>, locator: &mut Locator) -> Value {
    use toml_edit::Value as Toml;
    if let Some(found) = item.as_table_like() {
        return table(found, path, lines, locator);
    }
    match item {
        Item::ArrayOfTables(tables) => {
            let tables = tables.iter().enumerate().map(|(at, found)| {
                let path = index(path, at);
                if let Some(span) = found.span() {
                    locator.spots.insert(path.clone(), lines.spot(span.start));
                }
                table(found, &path, lines, locator)
            });
            Value::Array(tables.collect())
        }
        Item::Value(Toml::Array(items)) => {
            let items = items.iter().enumerate().map(|(at, item)| {
                let path = index(path, at);
                if let Some(span) = item.span() {
                    locator.spots.insert(path.clone(), lines.spot(span.start));
                }
                plain(&Item::Value(item.clone()), &path, lines, locator)
            });
            Value::Array(items.collect())
        }
        Item::Value(Toml::String(text)) => Value::String(text.value().clone()),
        Item::Value(Toml::Integer(number)) => (*number.value()).into(),
        // Infinity and NaN are no setting: they read as null, which no key takes.
        Item::Value(Toml::Float(number)) => (*number.value()).into(),
        Item::Value(Toml::Boolean(bit)) => (*bit.value()).into(),
        Item::Value(Toml::Datetime(time)) => time.value().to_string().into(),
        _ => Value::Null,
    }
}

/// Turns byte offsets into lines.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        let after_breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        let starts = std::iter::once(0).chain(after_breaks).collect();
        Self { text, starts }
    }

    fn spot(&self, offset: usize) -> Spot {
        let line = self.starts.partition_point(|start| *start <= offset);
        Spot { line, offset }
    }

    /// Line and column of an offset, both from 1, the column in characters.
    fn place(&self, offset: usize) -> (usize, usize) {
        let line = self.spot(offset).line;
        let start = self.starts[line - 1];
        let before = self.text.get(start..offset).unwrap_or_default();
        (line, before.chars().count() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TEXT: &str = r#"
[server]
listen = "127.0.0.1:1"

[destinations.ats]
url = "http://x"
retry = { first = "1s",
          factor = 2 }
[destinations.ats.body]
z = [
  "one",
  { a = 1 },
]
b = 1979-05-27

[[routes]]
to = ["ats"]
[[routes]]
name = "second"
"#;

    #[test]
    fn every_key_has_its_line() {
        let (value, locator) = read("relay.toml", TEXT).expect("TOML");
        let check = |key: &str, line: usize| assert_eq!(locator.line(key), Some(line), "{key}");
        check("server", 2);
        check("server.listen", 3);
        check("destinations.ats", 5);
        check("destinations.ats.retry.first", 7);
        check("destinations.ats.retry.factor", 8);
        check("destinations.ats.body", 9);
        check("destinations.ats.body.z[0]", 11);
        check("destinations.ats.body.z[1].a", 12);
        check("routes[0].to", 17);
        check("routes[0].to[0]", 17);
        check("routes[1]", 18);
        check("routes[1].name", 19);
        assert_eq!(value["destinations"]["ats"]["body"]["b"], "1979-05-27");
        assert_eq!(value["routes"][1], json!({"name": "second"}));
    }

    #[test]
    fn a_missing_key_has_the_line_of_the_table_that_lacks_it() {
        let (_, locator) = read("relay.toml", TEXT).expect("TOML");
        assert_eq!(locator.line("destinations.ats.retry.attempts"), Some(7));
        assert_eq!(locator.line("routes[1].to"), Some(18));
        assert_eq!(locator.line("routes[1].to[3]"), Some(18));
        assert_eq!(locator.line("nothing.like.it"), None);
    }

    #[test]
    fn a_key_that_only_a_file_below_has_is_found_there() {
        let (_, mut locator) = read("relay.toml", TEXT).expect("TOML");
        let preset = "base = \"b\"\n[retry]\nfirst = \"2s\"\nattempts = 3\n";
        let base = "[texts]\nnote = \"\"\n[retry]\nattempts = 4\n";
        let files = [("p.toml", preset), ("b", base)].map(|(file, text)| {
            let (_, locator) = read(file, text).expect("TOML");
            Arc::new(locator)
        });
        locator.lay_under("destinations.ats".to_owned(), files.into());
        let check = |key: &str, expect: &str| {
            assert_eq!(locator.error(key, "no").to_string(), expect);
        };
        check(
            "destinations.ats.retry.first",
            "relay.toml:7: destinations.ats.retry.first: no",
        );
        check(
            "destinations.ats.retry.attempts",
            "p.toml:4: retry.attempts: no",
        );
        check("destinations.ats.texts.note", "b:2: texts.note: no");
        check(
            "destinations.ats.api_key",
            "relay.toml:5: destinations.ats.api_key: no",
        );
        check("routes[0].texts", "relay.toml:16: routes[0].texts: no");
    }

    #[test]
    fn what_was_written_is_told_from_what_is_only_default() {
        let (_, mut locator) = read("relay.toml", TEXT).expect("TOML");
        locator.overlay(
            "store.url".to_owned(),
            "environment variable RELAY_STORE__URL",
        );
        assert!(locator.written("destinations.ats.body"));
        assert!(locator.written("store"));
        assert!(!locator.written("destinations.ats.bod"));
        assert!(!locator.written("server.max_body"));
    }

    #[test]
    fn order_is_that_of_the_file() {
        let (_, locator) = read("relay.toml", TEXT).expect("TOML");
        let merged = json!({"a": 0, "b": 1, "z": 2});
        let ordered = locator.restore_order(merged, "destinations.ats.body");
        let keys: Vec<&String> = ordered.as_object().expect("table").keys().collect();
        assert_eq!(keys, ["z", "b", "a"]);
    }

    #[test]
    fn a_syntax_error_has_line_and_column() {
        let finding = read("relay.toml", "[server]\nlisten = = 1\n").expect_err("bad");
        assert_eq!(finding.line, Some(2));
        assert!(finding.problem.contains("column 10"), "{finding}");
    }
}
