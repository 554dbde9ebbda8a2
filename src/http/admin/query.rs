//! Parameters and bodies of admin requests. The same types are in the API's description, so that what is
//! described is what is read. What is not known is an error, not ignored.

use jiff::Timestamp;
use schemars::{JsonSchema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use url::form_urlencoded;

use crate::http::problem::AdminProblem;
use crate::model::{Cursor, EventId, EventType, Limit, Name, State};
use crate::store::{DeliveryFilter, EventFilter, Whose};

/// Which events are listed: those for which everything given holds.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct EventsQuery {
    /// The whole type, such as interview.submitted
    #[serde(rename = "type")]
    event_type: Option<EventType>,
    /// Name of the source that it came through
    source: Option<String>,
    /// The interview result's id
    subject: Option<String>,
    /// The candidate's id in your ATS: all events of every subject that ever named it
    candidate: Option<String>,
    /// Received at this time or later
    #[serde(deserialize_with = "time")]
    since: Option<Timestamp>,
    /// Received before this time
    #[serde(deserialize_with = "time")]
    until: Option<Timestamp>,
    /// How many at most
    limit: Limit,
    /// `next` of the page before
    cursor: Option<Cursor>,
}

/// Which deliveries are listed: those for which everything given holds.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DeliveriesQuery {
    /// Where it stands
    state: Option<State>,
    /// Name of the destination
    destination: Option<String>,
    /// Name of the route that named the destination
    route: Option<String>,
    /// Of this event
    event: Option<EventId>,
    /// The whole type of its event, such as interview.submitted
    #[serde(rename = "type")]
    event_type: Option<EventType>,
    /// The interview result's id
    subject: Option<String>,
    /// The candidate's id in your ATS: of every subject that ever named it
    candidate: Option<String>,
    /// A text in `last_error`, small and capital letters alike
    error: Option<String>,
    /// Created at this time or later
    #[serde(deserialize_with = "time")]
    since: Option<Timestamp>,
    /// Created before this time
    #[serde(deserialize_with = "time")]
    until: Option<Timestamp>,
    /// How many at most
    limit: Limit,
    /// `next` of the page before
    cursor: Option<Cursor>,
}

/// How a delivery is replayed.
#[derive(Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ReplayBody {
    /// Also where the destination already got a newer revision
    pub(super) force: bool,
    /// Under another webhook-id, so that a receiver that knows the old one takes it again
    pub(super) new_id: bool,
}

/// Whose events are erased: a candidate's, or a subject's.
#[derive(Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged, deny_unknown_fields)]
pub(super) enum EraseBody {
    Candidate {
        /// The candidate's id in your ATS: every subject that ever named it
        #[schemars(length(min = 1))]
        candidate: String,
    },
    Subject {
        /// The interview result's id
        #[schemars(length(min = 1))]
        subject: String,
        /// Where several sources share ids
        source: Option<String>,
    },
}

/// Where a backlog is to move.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MoveBody {
    /// Name of a destination that is in relay.toml
    pub(super) to: Name,
}

/// The body of a request: a JSON object.
pub(super) trait Body: Sized {
    fn read(body: &[u8]) -> Result<Self, AdminProblem>;
}

impl Body for ReplayBody {
    fn read(body: &[u8]) -> Result<Self, AdminProblem> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        fields(body)
    }
}

impl Body for MoveBody {
    fn read(body: &[u8]) -> Result<Self, AdminProblem> {
        serde_json::from_value(object(body)?).map_err(|_| {
            bad("The body is a JSON object with `to`, the name of a destination.".to_owned())
        })
    }
}

impl Body for EraseBody {
    fn read(body: &[u8]) -> Result<Self, AdminProblem> {
        let words = "The body is a JSON object with `candidate`, or with `subject` and, where sources share ids, `source`.";
        let read: Self =
            serde_json::from_value(object(body)?).map_err(|_| bad(words.to_owned()))?;
        match &read {
            Self::Candidate { candidate: id } | Self::Subject { subject: id, .. }
                if id.is_empty() =>
            {
                Err(bad(words.to_owned()))
            }
            _ => Ok(read),
        }
    }
}

impl From<EraseBody> for Whose {
    fn from(body: EraseBody) -> Self {
        match body {
            EraseBody::Candidate { candidate } => Self::Candidate(candidate),
            EraseBody::Subject { subject, source } => Self::Subject {
                subject,
                source: source.map(|source| source.as_str().into()),
            },
        }
    }
}

pub(super) fn events(query: &str) -> Result<(EventFilter, Limit), AdminProblem> {
    let asked: EventsQuery = parameters(query)?;
    let filter = EventFilter {
        event_type: asked.event_type,
        source: asked.source,
        subject: asked.subject,
        candidate: asked.candidate,
        since: asked.since,
        until: asked.until,
        cursor: asked.cursor,
        oldest_first: false,
    };
    Ok((filter, asked.limit))
}

pub(super) fn deliveries(query: &str) -> Result<(DeliveryFilter, Limit), AdminProblem> {
    let asked: DeliveriesQuery = parameters(query)?;
    let filter = DeliveryFilter {
        state: asked.state,
        destination: asked.destination,
        route: asked.route,
        event: asked.event,
        event_type: asked.event_type,
        subject: asked.subject,
        candidate: asked.candidate,
        error: asked.error,
        since: asked.since,
        until: asked.until,
        cursor: asked.cursor,
        oldest_first: false,
    };
    Ok((filter, asked.limit))
}

/// What the fields of an object say; what is wrong names its field.
pub(super) fn fields<T: DeserializeOwned>(body: &[u8]) -> Result<T, AdminProblem> {
    serde_path_to_error::deserialize(object(body)?).map_err(|error| {
        let path = error.path().to_string();
        let path = if path == "." { "the body" } else { &path };
        wrong(path, error.inner())
    })
}

/// As a value first: a list would pass for an object whose fields are in that order.
fn object(body: &[u8]) -> Result<Value, AdminProblem> {
    let object: Map<String, Value> = serde_json::from_slice(body)
        .map_err(|error| bad(format!("The body is not a JSON object: {error}.")))?;
    Ok(Value::Object(object))
}

fn parameters<T: DeserializeOwned + JsonSchema>(query: &str) -> Result<T, AdminProblem> {
    let pairs = form_urlencoded::parse(query.as_bytes());
    let read = serde_urlencoded::Deserializer::new(pairs);
    serde_path_to_error::deserialize(read).map_err(|error| {
        let known = names::<T>();
        let mut asked = form_urlencoded::parse(query.as_bytes());
        match asked.find(|(name, _)| !known.iter().any(|known| known == name)) {
            Some((name, _)) => unknown(&name, &known),
            None => wrong(&error.path().to_string(), error.inner()),
        }
    })
}

/// The fields of a type.
pub(super) fn names<T: JsonSchema>() -> Vec<String> {
    let schema = SchemaGenerator::default().into_root_schema_for::<T>();
    let properties = schema.get("properties").and_then(|all| all.as_object());
    properties.map_or(Vec::new(), |all| all.keys().cloned().collect())
}

fn time<'de, D: Deserializer<'de>>(text: D) -> Result<Option<Timestamp>, D::Error> {
    let text = String::deserialize(text)?;
    let time = text.parse().map_err(|_| {
        serde::de::Error::custom("not a time; write it as 2026-11-22T09:30:00Z (RFC 3339)")
    })?;
    Ok(Some(time))
}

fn unknown(name: &str, known: &[String]) -> AdminProblem {
    let name: String = name.chars().take(40).collect();
    let known = known.join(", ");
    bad(format!(
        "There is no parameter `{name}`; there are {known}."
    ))
}

fn wrong(name: &str, error: &impl std::fmt::Display) -> AdminProblem {
    bad(format!("`{name}`: {error}."))
}

pub(super) fn bad(detail: String) -> AdminProblem {
    AdminProblem::BadRequest {
        detail: detail.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_from_the_query() {
        let (filter, limit) =
            deliveries("state=dead&destination=ats&since=2026-11-22T09:30:00Z&limit=500")
                .expect("known");
        assert_eq!(
            (filter.state, filter.destination.as_deref(), limit.get()),
            (Some(State::Dead), Some("ats"), 500)
        );
        let (filter, limit) = events("type=interview.failed&subject=a%2Fb+c").expect("known");
        assert_eq!(
            (filter.subject.as_deref(), limit.get()),
            (Some("a/b c"), 50)
        );
    }

    #[test]
    fn what_is_not_known_is_an_error_that_names_it() {
        let check = |query: &str, words: &str| {
            let Err(AdminProblem::BadRequest { detail }) = deliveries(query) else {
                panic!("{query} is taken");
            };
            assert!(detail.contains(words), "{detail}");
        };
        check(
            "stat=dead",
            "no parameter `stat`; there are state, destination, route, event, type",
        );
        check(
            "state=gone",
            "`state`: unknown variant `gone`, expected one of `waiting`",
        );
        check("limit=0", "`limit`: not a number from 1 to 500");
        check("limit=501", "`limit`: not a number from 1 to 500");
        check("limit=x", "`limit`: not a number from 1 to 500");
        check("since=yesterday", "`since`: not a time");
        check(
            "cursor=x",
            "`cursor`: the cursor is not one this relay gave out",
        );
        check("event=x", "`event`: `x` is no event id");
        check("route=a&route=b", "duplicate field `route`");
    }

    #[test]
    fn a_body_may_be_left_out_but_not_misspelled() {
        let replay = ReplayBody::read;
        assert_eq!(replay(b"").expect("none is fine"), ReplayBody::default());
        assert!(replay(br#"{"force": true}"#).expect("known").force);
        for wrong in [
            &br#"{"forse": true}"#[..],
            b"{",
            b"{} {}",
            b"[]",
            b"null",
            br#"{"force": 1}"#,
        ] {
            assert!(replay(wrong).is_err(), "{}", String::from_utf8_lossy(wrong));
        }
    }

    #[test]
    fn whose_events_are_erased_is_said_in_one_way() {
        let read = |body: &str| EraseBody::read(body.as_bytes()).map(Whose::from);
        let candidate = Whose::Candidate("c-1".to_owned());
        assert_eq!(read(r#"{"candidate":"c-1"}"#), Ok(candidate));
        let subject = Whose::Subject {
            subject: "s-1".to_owned(),
            source: Some("shop".into()),
        };
        assert_eq!(read(r#"{"subject":"s-1","source":"shop"}"#), Ok(subject));
        for wrong in [
            "",
            "{}",
            r#"{"candidate":""}"#,
            r#"{"candidate":"c","subject":"s"}"#,
            r#"{"candidate":"c","source":"s"}"#,
            r#"{"subject":"s","extra":1}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
