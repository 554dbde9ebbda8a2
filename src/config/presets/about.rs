//! What presets say about themselves: `relay presets` shows it.

use std::path::PathBuf;

use serde::Serialize;

use super::{Origin, Preset, Presets};
use crate::config::{Finding, Inputs, locate};

/// A preset, as `relay presets` lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct About {
    pub name: String,
    /// Where an operator's own is; None for a built-in one.
    pub file: Option<PathBuf>,
    pub title: String,
    /// Keys that the operator writes.
    pub needs: Vec<String>,
    /// What has to be in `candidate_external_id`.
    #[serde(rename = "candidate_external_id")]
    pub candidate: String,
    /// The rate that it goes at.
    pub rate_limit: String,
    /// The rate that the vendor is known to allow.
    pub vendor_rate: Option<String>,
    /// How sure its facts are, and since when.
    pub facts: String,
    /// The file.
    #[serde(skip)]
    pub text: String,
}

/// Every built-in preset.
pub fn presets() -> Vec<About> {
    Presets::built_in().list()
}

/// Every preset that a relay.toml may name, and what is wrong with the operator's own. Without a relay.toml
/// there are the built-in ones.
pub fn presets_of(inputs: &Inputs) -> (Vec<About>, Vec<Finding>) {
    let mut presets = Presets::built_in();
    let mut findings = Vec::new();
    if let Ok(text) = std::fs::read_to_string(&inputs.file) {
        match locate::read(&inputs.file.display().to_string(), &text) {
            Ok((written, mut locator)) => {
                let own = crate::config::own_keys(inputs, &written, &mut locator).0;
                findings = presets.read_own(&inputs.file, &own, &locator);
            }
            Err(finding) => findings.push(finding),
        }
    }
    (presets.list(), findings)
}

impl Presets {
    fn list(&self) -> Vec<About> {
        let offered = self.known.iter().filter(|one| one.origin != Origin::Base);
        offered.map(|one| self.about(one)).collect()
    }

    fn about(&self, preset: &Preset) -> About {
        let keys = self.merged(&preset.name);
        let word = |key: &str| keys["about"][key].as_str().unwrap_or_default().to_owned();
        About {
            name: preset.name.clone(),
            file: match &preset.origin {
                Origin::File(path) => Some(path.clone()),
                Origin::BuiltIn | Origin::Base => None,
            },
            title: word("title"),
            needs: self.needs(&preset.name),
            candidate: word("candidate"),
            rate_limit: keys["rate_limit"].as_str().unwrap_or("none").to_owned(),
            vendor_rate: keys["about"]["vendor_rate"].as_str().map(str::to_owned),
            facts: word("facts"),
            text: preset.text.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Rate;

    #[test]
    fn every_preset_says_what_it_is() {
        for about in presets() {
            let name = &about.name;
            assert!(!about.title.is_empty() && !about.facts.is_empty(), "{name}");
            assert!(
                !about.candidate.is_empty() && !about.needs.is_empty(),
                "{name}"
            );
            assert_ne!(about.rate_limit, "none", "{name}");
        }
    }

    #[test]
    fn no_preset_goes_faster_than_its_vendor_allows() {
        let mut known = 0;
        for about in presets() {
            let rates = [Some(about.rate_limit), about.vendor_rate];
            let [Some(ours), Some(theirs)] = rates.map(|rate| rate?.parse::<Rate>().ok()) else {
                continue;
            };
            let each_second = |rate: Rate| f64::from(rate.count.get()) / rate.period.as_secs_f64();
            assert!(each_second(ours) <= each_second(theirs), "{}", about.name);
            known += 1;
        }
        assert!(known >= 5, "{known}");
    }
}
