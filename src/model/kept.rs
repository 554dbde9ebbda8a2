//! The fields that are left of a minimised payload.

use std::collections::BTreeSet;
use std::sync::Arc;

/// Names of top-level fields that are kept of a payload; the rest of it never reaches the disk. They
/// are words of relay.toml and of a sender's format, no personal data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Kept(Arc<BTreeSet<String>>);

impl Kept {
    pub fn holds(&self, field: &str) -> bool {
        self.0.contains(field)
    }

    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl FromIterator<String> for Kept {
    fn from_iter<I: IntoIterator<Item = String>>(fields: I) -> Self {
        Self(Arc::new(fields.into_iter().collect()))
    }
}
