//! `[[routes]]`. The comments are what editors show.

use schemars::JsonSchema;

use super::forms::{Free, Name, Text};

/// `[[routes]]`
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Route {
    /// Unnamed ones are route-1, route-2, … by position.
    pub name: Option<Name>,
    /// Names of sources; without it every source is heard.
    pub from: Option<Vec<Name>>,
    /// Types of events; "*" stands for anything, and "interview.other" must be named.
    pub events: Option<Vec<Text>>,
    /// One of these top-level fields differs from the previous revision; in a first one: is not null.
    pub changed: Option<Vec<Text>>,
    /// false leaves first revisions out.
    pub first: Option<bool>,
    /// CEL over event, result, previous and with. An error is no match.
    #[schemars(extend("examples" = ["result.score != null && result.score >= 4"]))]
    pub when: Option<Text>,
    /// Names of destinations.
    pub to: Vec<Name>,
    /// Values for templates, over the destination's.
    pub with: Option<Free>,
    /// true: later routes are not looked at once this one matched.
    pub stop: Option<bool>,
}
