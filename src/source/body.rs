//! A JSON body, read without being rebuilt.

/// A body that was found to be JSON.
#[derive(Debug)]
pub struct Body;

/// Why bytes are no JSON that can be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not JSON")]
pub struct Malformed;
