//! `[[tests]]`: what an operator expects of the rules. `relay check` runs them; a relay at work only
//! looks whether they are written well, and not at the file beside relay.toml at all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::Secrets;
use super::finding::Finding;
use super::form::{self, Form, shown};
use super::locate::{self, Locator, index, join};
use super::presets::Presets;
use super::reading::{Reading, Table};
use super::routes::{Names, check_names};
use super::schema;

/// One expectation.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// Where it stands, such as `tests[2]`.
    pub key: String,
    pub name: String,
    /// A sample or a file.
    pub event: String,
    /// The revision before: a sample or a file.
    pub previous: Option<String>,
    /// Fields of the body to change: tables in it merge, anything else is replaced.
    pub set: Map<String, Value>,
    /// Top-level fields to take out: TOML has no null.
    pub unset: Vec<String>,
    /// The source it comes through, where there are several.
    pub source: Option<String>,
    /// Exactly these destinations, in any order.
    pub to: Vec<String>,
    /// By destination, texts that its body contains, and others that it does not.
    pub contains: BTreeMap<String, Vec<String>>,
    pub lacks: BTreeMap<String, Vec<String>>,
    pub state: BTreeMap<String, Expected>,
}

/// What becomes of a delivery before anything is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// There is a request to send.
    Waiting,
    Skipped,
    Dead,
}

/// The tests of one file.
#[derive(Debug)]
pub struct Trials {
    pub tests: Vec<Trial>,
    /// Where they stand.
    pub locator: Locator,
}

impl Expected {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Skipped => "skipped",
            Self::Dead => "dead",
        }
    }
}

/// A text, or several.
const TEXTS: Form<Vec<String>> = Form {
    what: "text or a list of texts",
    example: "\"…\" or [\"…\", \"…\"]",
    read: |value| {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        match value {
            Value::Array(items) => items.iter().map(text).collect(),
            one => Some(vec![text(one)?]),
        }
    },
};

const STATE: Form<Expected> = Form {
    what: "a state before sending",
    example: "\"waiting\", \"skipped\" or \"dead\"",
    read: |value| {
        let states = [Expected::Waiting, Expected::Skipped, Expected::Dead];
        let word = value.as_str()?;
        states.into_iter().find(|state| state.as_str() == word)
    },
};

/// The tests in `relay.tests.toml` beside `relay.toml`; None where there is no such file.
pub fn trials_beside(
    file: &Path,
    sources: &[&str],
    destinations: &[&str],
) -> Result<Option<Trials>, Vec<Finding>> {
    let path = path_beside(file);
    let name = path.display().to_string();
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(vec![Finding::of_file(
                &path,
                format!("cannot be read: {}", form::why(&error)),
            )]);
        }
    };
    let (values, locator) = locate::read(&name, &text).map_err(|finding| vec![finding])?;
    let names = Names {
        sources: sources.to_vec(),
        destinations: destinations.to_vec(),
    };
    let presets = Presets::built_in();
    let reading = Reading::new(&locator, &[], Secrets::Skip, &presets);
    let root = reading.table(String::new(), &values, &schema::TESTS_FILE);
    let tests = root.map(|root| trials(&root, &names)).unwrap_or_default();
    let findings = reading.into_findings();
    if findings.is_empty() {
        Ok(Some(Trials { tests, locator }))
    } else {
        Err(findings)
    }
}

/// `relay.toml` has `relay.tests.toml` beside it.
fn path_beside(file: &Path) -> PathBuf {
    file.with_extension("tests.toml")
}

/// Reads `tests` of a whole file. Those that are wrong are findings.
pub(super) fn trials(root: &Table<'_>, names: &Names<'_>) -> Vec<Trial> {
    let Some(value) = root.value("tests") else {
        return Vec::new();
    };
    let Some(blocks) = value.as_array() else {
        let hint = "each test is a block that starts with [[tests]]";
        root.error("tests", "expected a list of tables", hint);
        return Vec::new();
    };
    let read = blocks.iter().enumerate().filter_map(|(at, block)| {
        let table = root
            .reading
            .table(index("tests", at), block, &schema::TEST)?;
        trial(&table, at, names)
    });
    read.collect()
}

fn trial(table: &Table<'_>, position: usize, names: &Names<'_>) -> Option<Trial> {
    let name = if table.has("name") {
        table.leaf("name", form::TEXT)
    } else {
        Some(format!("test {}", position + 1))
    };
    let event = table.required("event", form::TEXT);
    let source = table.leaf("source", form::TEXT);
    if let Some(source) = &source {
        check_source(table, source, names);
    }
    let to = to(table, names);
    let unset = if table.has("unset") {
        table.list("unset", form::TEXT)?
    } else {
        Vec::new()
    };
    let about = About { table, to: &to };
    let (contains, lacks) = (
        about.by_destination("contains", TEXTS),
        about.by_destination("lacks", TEXTS),
    );
    let state = about.by_destination("state", STATE);
    Some(Trial {
        key: table.path.clone(),
        name: name?,
        event: event?,
        previous: table.leaf("previous", form::TEXT),
        set: table.free_values("set").unwrap_or_default(),
        unset,
        source,
        to: to?,
        contains,
        lacks,
        state,
    })
}

fn check_source(table: &Table<'_>, source: &str, names: &Names<'_>) {
    if !names.sources.contains(&source) {
        let problem = format!("there is no source \"{}\"", source.escape_debug());
        let hint = super::finding::suggest(source, &names.sources);
        table.error("source", problem, hint);
    }
}

fn to(table: &Table<'_>, names: &Names<'_>) -> Option<Vec<String>> {
    if !table.has("to") {
        let hint =
            "write to = [\"…\"] with exactly the destinations that get it, or to = [] for none";
        table.missing("to", hint);
    }
    let to = table.list("to", form::TEXT)?;
    check_names(table, "to", &to, &names.destinations);
    Some(to)
}

/// The keys of a test that speak of its destinations one by one.
struct About<'t, 'a> {
    table: &'t Table<'a>,
    to: &'t Option<Vec<String>>,
}

impl About<'_, '_> {
    fn by_destination<T>(&self, key: &str, form: Form<T>) -> BTreeMap<String, T> {
        let Some(value) = self.table.value(key) else {
            return BTreeMap::new();
        };
        let reading = self.table.reading;
        let Some(fields) = value.as_object() else {
            let problem = format!("expected a table by destination, found {}", shown(value));
            let hint = format!("write {key} = {{ ats = {} }}", form.example);
            self.table.error(key, problem, hint);
            return BTreeMap::new();
        };
        let at = self.table.at(key);
        let read = fields.iter().filter_map(|(name, value)| {
            let here = join(&at, name);
            let listed = |to: &Vec<String>| to.contains(name);
            if self.to.as_ref().is_some_and(|to| !listed(to)) {
                let problem = format!("\"{}\" is not in this test's `to`", name.escape_debug());
                let finding = reading.locator.error(&here, problem);
                reading.report(finding.hint("name it there too, or take it out here"));
            }
            Some((name.clone(), reading.read(&here, value, form)?))
        });
        read.collect()
    }
}
