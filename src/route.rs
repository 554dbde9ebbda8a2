//! Routing rules: which destinations an event goes to, and why not to the others.

use serde_json::{Map, Value};

use crate::expr::Expression;
use crate::model::{EventType, Name};

/// One `[[routes]]` block.
#[derive(Debug)]
pub struct Route {
    pub name: Name,
    /// Sources it listens to; None for every one.
    pub from: Option<Vec<Name>>,
    /// Event types it takes.
    pub events: Vec<Glob>,
    /// At least one of these fields differs from the previous revision; empty for no such condition.
    pub changed: Vec<String>,
    /// What `changed` means on a first revision: true (the default): the field is not null; false:
    /// first revisions never match. Without `changed`, false leaves first revisions out.
    pub first: bool,
    pub when: Option<Expression>,
    /// Destinations, in the order written.
    pub to: Vec<Name>,
    /// Values for templates, over the destination's own.
    pub with: Map<String, Value>,
    /// Later routes are not looked at once this one matched.
    pub stop: bool,
}

/// A pattern for event types: `*` stands for any run of characters, also across dots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(String);

impl Glob {
    pub fn new(pattern: &str) -> Self {
        Self(pattern.to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn matches(&self, event_type: &EventType) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = event_type.as_str().strip_prefix(first) else {
            return false;
        };
        let mut parts = parts.peekable();
        if parts.peek().is_none() {
            return rest.is_empty();
        }
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return rest.ends_with(part);
            }
            let Some(at) = rest.find(part) else {
                return false;
            };
            rest = rest.split_at(at + part.len()).1;
        }
        true
    }
}
