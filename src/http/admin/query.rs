//! Parameters and bodies of admin requests. What is not known is an error, not ignored.

use std::fmt::Display;
use std::str::FromStr;

use jiff::Timestamp;
use serde::Deserialize;
use url::form_urlencoded;

use crate::http::problem::AdminProblem;
use crate::model::{EventType, Limit, Name};
use crate::store::{DeliveryFilter, EventFilter, Whose};

/// The optional body of a replay.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ReplayBody {
    pub(super) force: bool,
    pub(super) new_id: bool,
}

pub(super) fn events(query: &str) -> Result<(EventFilter, Limit), AdminProblem> {
    let mut filter = EventFilter::default();
    let mut limit = Limit::default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "type" => filter.event_type = Some(EventType::new(&value)),
            "source" => filter.source = Some(value.into_owned()),
            "subject" => filter.subject = Some(value.into_owned()),
            "candidate" => filter.candidate = Some(value.into_owned()),
            "since" => filter.since = Some(time(&name, &value)?),
            "until" => filter.until = Some(time(&name, &value)?),
            "limit" => limit = limit_of(&value)?,
            "cursor" => filter.cursor = Some(parsed(&name, &value)?),
            _ => {
                return Err(unknown(
                    &name,
                    "type, source, subject, candidate, since, until, limit, cursor",
                ));
            }
        }
    }
    Ok((filter, limit))
}

pub(super) fn deliveries(query: &str) -> Result<(DeliveryFilter, Limit), AdminProblem> {
    let mut filter = DeliveryFilter::default();
    let mut limit = Limit::default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "state" => filter.state = Some(parsed(&name, &value)?),
            "destination" => filter.destination = Some(value.into_owned()),
            "route" => filter.route = Some(value.into_owned()),
            "event" => filter.event = Some(parsed(&name, &value)?),
            "since" => filter.since = Some(time(&name, &value)?),
            "until" => filter.until = Some(time(&name, &value)?),
            "limit" => limit = limit_of(&value)?,
            "cursor" => filter.cursor = Some(parsed(&name, &value)?),
            _ => {
                return Err(unknown(
                    &name,
                    "state, destination, route, event, since, until, limit, cursor",
                ));
            }
        }
    }
    Ok((filter, limit))
}

pub(super) fn replay(body: &[u8]) -> Result<ReplayBody, AdminProblem> {
    if body.is_empty() {
        return Ok(ReplayBody::default());
    }
    serde_json::from_slice(body).map_err(|_| {
        bad("The body, where there is one, is a JSON object with `force` and `new_id`, each true or false.".to_owned())
    })
}

/// Where a backlog is to move.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MoveBody {
    to: String,
}

pub(super) fn to(body: &[u8]) -> Result<Name, AdminProblem> {
    let body: MoveBody = serde_json::from_slice(body).map_err(|_| {
        bad("The body is a JSON object with `to`, the name of a destination.".to_owned())
    })?;
    Ok(body.to.as_str().into())
}

/// Whose events to erase.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EraseBody {
    candidate: Option<String>,
    subject: Option<String>,
    source: Option<String>,
}

pub(super) fn erase(body: &[u8]) -> Result<Whose, AdminProblem> {
    let words = "The body is a JSON object with `candidate`, or with `subject` and, where sources share ids, `source`.";
    let body: EraseBody = serde_json::from_slice(body).map_err(|_| bad(words.to_owned()))?;
    match (body.candidate, body.subject, body.source) {
        (Some(candidate), None, None) if !candidate.is_empty() => Ok(Whose::Candidate(candidate)),
        (None, Some(subject), source) if !subject.is_empty() => Ok(Whose::Subject {
            subject,
            source: source.map(|source| source.as_str().into()),
        }),
        _ => Err(bad(words.to_owned())),
    }
}

fn time(name: &str, value: &str) -> Result<Timestamp, AdminProblem> {
    value.parse().map_err(|_| {
        bad(format!(
            "`{name}` is not a time; write it as 2026-11-22T09:30:00Z (RFC 3339)."
        ))
    })
}

fn limit_of(value: &str) -> Result<Limit, AdminProblem> {
    let limit = value.parse().ok().and_then(Limit::new);
    limit.ok_or_else(|| bad("`limit` is a number from 1 to 500.".to_owned()))
}

fn parsed<T: FromStr<Err: Display>>(name: &str, value: &str) -> Result<T, AdminProblem> {
    value
        .parse()
        .map_err(|error| bad(format!("`{name}`: {error}.")))
}

fn unknown(name: &str, known: &str) -> AdminProblem {
    let name: String = name.chars().take(40).collect();
    bad(format!(
        "There is no parameter `{name}`; there are {known}."
    ))
}

fn bad(detail: String) -> AdminProblem {
    AdminProblem::BadRequest {
        detail: detail.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::State;

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
    fn what_is_not_known_is_an_error() {
        for query in [
            "stat=dead",
            "state=gone",
            "limit=0",
            "limit=501",
            "since=yesterday",
            "cursor=x",
        ] {
            assert!(
                matches!(deliveries(query), Err(AdminProblem::BadRequest { .. })),
                "{query}"
            );
        }
        assert_eq!(replay(b"").expect("none is fine"), ReplayBody::default());
        assert!(replay(br#"{"force": true}"#).expect("known").force);
        assert!(replay(br#"{"forse": true}"#).is_err());
    }
}
