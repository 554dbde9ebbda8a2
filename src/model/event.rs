//! What was accepted: an event, its type, its subject and what is known of its fields.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::EventId;

/// A configured name (source, route, destination), shared instead of copied.
pub type Name = Arc<str>;

/// The event's type, such as `interview.submitted`.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct EventType(Arc<str>);

/// What an event is about: for `JobMojito` the interview result's id. 1 to 256 bytes.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Subject(Arc<str>);

/// A text that cannot be a subject: empty, or over 256 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a subject has 1 to 256 bytes")]
pub struct SubjectError;

/// One accepted webhook, without its payload. It never changes.
#[derive(Clone, Debug)]
pub struct Event {
    pub id: EventId,
    /// The configured source that it came through.
    pub source: Name,
    pub event_type: EventType,
    /// None where the body names no subject: then it is revision 1 and never a duplicate.
    pub subject: Option<Subject>,
    /// 1, 2, … for each source and subject, without gaps.
    pub revision: u32,
    /// Top-level fields that differ from the previous revision; empty for revision 1.
    pub changed: Vec<String>,
    /// The candidate's id in the customer's ATS, where the body has one. Personal data.
    pub candidate: Option<String>,
    pub received_at: Timestamp,
    /// Routes whose `when` could not be evaluated for this event.
    pub route_errors: Vec<RouteError>,
}

/// A route that did not match because its expression failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RouteError {
    pub route: String,
    /// What the expression engine said; it names fields and types, never values.
    pub error: String,
}

/// A keyed digest (16 bytes) of every top-level field that is not null: enough to tell which
/// fields of two bodies differ after both bodies are gone, and of no use without the store's key.
/// A body that is no object has one field, named by the empty string.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct FieldDigests(BTreeMap<String, [u8; 16]>);

impl EventType {
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Subject {
    /// Longest subject, in bytes.
    pub const MAX_BYTES: usize = 256;

    pub fn new(text: &str) -> Result<Self, SubjectError> {
        if text.is_empty() || text.len() > Self::MAX_BYTES {
            return Err(SubjectError);
        }
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FieldDigests {
    /// Sets the digest of one field; of repeated keys the last counts.
    pub fn set(&mut self, field: impl Into<String>, digest: [u8; 16]) {
        self.0.insert(field.into(), digest);
    }

    /// Drops a field: null and missing are the same.
    pub fn clear(&mut self, field: &str) {
        self.0.remove(field);
    }

    /// Names of the fields in which `self` and `older` differ, in order, leaving `ignored` ones out.
    pub fn differing(&self, older: &Self, ignored: impl Fn(&str) -> bool) -> Vec<String> {
        let gone = older.0.keys().filter(|field| !self.0.contains_key(*field));
        let new_or_other = self
            .0
            .iter()
            .filter(|(field, digest)| older.0.get(*field) != Some(digest));
        let mut fields: Vec<String> = new_or_other
            .map(|(field, _)| field)
            .chain(gone)
            .filter(|field| !ignored(field))
            .cloned()
            .collect();
        fields.sort_unstable();
        fields
    }

    /// The form a store keeps: for each field its length (4 bytes, big endian), name and digest.
    pub fn to_bytes(&self) -> Vec<u8> {
        let size = self.0.keys().map(|field| field.len() + 20).sum();
        let mut bytes = Vec::with_capacity(size);
        for (field, digest) in &self.0 {
            let length = u32::try_from(field.len()).expect("a body is far below 4 GiB");
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(field.as_bytes());
            bytes.extend_from_slice(digest);
        }
        bytes
    }

    /// Reads what [`Self::to_bytes`] wrote; None where the bytes are not of that form.
    pub fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
        let mut fields = BTreeMap::new();
        while !bytes.is_empty() {
            let (length, rest) = bytes.split_first_chunk::<4>()?;
            let (name, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
            let (digest, rest) = rest.split_first_chunk::<16>()?;
            fields.insert(String::from_utf8(name.to_vec()).ok()?, *digest);
            bytes = rest;
        }
        Some(Self(fields))
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A subject identifies a person's interview: it is shown by the API, never by a log line.
impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Subject(…)")
    }
}

impl fmt::Debug for FieldDigests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(fields: &[(&str, u8)]) -> FieldDigests {
        let mut all = FieldDigests::default();
        for (field, byte) in fields {
            all.set(*field, [*byte; 16]);
        }
        all
    }

    #[test]
    fn differing_names_new_gone_and_other_fields_but_not_ignored_ones() {
        let older = digests(&[("a", 1), ("b", 2), ("gone", 3), ("churn", 4)]);
        let newer = digests(&[("a", 1), ("b", 9), ("new", 3), ("churn", 5)]);
        assert_eq!(
            newer.differing(&older, |field| field == "churn"),
            ["b", "gone", "new"]
        );
    }

    #[test]
    fn digests_survive_being_stored_and_damage_is_noticed() {
        let all = digests(&[("", 1), ("score", 2), ("žluť", 3)]);
        let bytes = all.to_bytes();
        assert_eq!(FieldDigests::from_bytes(&bytes), Some(all));
        assert_eq!(FieldDigests::from_bytes(&bytes[..bytes.len() - 1]), None);
    }

    #[test]
    fn a_subject_has_1_to_256_bytes() {
        assert!(Subject::new("").is_err());
        assert!(Subject::new(&"x".repeat(256)).is_ok());
        assert!(Subject::new(&"x".repeat(257)).is_err());
    }
}
