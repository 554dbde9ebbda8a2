//! A preset's file: the keys of a destination, and what it says about itself.

use schemars::JsonSchema;

use super::destinations::Destination;
use super::forms::{Rate, Text};

/// The file of a preset.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct PresetFile {
    /// A built-in preset, or what several share ("ats", "slack-message"), that lies under this one.
    pub base: Option<Text>,
    /// What `relay presets` shows.
    pub about: Option<About>,
    /// Every key of a destination but `preset`.
    #[schemars(flatten)]
    pub destination: Destination,
}

/// What a preset says about itself.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct About {
    /// What it makes, and where.
    pub title: Option<Text>,
    /// Which id has to be in `candidate_external_id`.
    pub candidate: Option<Text>,
    /// How sure its facts are, and since when.
    pub facts: Option<Text>,
    /// Keys that the operator has to write, such as `api_key` or `with.company`.
    pub needs: Option<Vec<Text>>,
    /// The rate that the vendor is known to allow; left out where it is not known.
    pub vendor_rate: Option<Rate>,
}
