//! Works out which event a body is, and what it is about.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::Body;
use crate::model::{EventType, Subject};

/// The four types of interview results.
pub const INTERVIEW_TYPES: [&str; 4] = [
    "interview.submitted",
    "interview.collected",
    "interview.failed",
    "interview.other",
];

/// The fields that tell what an interview result is, and whose.
const INTERVIEW_FIELDS: [&str; 4] = ["id", "status", "interview_status", "candidate_external_id"];

/// The type of a generic event whose body or headers name none that can be used.
pub const UNNAMED_TYPE: &str = "other";

/// The type where it is one of a closed set; what only a sender knows is `other`.
pub fn known_type(event_type: &EventType) -> &'static str {
    let mut known = INTERVIEW_TYPES.into_iter();
    let known = known.find(|known| *known == event_type.as_str());
    known.unwrap_or(UNNAMED_TYPE)
}

const MAX_TYPE_BYTES: usize = 128;
const MAX_CANDIDATE_BYTES: usize = 256;

/// How a source's bodies are read.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Interview results: the type follows from `status` and `interview_status`, the subject is `id`.
    Jobmojito,
    /// Any JSON: type and subject are picked by rule.
    Generic {
        event_type: Pick,
        subject: Option<Pick>,
    },
}

/// Where a generic source's type or subject stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pick {
    /// A JSON pointer (RFC 6901) into the body.
    Pointer(String),
    Header(HeaderName),
    Fixed(String),
}

/// What a body is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classified {
    pub event_type: EventType,
    pub subject: Option<Subject>,
    /// The candidate's id in the customer's ATS, where the body has one. Personal data.
    pub candidate: Option<String>,
}

impl Kind {
    /// Every body is some event: what is not recognised is `interview.other`, or [`UNNAMED_TYPE`].
    pub fn classify(&self, body: &Body<'_>, headers: &HeaderMap) -> Classified {
        match self {
            Self::Jobmojito => interview(body),
            Self::Generic {
                event_type,
                subject,
            } => Classified {
                event_type: EventType::new(
                    &event_type
                        .pick(body, headers)
                        .filter(|text| is_type(text))
                        .unwrap_or(UNNAMED_TYPE.to_owned()),
                ),
                subject: subject
                    .as_ref()
                    .and_then(|pick| pick.pick(body, headers))
                    .and_then(|id| Subject::new(&id).ok()),
                candidate: None,
            },
        }
    }

    /// The headers that a body came with, as far as its type and subject were picked from them.
    pub fn headers_of(&self, event_type: &EventType, subject: Option<&Subject>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let Self::Generic {
            event_type: type_pick,
            subject: subject_pick,
        } = self
        else {
            return headers;
        };
        let picks = [
            (Some(type_pick), Some(event_type.as_str())),
            (subject_pick.as_ref(), subject.map(Subject::as_str)),
        ];
        for (pick, text) in picks {
            let value = text.and_then(|text| HeaderValue::from_str(text).ok());
            if let (Some(Pick::Header(name)), Some(value)) = (pick, value) {
                headers.insert(name.clone(), value);
            }
        }
        headers
    }

    /// The top-level fields of a body that [`Self::classify`] looks at.
    pub fn fields(&self) -> Vec<String> {
        let Self::Generic {
            event_type,
            subject,
        } = self
        else {
            return INTERVIEW_FIELDS.map(str::to_owned).to_vec();
        };
        let picks = [Some(event_type), subject.as_ref()];
        picks
            .into_iter()
            .flatten()
            .filter_map(Pick::field)
            .collect()
    }

    /// The types that this kind can name, as far as they are known beforehand; None for any.
    pub fn event_types(&self) -> Option<Vec<&str>> {
        match self {
            Self::Jobmojito => Some(INTERVIEW_TYPES.to_vec()),
            Self::Generic {
                event_type: Pick::Fixed(one),
                ..
            } => Some(vec![one]),
            Self::Generic { .. } => None,
        }
    }
}

impl Pick {
    /// The top-level field that it looks into, unescaped.
    fn field(&self) -> Option<String> {
        let Self::Pointer(pointer) = self else {
            return None;
        };
        let first = pointer.strip_prefix('/')?.split('/').next()?;
        Some(first.replace("~1", "/").replace("~0", "~"))
    }

    fn pick(&self, body: &Body<'_>, headers: &HeaderMap) -> Option<String> {
        match self {
            Self::Pointer(pointer) => body.pointed(pointer).map(std::borrow::Cow::into_owned),
            Self::Header(name) => headers.get(name)?.to_str().ok().map(str::to_owned),
            Self::Fixed(text) => Some(text.clone()),
        }
    }
}

/// A type travels in a header and is matched by globs: visible ASCII, not too long.
fn is_type(text: &str) -> bool {
    (1..=MAX_TYPE_BYTES).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_graphic() && b != b'*')
}

fn interview(body: &Body<'_>) -> Classified {
    let id = body.string_field("id");
    let candidate = body
        .text_field("candidate_external_id")
        .map(std::borrow::Cow::into_owned);
    let status = body.string_field("status");
    let interview_status = body.string_field("interview_status");
    let event_type = match (&id, status.as_deref(), interview_status.as_deref()) {
        (Some(_), Some("active"), Some("completed" | "completed, stopped early")) => {
            "interview.submitted"
        }
        (Some(_), Some("draft"), Some("completed" | "completed, stopped early")) => {
            "interview.collected"
        }
        (
            Some(_),
            Some("draft"),
            Some("failed" | "abandoned" | "terminated, no speech detected"),
        ) => "interview.failed",
        _ => "interview.other",
    };
    Classified {
        event_type: EventType::new(event_type),
        subject: id.and_then(|id| Subject::new(&id).ok()),
        candidate: candidate.filter(|id| (1..=MAX_CANDIDATE_BYTES).contains(&id.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classify(kind: &Kind, body: &str) -> Classified {
        kind.classify(
            &Body::parse(body.as_bytes()).expect("JSON"),
            &HeaderMap::new(),
        )
    }

    fn generic(event_type: &str, subject: Option<&str>) -> Kind {
        let subject = subject.map(|pointer| Pick::Pointer(pointer.to_owned()));
        Kind::Generic {
            event_type: Pick::Pointer(event_type.to_owned()),
            subject,
        }
    }

    #[test]
    fn every_sample_has_the_type_that_its_name_says() {
        let samples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
        let mut seen = 0;
        for entry in std::fs::read_dir(samples).expect("samples") {
            let path = entry.expect("a sample").path();
            let name = path
                .file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            let expect = match name.split('-').next() {
                Some("hostile" | "long") => "interview.submitted".to_owned(),
                first => format!("interview.{}", first.expect("a word")),
            };
            let body = std::fs::read_to_string(&path).expect("readable");
            let classified = classify(&Kind::Jobmojito, &body);
            assert_eq!(classified.event_type.as_str(), expect, "{name}");
            assert!(classified.subject.is_some(), "{name}");
            seen += 1;
        }
        assert_eq!(seen, 15);
    }

    #[test]
    fn a_body_without_a_usable_id_has_no_subject() {
        for other in [
            "{}",
            "[]",
            "7",
            r#"{"id":7,"status":"active","interview_status":"completed"}"#,
        ] {
            let classified = classify(&Kind::Jobmojito, other);
            assert_eq!(
                (classified.event_type.as_str(), classified.subject),
                ("interview.other", None),
                "{other}"
            );
        }
        let long = "x".repeat(257);
        for id in ["", &long] {
            let body =
                format!(r#"{{"id":"{id}","status":"active","interview_status":"completed"}}"#);
            let classified = classify(&Kind::Jobmojito, &body);
            assert_eq!(
                (classified.event_type.as_str(), classified.subject),
                ("interview.submitted", None)
            );
        }
    }

    #[test]
    fn a_candidate_may_be_written_as_a_number() {
        assert_eq!(
            classify(&Kind::Jobmojito, r#"{"candidate_external_id":4417820}"#)
                .candidate
                .as_deref(),
            Some("4417820")
        );
        assert_eq!(
            classify(&Kind::Jobmojito, r#"{"candidate_external_id":""}"#).candidate,
            None
        );
    }

    #[test]
    fn a_generic_source_picks_type_and_subject_by_rule() {
        let kind = generic("/event", Some("/data/id"));
        let classified = classify(&kind, r#"{"event":"order.paid","data":{"id":42}}"#);
        assert_eq!(classified.event_type.as_str(), "order.paid");
        assert_eq!(classified.subject, Subject::new("42").ok());
        for unusable in [
            "{}",
            r#"{"event":"a b"}"#,
            r#"{"event":"x\r\ny: z"}"#,
            r#"{"event":["a"]}"#,
        ] {
            assert_eq!(
                classify(&kind, unusable).event_type.as_str(),
                UNNAMED_TYPE,
                "{unusable}"
            );
        }
        let by_header = Kind::Generic {
            event_type: Pick::Header(HeaderName::from_static("x-event")),
            subject: None,
        };
        let mut headers = HeaderMap::new();
        headers.insert("x-event", "push".parse().expect("a header value"));
        let body = Body::parse(b"{}").expect("JSON");
        assert_eq!(
            by_header.classify(&body, &headers).event_type.as_str(),
            "push"
        );
        let again = by_header.headers_of(&EventType::new("push"), None);
        assert_eq!(again, headers);
    }
}
