//! What the relay tells an operator by itself: alerts, as events of a source of their own.

use serde::{Deserialize, Serialize};

/// The source of alerts. No configured source can be called so: there is a dot in it.
pub const ALERTS: &str = "relay.alerts";
/// The type of an alert's event.
pub const ALERT: &str = "relay.alert";

/// Why a delivery died, out of a closed set: a receiver's words are not for alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The destination will never take it.
    Rejected,
    /// The destination refused it twice and took others in between.
    Refused,
    /// Attempts or time are used up.
    GaveUp,
    /// The request cannot be made from it.
    Unsendable,
    /// Its payload is lost.
    Lost,
}

impl Cause {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Refused => "refused",
            Self::GaveUp => "gave_up",
            Self::Unsendable => "unsendable",
            Self::Lost => "lost",
        }
    }
}
