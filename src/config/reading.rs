//! Reads tables key by key. A wrong value leaves a finding and the reading goes on, so that one run
//! names every mistake.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::{Map, Value};

use super::Secrets;
use super::finding::{Finding, suggest};
use super::form::{self, Form, shown, shown_without_text};
use super::locate::{self, Locator, index, join};
use super::presets::Presets;
use super::schema::Section;

/// Longest name of a source, destination or route, in bytes: names become paths and metric labels.
const NAME_BYTES: usize = 64;

/// One reading of a configuration: where things stand, and what was found so far.
pub(super) struct Reading<'a> {
    pub(super) locator: &'a Locator,
    pub(super) environment: BTreeMap<&'a str, &'a str>,
    pub(super) secrets: Secrets,
    pub(super) presets: &'a Presets,
    findings: RefCell<Vec<Finding>>,
    files: RefCell<BTreeSet<PathBuf>>,
}

/// One table of it.
pub(super) struct Table<'a> {
    pub(super) reading: &'a Reading<'a>,
    pub(super) path: String,
    map: &'a Map<String, Value>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(
        locator: &'a Locator,
        environment: &'a [(String, String)],
        secrets: Secrets,
        presets: &'a Presets,
    ) -> Self {
        let environment = environment
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        Self {
            locator,
            environment,
            secrets,
            presets,
            findings: RefCell::default(),
            files: RefCell::default(),
        }
    }

    pub(super) fn report(&self, finding: Finding) {
        self.findings.borrow_mut().push(finding);
    }

    /// Remembers that what is read depends on this file.
    pub(super) fn depends_on(&self, file: &str) {
        self.files.borrow_mut().insert(PathBuf::from(file));
    }

    /// Every file that what was read depends on.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        self.files.borrow().iter().cloned().collect()
    }

    pub(super) fn has_error(&self, key: &str) -> bool {
        let findings = self.findings.borrow();
        findings
            .iter()
            .any(|finding| finding.is_error() && finding.key == key)
    }

    /// The preset is one of the operator's own, and its file has errors.
    pub(super) fn is_faulty(&self, preset: Option<&str>) -> bool {
        let findings = self.findings.borrow();
        let about = |finding: &&Finding| {
            finding.is_error() && preset.is_some_and(|name| self.presets.is_about(name, finding))
        };
        findings.iter().any(|finding| about(&finding))
    }

    /// Drops what was found below `path`, but for what the operator wrote there.
    pub(super) fn forget_layers_below(&self, path: &str) {
        self.findings.borrow_mut().retain(|finding| {
            let below = finding.key.strip_prefix(path);
            let below = below.is_some_and(|rest| rest.starts_with('.'));
            !below || self.locator.written(&finding.key)
        });
    }

    /// Everything found, in the order of the file; what stands in other files comes last.
    pub(super) fn into_findings(self) -> Vec<Finding> {
        let mut findings = self.findings.into_inner();
        let elsewhere = |finding: &Finding| {
            let known = finding.line.is_some() && !self.locator.is_of(finding);
            known.then(|| finding.file.clone())
        };
        findings.sort_by_key(|finding| (elsewhere(finding), finding.line));
        findings.dedup();
        findings
    }

    /// The table at `path`. Keys that `section` does not have are findings.
    pub(super) fn table(
        &'a self,
        path: String,
        value: &'a Value,
        section: &Section,
    ) -> Option<Table<'a>> {
        let table = self.free_table(path, value)?;
        for key in table.map.keys() {
            let key = key.as_str();
            if section.has(key) {
                continue;
            }
            let at = join(&table.path, key);
            self.report(if section.later.contains(&key) {
                self.locator
                    .error(&at, format!("`{key}` is not in this version yet"))
                    .hint("take it out; a later version will have it")
            } else {
                self.locator
                    .error(&at, "unknown key")
                    .hint(suggest(key, &section.keys))
            });
        }
        Some(table)
    }

    /// The table at `path`, whose keys the operator chooses.
    pub(super) fn free_table(&'a self, path: String, value: &'a Value) -> Option<Table<'a>> {
        let Some(map) = value.as_object() else {
            let problem = format!("expected a table, found {}", shown_without_text(value));
            let hint = format!("write {{ … }}, or a block that starts with [{path}]");
            self.report(self.locator.error(&path, problem).hint(hint));
            return None;
        };
        Some(Table {
            reading: self,
            path,
            map,
        })
    }

    /// Whether `name` may be a source's, destination's or route's.
    pub(super) fn check_name(&self, key: &str, name: &str) {
        let sound = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-'
        };
        if name.is_empty() || name.len() > NAME_BYTES || !name.bytes().all(sound) {
            let found = shown(&Value::from(name));
            self.report(
                self.locator
                    .error(key, format!("{found} cannot be a name"))
                    .hint("a name has 1 to 64 of a-z, 0-9, _ and -"),
            );
        }
    }

    /// Reads one value. What was set as text in the environment may stand for a number or a switch.
    pub(super) fn read<T>(&self, key: &str, value: &Value, form: Form<T>) -> Option<T> {
        let retyped = || {
            let text = value.as_str().filter(|_| self.locator.overlaid(key))?;
            (form.read)(&locate::read_value(text)?)
        };
        let found = (form.read)(value).or_else(retyped);
        if found.is_none() {
            let problem = format!("expected {}, found {}", form.what, shown(value));
            let hint = match value.as_str().and_then(form::substitution) {
                Some(_) => form::instead_of_substitution(key),
                None => format!("write {}", form.example),
            };
            self.report(self.locator.error(key, problem).hint(hint));
        }
        found
    }
}

impl<'a> Table<'a> {
    pub(super) fn at(&self, key: &str) -> String {
        join(&self.path, key)
    }

    pub(super) fn value(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
        self.map.iter()
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    /// The operator wrote this key: it is no default and no preset's.
    pub(super) fn written(&self, key: &str) -> bool {
        self.reading.locator.written(&self.at(key))
    }

    pub(super) fn error(&self, key: &str, problem: impl Into<String>, hint: impl Into<String>) {
        let finding = self.reading.locator.error(&self.at(key), problem);
        self.reading.report(finding.hint(hint));
    }

    pub(super) fn warn(&self, key: &str, problem: impl Into<String>, hint: impl Into<String>) {
        let finding = self.reading.locator.warning(&self.at(key), problem);
        self.reading.report(finding.hint(hint));
    }

    /// One value; None where it is missing or, with a finding, wrong.
    pub(super) fn leaf<T>(&self, key: &str, form: Form<T>) -> Option<T> {
        self.reading.read(&self.at(key), self.value(key)?, form)
    }

    /// One value within limits, which `limits` puts into words: "must be …".
    pub(super) fn limited<T>(
        &self,
        key: &str,
        form: Form<T>,
        within: impl FnOnce(&T) -> bool,
        limits: &str,
    ) -> Option<T> {
        let value = self.leaf(key, form)?;
        if within(&value) {
            return Some(value);
        }
        let found = self.value(key).map(shown).unwrap_or_default();
        self.error(
            key,
            format!("{found} is out of range"),
            format!("it must be {limits}"),
        );
        None
    }

    /// A value that has no default.
    pub(super) fn required<T>(&self, key: &str, form: Form<T>) -> Option<T> {
        if !self.has(key) {
            self.missing(key, format!("write {key} = {}", form.example));
        }
        self.leaf(key, form)
    }

    pub(super) fn missing(&self, key: &str, hint: impl Into<String>) {
        self.error(key, format!("`{key}` is required"), hint);
    }

    /// A list; its wrong elements are findings of their own, the others come back.
    pub(super) fn list<T>(&self, key: &str, form: Form<T>) -> Option<Vec<T>> {
        let items = self.items(key, form.example)?;
        let at = self.at(key);
        let read = items
            .iter()
            .enumerate()
            .filter_map(|(number, item)| self.reading.read(&index(&at, number), item, form));
        Some(read.collect())
    }

    /// A list's elements as they are.
    pub(super) fn items(&self, key: &str, example: &str) -> Option<&'a [Value]> {
        match self.value(key)? {
            Value::Array(items) => Some(items),
            other => {
                let problem = format!("expected a list, found {}", shown_without_text(other));
                self.error(key, problem, format!("write [{example}]"));
                None
            }
        }
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let value = self.value(key)?;
        let word = value.as_str().unwrap_or_default();
        if let Some((_, choice)) = choices.iter().find(|(known, _)| *known == word) {
            return Some(*choice);
        }
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let problem = format!(
            "expected one of \"{}\", found {}",
            words.join("\", \""),
            shown(value)
        );
        let hint = match form::substitution(word) {
            Some(_) => form::instead_of_substitution(&self.at(key)),
            None => suggest(word, &words),
        };
        self.error(key, problem, hint);
        None
    }

    /// A table below this one.
    pub(super) fn table(&self, key: &str, section: &Section) -> Option<Table<'a>> {
        self.reading.table(self.at(key), self.value(key)?, section)
    }

    /// A table whose keys the operator chooses, in the order written.
    pub(super) fn free_values(&self, key: &str) -> Option<Map<String, Value>> {
        let at = self.at(key);
        let table = self.reading.free_table(at.clone(), self.value(key)?)?;
        let typed = table
            .iter()
            .map(|(name, value)| (name.clone(), self.retyped(&join(&at, name), value)));
        let typed = Value::Object(typed.collect());
        match self.reading.locator.restore_order(typed, &at) {
            Value::Object(map) => Some(map),
            _ => None,
        }
    }

    /// The path of a file that can be read, relative to the working directory. Files of certificates
    /// and keys are secrets in this: without secrets they are not looked at.
    pub(super) fn file(&self, key: &str) -> Option<PathBuf> {
        let path = self.leaf(key, form::TEXT)?;
        self.reading.depends_on(&path);
        let path = PathBuf::from(path);
        if self.reading.secrets == Secrets::Read
            && let Err(error) = std::fs::read(&path)
        {
            let problem = format!("cannot read {}: {}", path.display(), form::why(&error));
            self.error(
                key,
                problem,
                "paths are relative to the directory that the relay runs in",
            );
            return None;
        }
        Some(path)
    }

    /// A number set as text in the environment is a number where nothing says what it should be.
    fn retyped(&self, key: &str, value: &Value) -> Value {
        let text = value
            .as_str()
            .filter(|_| self.reading.locator.overlaid(key));
        text.and_then(locate::read_value)
            .unwrap_or_else(|| value.clone())
    }
}
