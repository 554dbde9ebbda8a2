//! What is wrong with a destination's settings, in words for the person who wrote them.

use crate::expr::BadExpression;
use crate::template::{BadTemplate, TreeFault};

/// A mistake in a destination's settings. It never quotes a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Path below the destination, such as `body.blocks[1].text.text` or `accepted_when`.
    pub key: String,
    pub problem: String,
    pub hint: Option<String>,
    /// Line within the value, from 1, where the value has several.
    pub line_in_value: Option<u32>,
}

impl Fault {
    pub(super) fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            problem: problem.into(),
            hint: None,
            line_in_value: None,
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn template(key: impl Into<String>, bad: BadTemplate) -> Self {
        Self {
            key: key.into(),
            problem: bad.message,
            hint: bad.hint,
            line_in_value: bad.line,
        }
    }

    pub(super) fn expression(key: impl Into<String>, bad: BadExpression) -> Self {
        let problem = match bad.column {
            Some(column) => format!("{}, at column {column}", bad.message),
            None => bad.message,
        };
        Self {
            hint: bad.hint,
            ..Self::new(key, problem)
        }
    }
}

impl From<TreeFault> for Fault {
    fn from(fault: TreeFault) -> Self {
        Self::template(fault.key, fault.bad)
    }
}
