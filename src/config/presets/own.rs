//! The operator's own presets: the files of `presets_dir`, each read as a destination of its own, so that
//! every mistake is found where it stands, whoever uses the preset.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{Origin, Preset, Presets};
use crate::config::finding::{Finding, suggest};
use crate::config::form::{self, RATE, TEXT};
use crate::config::layers::merge;
use crate::config::locate::{self, Locator};
use crate::config::reading::{Reading, Table};
use crate::config::{Secrets, destinations, lanes, schema, warn_of_substitutions};
use crate::destination::Settings;

/// A preset as a destination that lacks nothing, to be compiled for the sake of its mistakes.
#[derive(Debug)]
pub struct OwnPreset {
    pub settings: Settings,
    pub locator: Locator,
}

impl Presets {
    /// Takes in the files of the folder that `own`, the operator's keys, names. `locator` knows where.
    pub(in crate::config) fn read_own(
        &mut self,
        relay_toml: &Path,
        own: &Value,
        locator: &Locator,
    ) -> Vec<Finding> {
        let Some(folder) = own.get("presets_dir").and_then(Value::as_str) else {
            return Vec::new();
        };
        let folder = relay_toml.parent().unwrap_or(Path::new("")).join(folder);
        let files = match files(&folder) {
            Ok(files) => files,
            Err(error) => {
                let problem = match error.kind() {
                    std::io::ErrorKind::NotFound => {
                        format!("there is no folder {}", folder.display())
                    }
                    kind => format!("cannot read {}: {kind}", folder.display()),
                };
                let hint = "it is a folder, relative to that of relay.toml";
                return vec![locator.error("presets_dir", problem).hint(hint)];
            }
        };
        let mut findings = Vec::new();
        for path in files {
            let (preset, finding) = self.read_file(path);
            self.known.extend(preset);
            findings.extend(finding);
        }
        findings
    }

    /// The preset, and what keeps it from being one. A name that is taken makes none; one that cannot be read
    /// is there all the same, so that nobody is told that it is not.
    fn read_file(&self, path: PathBuf) -> (Option<Preset>, Option<Finding>) {
        let label = path.display().to_string();
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let name = name.into_owned();
        let nowhere = Locator::of(&label);
        if self.known.iter().any(|one| one.name == name) {
            let problem = format!("there is a built-in preset \"{name}\"");
            let hint =
                format!("give the file another name; base = \"{name}\" lays it over that one");
            return (None, Some(nowhere.error("", problem).hint(hint)));
        }
        let text = std::fs::read_to_string(&path);
        let read = match &text {
            Ok(text) => locate::read(&label, text),
            Err(error) => {
                let problem = format!("cannot be read: {}", form::why(error));
                Err(nowhere.error("", problem))
            }
        };
        let (read, finding) = match read {
            Ok(read) => (Some(read), None),
            Err(finding) => (None, Some(finding)),
        };
        let readable = read.is_some();
        let (value, locator) = read.unwrap_or_else(|| (json!({}), nowhere));
        let preset = Preset {
            name,
            origin: Origin::File(path),
            text: text.unwrap_or_default(),
            value,
            locator: Arc::new(locator),
            readable,
        };
        (Some(preset), finding)
    }

    /// Reads each as a destination.
    pub(in crate::config) fn try_own(&self, defaults: &Value) -> (Vec<Finding>, Vec<OwnPreset>) {
        let mut findings = Vec::new();
        let mut tried = Vec::new();
        for preset in self.own().filter(|one| one.readable) {
            let (found, read) = self.try_one(preset, defaults);
            findings.extend(found);
            tried.extend(read);
        }
        (findings, tried)
    }

    /// Name and text of each.
    pub(in crate::config) fn own_texts(&self) -> impl Iterator<Item = [&str; 2]> {
        self.own().map(|one| [one.name.as_str(), one.text.as_str()])
    }

    /// Where each stands.
    pub(in crate::config) fn own_files(&self) -> impl Iterator<Item = PathBuf> {
        self.known.iter().filter_map(|one| match &one.origin {
            Origin::File(path) => Some(path.clone()),
            Origin::BuiltIn | Origin::Base => None,
        })
    }

    fn own(&self) -> impl Iterator<Item = &Preset> {
        let known = self.known.iter();
        known.filter(|one| matches!(one.origin, Origin::File(_)))
    }

    /// Whether a finding is about a file of `name`.
    pub(in crate::config) fn is_about(&self, name: &str, finding: &Finding) -> bool {
        let own = self.known.iter().find(|one| one.name == name);
        own.is_some_and(|own| own.locator.is_of(finding))
    }

    fn try_one(&self, preset: &Preset, defaults: &Value) -> (Vec<Finding>, Option<OwnPreset>) {
        let mut locator = (*preset.locator).clone();
        let bases = self.locators(&preset.name).split_off(1);
        locator.lay_under(String::new(), bases);
        let reading = Reading::new(&locator, &[], Secrets::Skip, self);
        let root = reading.table(String::new(), &preset.value, &schema::PRESET);
        if let Some(root) = root {
            self.base_of(&root);
            self.about_of(&root, &preset.name);
        }
        warn_of_substitutions(&reading, "", &preset.value);
        let needed = placeholders(&self.needs(&preset.name));
        let keys = merge(&[defaults, &needed, &self.keys(&preset.name)]);
        let settings = reading.free_table(String::new(), &keys).and_then(|table| {
            let settings = destinations::destination(&table, &preset.name);
            lanes::lane(&table).and(settings)
        });
        let findings = reading.into_findings();
        (
            findings,
            settings.map(|settings| OwnPreset { settings, locator }),
        )
    }

    fn base_of(&self, root: &Table<'_>) {
        let Some(name) = root.leaf("base", TEXT) else {
            return;
        };
        if self.base(&name).is_none() {
            let bases = self
                .known
                .iter()
                .filter(|one| !matches!(one.origin, Origin::File(_)));
            let names: Vec<&str> = bases.map(|one| one.name.as_str()).collect();
            let problem = format!("there is no built-in preset \"{}\"", name.escape_debug());
            root.error("base", problem, suggest(&name, &names));
        }
    }

    fn about_of(&self, root: &Table<'_>, name: &str) {
        let titled = self.merged(name)["about"]["title"].is_string();
        if !root.has("about") && !titled {
            root.missing(
                "about",
                "write [about] with title = \"what it makes, and where\"",
            );
        }
        let Some(about) = root.table("about", &schema::ABOUT) else {
            return;
        };
        if !about.has("title") && !titled {
            about.missing("title", "write title = \"what it makes, and where\"");
        }
        for key in ["title", "candidate", "facts"] {
            about.leaf(key, TEXT);
        }
        about.leaf("vendor_rate", RATE);
        let needs = about.list("needs", TEXT).unwrap_or_default();
        for (at, need) in needs.iter().enumerate() {
            let first = need.split('.').next().unwrap_or_default();
            if !schema::DESTINATION.has(first) {
                let problem = format!("`{}` is no key of a destination", need.escape_debug());
                let hint = suggest(first, &schema::DESTINATION.keys);
                about.error(&locate::index("needs", at), problem, hint);
            }
        }
    }
}

/// The TOML files of a folder, by name.
fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|kind| kind == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// What an operator would write for the keys that a preset needs.
fn placeholders(needs: &[String]) -> Value {
    let mut all = json!({});
    for need in needs {
        let value = match need.split('.').next() {
            Some("with") => json!("placeholder"),
            Some("base_url") => json!("https://placeholder.invalid"),
            Some("url" | "api_key" | "auth" | "headers") => json!({ "env": "PLACEHOLDER" }),
            _ => continue,
        };
        let nested = need.rsplit('.').fold(value, |inner, key| {
            Value::Object(Map::from_iter([(key.to_owned(), inner)]))
        });
        all = merge(&[&all, &nested]);
    }
    all
}
