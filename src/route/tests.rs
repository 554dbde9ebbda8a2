//! Which routes match, and why the others do not.

use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::expr::EVENT_ROOTS;
use crate::model::{EventId, Subject};

fn event(event_type: &str, revision: u32, changed: &[&str]) -> Event {
    Event {
        id: EventId::first_at(Timestamp::UNIX_EPOCH),
        source: "jobmojito".into(),
        event_type: EventType::new(event_type),
        subject: Subject::new("s").ok(),
        revision,
        changed: changed.iter().map(|&field| field.to_owned()).collect(),
        candidate: None,
        received_at: Timestamp::UNIX_EPOCH,
        route_errors: Vec::new(),
    }
}

fn route(name: &str, to: &[&str]) -> Route {
    Route {
        name: name.into(),
        from: None,
        events: DEFAULT_EVENTS.map(Glob::new).to_vec(),
        changed: Vec::new(),
        first: true,
        when: None,
        to: to.iter().map(|&name| name.into()).collect(),
        with: Map::new(),
        stop: false,
    }
}

fn when(text: &str) -> Expression {
    Expression::compile(text, EVENT_ROOTS).expect(text)
}

fn outcome(route: Route, event: &Event, result: &Value) -> Outcome {
    let routes = Routes::new(vec![route]);
    let mut trace = routes.trace(event, &result.clone().into(), &Value::Null.into());
    trace.pop().expect("one route").1
}

#[test]
fn a_glob_covers_the_whole_type() {
    let check = |glob: &str, event_type: &str, expect| {
        assert_eq!(
            Glob::new(glob).matches(&EventType::new(event_type)),
            expect,
            "{glob} {event_type}"
        );
    };
    check("interview.submitted", "interview.submitted", true);
    check("interview.submitted", "interview.submitted2", false);
    check("interview.*", "interview.failed", true);
    check("*", "anything", true);
    check("*.failed", "interview.failed", true);
    check("*.failed", "interview.failed.late", false);
    check("a*b*c", "aXbYbZc", true);
    check("a*a", "a", false);
    check("", "x", false);
}

#[test]
fn other_must_be_named() {
    let other = event("interview.other", 1, &[]);
    assert_eq!(
        outcome(route("r", &["x"]), &other, &json!({})),
        Outcome::OtherType
    );
    let named = Route {
        events: vec![Glob::new("interview.other")],
        ..route("r", &["x"])
    };
    assert_eq!(outcome(named, &other, &json!({})), Outcome::Matched);
}

#[test]
fn changed_means_differs_or_on_a_first_revision_is_not_null() {
    let decisions = |first| Route {
        changed: vec!["score".to_owned(), "status".to_owned()],
        first,
        ..route("r", &["x"])
    };
    let check = |first, revision, changed: &[&str], result: Value, expect| {
        assert_eq!(
            outcome(
                decisions(first),
                &event("interview.submitted", revision, changed),
                &result
            ),
            expect
        );
    };
    check(
        true,
        2,
        &["score"],
        json!({"score": null}),
        Outcome::Matched,
    );
    check(true, 2, &["other"], json!({"score": 5}), Outcome::Unchanged);
    check(true, 1, &[], json!({"score": 5}), Outcome::Matched);
    check(true, 1, &[], json!({"score": null}), Outcome::Unchanged);
    check(false, 1, &[], json!({"score": 5}), Outcome::FirstRevision);
    check(false, 2, &["score"], json!({"score": 5}), Outcome::Matched);
}

#[test]
fn an_expression_that_fails_is_no_match_and_is_told() {
    let high = Route {
        when: Some(when("result.ai_analysis_recruiter_score >= 4.0")),
        ..route("high", &["x"])
    };
    let routes = Routes::new(vec![high, route("all", &["y"])]);
    let decision = routes.decide(
        &event("interview.submitted", 1, &[]),
        &json!({}).into(),
        &Value::Null.into(),
    );
    assert_eq!(decision.to.len(), 1);
    assert_eq!(decision.errors[0].route, "high");
    let decision = routes.decide(
        &event("interview.submitted", 1, &[]),
        &json!({"ai_analysis_recruiter_score": 4}).into(),
        &Value::Null.into(),
    );
    assert_eq!((decision.to.len(), decision.errors.len()), (2, 0));
}

#[test]
fn expressions_see_event_previous_and_the_route_s_own_with() {
    let text = "event.revision == 2 && 'score' in event.changed && previous == null && result.nope == null && with.least == 4.0";
    let with = |least| {
        let Value::Object(with) = json!({"least": least}) else {
            unreachable!("an object")
        };
        Route {
            when: Some(when(text)),
            with,
            ..route("r", &["x"])
        }
    };
    assert_eq!(
        outcome(
            with(4),
            &event("interview.submitted", 2, &["score"]),
            &json!({})
        ),
        Outcome::Matched
    );
    assert_eq!(
        outcome(
            with(5),
            &event("interview.submitted", 2, &["score"]),
            &json!({})
        ),
        Outcome::False
    );
}

#[test]
fn a_destination_is_reached_once_by_the_first_route_that_names_it() {
    let routes = Routes::new(vec![route("a", &["x", "y"]), route("b", &["y", "z", "x"])]);
    let decision = routes.decide(
        &event("interview.failed", 1, &[]),
        &json!({}).into(),
        &Value::Null.into(),
    );
    let chosen: Vec<_> = decision
        .to
        .iter()
        .map(|c| (&*c.destination, &*c.route))
        .collect();
    assert_eq!(chosen, [("x", "a"), ("y", "a"), ("z", "b")]);
}

#[test]
fn later_routes_are_not_looked_at_after_a_stop_that_matched() {
    let stop = Route {
        stop: true,
        events: vec![Glob::new("interview.failed")],
        ..route("stop", &["x"])
    };
    let routes = Routes::new(vec![stop, route("rest", &["y"])]);
    let to = |event_type| {
        routes
            .decide(
                &event(event_type, 1, &[]),
                &json!({}).into(),
                &Value::Null.into(),
            )
            .to
            .len()
    };
    assert_eq!(to("interview.failed"), 1);
    assert_eq!(to("interview.submitted"), 1);
    let failed = event("interview.failed", 1, &[]);
    let trace = routes.trace(&failed, &json!({}).into(), &Value::Null.into());
    assert_eq!(trace[1].1, Outcome::Stopped { by: "stop".into() });
}

#[test]
fn a_route_listens_to_its_sources_only() {
    let staging = Route {
        from: Some(vec!["staging".into()]),
        ..route("r", &["x"])
    };
    assert_eq!(
        outcome(staging, &event("interview.failed", 1, &[]), &json!({})),
        Outcome::OtherSource
    );
}
