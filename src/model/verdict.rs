//! What a response means for a delivery.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a response means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The destination took it.
    Accepted,
    /// Not now; another try may work.
    Retry,
    /// This delivery will never work.
    Rejected,
    /// The destination itself refuses: credentials, disabled.
    Blocked,
}

impl Verdict {
    pub const ALL: [Self; 4] = [Self::Accepted, Self::Retry, Self::Rejected, Self::Blocked];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Retry => "retry",
            Self::Rejected => "rejected",
            Self::Blocked => "blocked",
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}
