//! Bodies for trying a configuration before anybody sends any: those that come with the relay, and the
//! operator's own.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::{Map, Value};

use super::Ready;
use crate::config::{Finding, closest};
use crate::model::Name;
use crate::source::{Body, Kind, Source};

/// Name and body of each sample.
pub const SAMPLES: &[(&str, &str)] = &[
    ("collected", include_str!("../../samples/collected.json")),
    ("failed", include_str!("../../samples/failed.json")),
    (
        "failed-abandoned",
        include_str!("../../samples/failed-abandoned.json"),
    ),
    (
        "failed-no-speech",
        include_str!("../../samples/failed-no-speech.json"),
    ),
    (
        "hostile-text",
        include_str!("../../samples/hostile-text.json"),
    ),
    ("long-text", include_str!("../../samples/long-text.json")),
    (
        "other-archived",
        include_str!("../../samples/other-archived.json"),
    ),
    (
        "other-ongoing",
        include_str!("../../samples/other-ongoing.json"),
    ),
    (
        "other-unknown-status",
        include_str!("../../samples/other-unknown-status.json"),
    ),
    ("submitted", include_str!("../../samples/submitted.json")),
    (
        "submitted-rich",
        include_str!("../../samples/submitted-rich.json"),
    ),
    (
        "submitted-rich-rejected",
        include_str!("../../samples/submitted-rich-rejected.json"),
    ),
    (
        "submitted-rich-rescored",
        include_str!("../../samples/submitted-rich-rescored.json"),
    ),
    (
        "submitted-rich-selected",
        include_str!("../../samples/submitted-rich-selected.json"),
    ),
    (
        "submitted-stopped-early",
        include_str!("../../samples/submitted-stopped-early.json"),
    ),
];

/// The body of a sample.
pub fn sample(name: &str) -> Option<&'static str> {
    SAMPLES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, body)| *body)
}

/// A sample that counts for a source.
#[derive(Clone, Debug)]
pub struct Sample {
    /// As it is named in tests and on the command line: a file's name without `.json`.
    pub name: String,
    pub body: Bytes,
    /// The source whose folder it lies in; None for every one.
    pub source: Option<Name>,
    /// The operator's, not bundled.
    pub own: bool,
}

/// The operator's own samples.
#[derive(Debug, Default)]
pub struct Samples {
    pub own: Vec<Sample>,
}

impl Samples {
    /// Reads the `samples_dir` of a configuration. A file that cannot be used is a finding.
    pub fn of(ready: &Ready) -> (Self, Vec<Finding>) {
        let mut samples = Self::default();
        let mut findings = Vec::new();
        let Some(folder) = &ready.config.samples_dir else {
            return (samples, findings);
        };
        let Ok(entries) = entries(folder) else {
            let problem = format!("there is no folder {} that can be read", folder.display());
            let hint = "it is relative to the folder of relay.toml";
            let finding = ready.locator.error("samples_dir", problem);
            return (samples, vec![finding.hint(hint)]);
        };
        let sources = &ready.compiled.rules.sources;
        for path in entries {
            if !path.is_dir() {
                samples.take(&path, None, &mut findings);
                continue;
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let Some((source, _)) = sources.get_key_value(&*name) else {
                findings.push(no_such_source(ready, &name));
                continue;
            };
            for file in self::entries(&path).unwrap_or_default() {
                samples.take(&file, Some(source), &mut findings);
            }
        }
        (samples, findings)
    }

    /// The samples that bodies of `source` may look like, in the order of their names. The bundled
    /// ones are interview results: they say nothing of other senders.
    pub fn for_source(&self, source: &Source) -> Vec<Sample> {
        let interviews = matches!(source.kind, Kind::Jobmojito);
        let bundled = SAMPLES.iter().filter(|_| interviews);
        let bundled = bundled.map(|(name, body)| Sample {
            name: (*name).to_owned(),
            body: Bytes::from_static(body.as_bytes()),
            source: None,
            own: false,
        });
        let own = self.own.iter().filter(|sample| sample.counts_for(source));
        bundled.chain(own.cloned()).collect()
    }

    /// A sample by its name: the operator's own before a bundled one of the same name.
    pub fn named(&self, name: &str, source: &Source) -> Option<Bytes> {
        let own = self.own.iter().filter(|sample| sample.counts_for(source));
        let own = own.filter(|sample| sample.name == name);
        own.max_by_key(|sample| sample.source.is_some())
            .map(|sample| sample.body.clone())
            .or_else(|| Some(Bytes::from_static(sample(name)?.as_bytes())))
    }

    /// The name of a sample that `name` may stand for.
    pub fn alike(&self, name: &str, source: &Source) -> Option<String> {
        let samples = self.for_source(source);
        let names = samples.iter().map(|sample| sample.name.as_str());
        closest(name, names).map(str::to_owned)
    }

    fn take(&mut self, path: &Path, source: Option<&Name>, findings: &mut Vec<Finding>) {
        if path.extension().is_none_or(|kind| kind != "json") {
            return;
        }
        let body = match std::fs::read(path) {
            Ok(body) => Bytes::from(body),
            Err(error) => {
                findings.push(Finding::of_file(path, format!("cannot be read: {error}")));
                return;
            }
        };
        if let Err(malformed) = Body::parse(&body) {
            let hint = "a sample is a body as its sender posts it";
            findings.push(Finding::of_file(path, malformed.to_string()).hint(hint));
            return;
        }
        self.own.push(Sample {
            name: path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            body,
            source: source.cloned(),
            own: true,
        });
    }
}

impl Sample {
    fn counts_for(&self, source: &Source) -> bool {
        self.source.as_ref().is_none_or(|name| *name == source.name)
    }
}

fn no_such_source(ready: &Ready, folder: &str) -> Finding {
    let names = ready.compiled.rules.sources.keys();
    let problem = format!("the folder \"{folder}\" in it is named like no source");
    let hint = match closest(folder, names.map(|name| &**name)) {
        Some(meant) => format!("did you mean \"{meant}\"?"),
        None => {
            "what lies in it is not looked at: a folder's samples count for one source".to_owned()
        }
    };
    ready.locator.warning("samples_dir", problem).hint(hint)
}

/// What is in a folder, by name.
fn entries(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let found = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut found = found.collect::<std::io::Result<Vec<PathBuf>>>()?;
    found.sort();
    Ok(found)
}

/// A body with other values: tables in `set` merge with those that are there, anything else replaces
/// what was there. None where there are some and the body is no JSON object.
pub fn edited(body: &Bytes, set: &Map<String, Value>, unset: &[String]) -> Option<Bytes> {
    if set.is_empty() && unset.is_empty() {
        return Some(body.clone());
    }
    let mut fields: Map<String, Value> = serde_json::from_slice(body).ok()?;
    merge(&mut fields, set);
    for field in unset {
        fields.shift_remove(field);
    }
    Some(Value::Object(fields).to_string().into())
}

fn merge(under: &mut Map<String, Value>, over: &Map<String, Value>) {
    for (field, value) in over {
        match (under.get_mut(field), value) {
            (Some(Value::Object(under)), Value::Object(over)) => merge(under, over),
            _ => {
                under.insert(field.clone(), value.clone());
            }
        }
    }
}
