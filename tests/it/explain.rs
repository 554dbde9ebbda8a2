//! `relay explain` tells what a running relay does, clause by clause, and shows no secret.

use bytes::Bytes;
use jiff::Timestamp;
use mojito_relay::app::{
    Answer, ClauseAnswer, DeliveryOutcome, Explanation, Past, Question, compile, explain,
};
use mojito_relay::config;

use crate::harness::{inputs_without_a_file, sample};

const RULES: &str = r#"
    [sources.jobmojito]
    auth = "none"
    [destinations.hiring]
    preset = "slack"
    rate_limit = "none"
    url = "http://hiring.test/services/T/B/canary-of-the-url"
    [destinations.ats]
    preset = "ashby"
    rate_limit = "none"
    base_url = "http://ats.test"
    api_key = "canary-of-the-key"
    [destinations.app]
    url = "http://app.test/results/{{ result.score }}"
    headers = { X-Token = "canary-of-the-header" }
    [[routes]]
    name = "all"
    to = ["hiring"]
    [[routes]]
    name = "good"
    when = "result.score != null && result.score >= 5.0"
    to = ["ats", "app"]
    [[routes]]
    name = "careless"
    events = ["interview.*"]
    when = "result.ai_analysis_recruiter_score >= 4.5"
    to = ["app"]
    [[routes]]
    name = "decisions"
    changed = ["recruiter_go_next_round"]
    to = ["ats"]
    [[routes]]
    name = "changes"
    first = false
    changed = ["score", "status"]
    when = "previous != null && with.least < 4.0 && event.revision > 1.0"
    with = { least = 3 }
    to = ["app"]
"#;

fn explained(body: &str, previous: Option<&str>) -> Explanation {
    let loaded = config::load_text(&inputs_without_a_file(), RULES).unwrap();
    let ready = compile(loaded, true).unwrap();
    let source = ready
        .compiled
        .rules
        .sources
        .values()
        .next()
        .unwrap()
        .clone();
    let now: Timestamp = "2026-11-22T09:00:00Z".parse().unwrap();
    let bytes = |text: &str| Bytes::from(text.to_owned());
    let supposed = |text| Past::supposed(&ready, &source, &bytes(text), now).unwrap();
    let history: Vec<Past> = previous.map(supposed).into_iter().collect();
    explain(&ready, Question::new(&source, &bytes(body), &history, now)).unwrap()
}

/// Every clause of a route, as people read it.
fn clauses(explanation: &Explanation, name: &str) -> Vec<String> {
    let mut routes = explanation.routes.iter();
    let route = routes.find(|route| route.route == name).unwrap();
    route.clauses.iter().map(ClauseAnswer::to_string).collect()
}

#[test]
fn each_route_shows_every_clause_with_what_it_saw_and_what_it_says() {
    let rescored = explained(
        sample("submitted-rich-rescored"),
        Some(sample("submitted-rich")),
    );
    insta::assert_snapshot!(clauses(&rescored, "good").join("\n"), @r#"
events = ["interview.submitted", "interview.collected", "interview.failed"]: true (type = "interview.submitted")
when = result.score != null && result.score >= 5.0: true (result.score = 6.4)
"#);
    insta::assert_snapshot!(clauses(&rescored, "decisions").join("\n"), @r#"
events = ["interview.submitted", "interview.collected", "interview.failed"]: true (type = "interview.submitted")
changed = ["recruiter_go_next_round"]: false (changed = ["ai_analysis_recruiter_score", "score"])
"#);
    let failed = explained(sample("failed"), None);
    insta::assert_snapshot!(clauses(&failed, "careless").join("\n"), @r#"
events = ["interview.*"]: true (type = "interview.failed")
when = result.ai_analysis_recruiter_score >= 4.5: cannot be evaluated: >= cannot be applied to null and double (result.ai_analysis_recruiter_score = null)
"#);
    // The first clause that says no decides, and those after it are told all the same.
    insta::assert_snapshot!(clauses(&failed, "changes").join("\n"), @r#"
events = ["interview.submitted", "interview.collected", "interview.failed"]: true (type = "interview.failed")
first = false: false (revision = 1)
changed = ["score", "status"]: true (result.score = null, result.status = "draft")
when = previous != null && with.least < 4.0 && event.revision > 1.0: false (previous = null, event.revision = 1, with.least = 3)
"#);
    let changes = failed
        .routes
        .iter()
        .find(|route| route.route == "changes")
        .unwrap();
    let deciding = changes.deciding().unwrap();
    assert_eq!(
        (deciding.clause.as_str(), deciding.answer),
        ("first = false", Answer::False)
    );
}

#[test]
fn a_duplicate_is_told_and_goes_nowhere() {
    let explanation = explained(sample("submitted-rich"), Some(sample("submitted-rich")));
    assert!(explanation.duplicate && explanation.deliveries.is_empty());
}

#[test]
fn what_is_skipped_or_dead_says_why_and_no_secret_is_shown() {
    let without = sample("submitted-rich").replace("\"gh_4417820\"", "null");
    let explanation = explained(&without, None);
    let ats = explanation
        .deliveries
        .iter()
        .find(|delivery| delivery.destination == "ats")
        .unwrap();
    assert!(
        matches!(&ats.outcome, DeliveryOutcome::Skipped { reason } if reason == "result.candidate_external_id is null")
    );
    let all = serde_json::to_string(&explained(sample("submitted-rich"), None)).unwrap();
    assert!(
        all.contains("•••") && all.contains("http://hiring.test"),
        "{all}"
    );
    for canary in ["canary-of-the-key", "canary-of-the-header"] {
        assert!(!all.contains(canary), "{canary} in {all}");
    }
    assert_eq!(explained(sample("other-ongoing"), None).deliveries.len(), 0);
}
