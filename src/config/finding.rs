//! What is wrong with a configuration: where it stands, what the matter is, what to write instead.
//! Findings carry no secret and no payload.

use std::fmt;
use std::path::Path;

use serde::Serialize;

/// One mistake or doubt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub severity: Severity,
    /// The file, `environment variable NAME` or `command line`.
    pub file: String,
    /// From 1, where it is known.
    pub line: Option<usize>,
    /// Dotted, such as `destinations.ats.retry.first` or `routes[2].when`; empty for the whole file.
    pub key: String,
    pub problem: String,
    pub hint: Option<String>,
}

/// Whether the relay may start all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Error,
    Warning,
}

impl Finding {
    /// An error about a whole file.
    pub fn of_file(file: &Path, problem: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            file: file.display().to_string(),
            line: None,
            key: String::new(),
            problem: problem.into(),
            hint: None,
        }
    }

    /// The same finding with words on what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        f.write_str(": ")?;
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.problem)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// The candidate that `word` most likely stands for, if one is close enough to be worth naming.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase();
    let rate = |candidate: &str| {
        let candidate = candidate.to_ascii_lowercase();
        let likeness = strsim::jaro_winkler(&word, &candidate);
        let close = likeness > 0.85 || strsim::damerau_levenshtein(&word, &candidate) <= 1;
        close.then_some(likeness)
    };
    candidates
        .into_iter()
        .filter_map(|candidate| Some((rate(candidate)?, candidate)))
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| candidate)
}

/// `did you mean "x"?`, or else what there is to choose from.
pub(super) fn suggest<T: AsRef<str>>(word: &str, candidates: &[T]) -> String {
    let candidates: Vec<&str> = candidates.iter().map(AsRef::as_ref).collect();
    match closest(word, candidates.iter().copied()) {
        Some(candidate) => format!("did you mean \"{candidate}\"?"),
        None => format!("choose from {}", candidates.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let keys = ["first", "max", "factor", "jitter", "attempts", "url"];
        assert_eq!(closest("frist", keys), Some("first"));
        assert_eq!(closest("Attempt", keys), Some("attempts"));
        assert_eq!(closest("uri", keys), Some("url"));
        assert_eq!(closest("post", ["PUT", "POST"]), Some("POST"));
        assert_eq!(closest("colour", keys), None);
        assert_eq!(closest("", keys), None);
    }
}
