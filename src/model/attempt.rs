//! One HTTP try, as it is recorded.

use std::time::Duration;

use jiff::Timestamp;

use super::Verdict;

/// How much of a response is kept with an attempt, in bytes.
pub const EXCERPT_BYTES: usize = 1024;

/// One HTTP try: when, how long, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub at: Timestamp,
    pub duration: Duration,
    /// The HTTP status; None where no answer came.
    pub status: Option<u16>,
    pub verdict: Verdict,
    /// Why, in words for an operator. It may quote the receiver, so it stays out of logs.
    pub reason: String,
    /// The start of the response body, at most [`EXCERPT_BYTES`]. May hold personal data.
    pub excerpt: Option<String>,
}
