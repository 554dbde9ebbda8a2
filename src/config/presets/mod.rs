//! Presets: built-in ones and the operator's own, each a layer over its base. Reads no file: `own` does.

mod about;
mod own;

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

pub use self::about::{About, presets, presets_of};
pub use self::own::OwnPreset;
use super::finding::closest;
use super::layers::merge;
use super::locate::{self, Locator};
use crate::destination::preset;
use crate::model::Rate;

/// Every preset that a destination may name, and what those stand on.
pub(super) struct Presets {
    known: Vec<Preset>,
}

/// One file.
pub(super) struct Preset {
    name: String,
    origin: Origin,
    text: String,
    value: Value,
    locator: Arc<Locator>,
    readable: bool,
}

/// Where a preset comes from.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Origin {
    BuiltIn,
    /// Built in, and only a base for others.
    Base,
    File(PathBuf),
}

impl Presets {
    pub(super) fn built_in() -> Self {
        let built_in = preset::BUILT_IN.iter().map(|file| (file, Origin::BuiltIn));
        let bases = preset::BASES.iter().map(|file| (file, Origin::Base));
        let read = |((name, text), origin): (&(&str, &str), Origin)| {
            let label = format!("built-in preset {name}");
            let (value, locator) =
                locate::read(&label, text).expect("a test reads every built-in preset");
            Preset {
                name: (*name).to_owned(),
                origin,
                text: (*text).to_owned(),
                value,
                locator: Arc::new(locator),
                readable: true,
            }
        };
        Self {
            known: built_in.chain(bases).map(read).collect(),
        }
    }

    /// A destination may name it.
    pub(super) fn has(&self, name: &str) -> bool {
        self.offered().any(|known| known == name)
    }

    /// `did you mean …`, or else what there is.
    pub(super) fn suggest(&self, name: &str) -> String {
        let names: Vec<&str> = self.offered().collect();
        closest(name, names.iter().copied()).map_or_else(
            || format!("there are {}", names.join(", ")),
            |found| format!("did you mean \"{found}\"?"),
        )
    }

    /// All that `name` and its bases say, without what they say about themselves.
    pub(super) fn keys(&self, name: &str) -> Value {
        let mut keys = self.merged(name);
        if let Some(keys) = keys.as_object_mut() {
            keys.remove("about");
            keys.remove("base");
        }
        keys
    }

    /// The keys that `name` needs from its operator.
    pub(super) fn needs(&self, name: &str) -> Vec<String> {
        let merged = self.merged(name);
        let needs = merged["about"]["needs"].as_array().into_iter().flatten();
        needs.filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// What the vendor is known to allow.
    pub(super) fn vendor_rate(&self, name: &str) -> Option<Rate> {
        let merged = self.merged(name);
        merged["about"]["vendor_rate"].as_str()?.parse().ok()
    }

    /// It speaks to a vendor: it is built in, or stands on one that is.
    pub(super) fn is_of_a_vendor(&self, name: &str) -> bool {
        let mut chain = self.chain(name).into_iter();
        chain.any(|layer| layer.origin == Origin::BuiltIn)
    }

    /// Where the keys of `name` and its bases are written, the uppermost first.
    pub(super) fn locators(&self, name: &str) -> Vec<Arc<Locator>> {
        let chain = self.chain(name);
        chain.iter().map(|layer| layer.locator.clone()).collect()
    }

    fn offered(&self) -> impl Iterator<Item = &str> {
        let offered = self.known.iter().filter(|one| one.origin != Origin::Base);
        offered.map(|one| one.name.as_str())
    }

    fn merged(&self, name: &str) -> Value {
        let mut layers = self.chain(name);
        layers.reverse();
        let values: Vec<&Value> = layers.iter().map(|layer| &layer.value).collect();
        merge(&values)
    }

    /// A preset and its bases, the uppermost first. Only a built-in one can be a base, so it ends.
    fn chain(&self, name: &str) -> Vec<&Preset> {
        let mut chain: Vec<&Preset> = Vec::new();
        let mut next = self.known.iter().find(|one| one.name == name);
        while let Some(layer) = next {
            chain.push(layer);
            let base = layer.value.get("base").and_then(Value::as_str);
            next = base.and_then(|base| self.base(base));
        }
        chain
    }

    fn base(&self, name: &str) -> Option<&Preset> {
        let mut built_in = self.known.iter();
        built_in.find(|one| one.name == name && !matches!(one.origin, Origin::File(_)))
    }
}
