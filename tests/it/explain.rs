//! `relay explain` tells what a running relay does, clause by clause, and shows no secret.

use jiff::Timestamp;
use mojito_relay::app::{DeliveryOutcome, Explanation, Question, SAMPLES, compile, explain};
use mojito_relay::config;
use mojito_relay::telemetry::Happening;

use crate::harness::{TestRelay, inputs_without_a_file, sample};

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
    let previous = previous.map(str::as_bytes);
    explain(
        &ready,
        Question {
            source: &source,
            body: body.as_bytes(),
            previous,
            now,
        },
    )
    .unwrap()
}

/// Destination, URL and body of each request, as a running relay sends them.
async fn sent(body: &str) -> Vec<(String, String)> {
    let mut relay = TestRelay::start(RULES).await;
    let count = relay.post("jobmojito", body.to_owned()).await.json()["deliveries"]
        .as_u64()
        .unwrap();
    let ended = |log: &[Happening]| {
        log.iter()
            .filter(|one| !matches!(one, Happening::Event(_) | Happening::Lane { .. }))
            .count()
    };
    relay
        .until("every end", |log| ended(log) as u64 >= count)
        .await;
    let seen = relay.receivers.seen().into_iter();
    let mut requests: Vec<(String, String)> = seen
        .map(|seen| (seen.host, String::from_utf8(seen.body.to_vec()).unwrap()))
        .collect();
    requests.sort();
    requests
}

#[tokio::test(flavor = "multi_thread")]
async fn it_tells_what_a_running_relay_does_with_every_sample() {
    for (name, body) in SAMPLES {
        let mut told: Vec<(String, String)> = explained(body, None)
            .deliveries
            .into_iter()
            .filter_map(|delivery| match delivery.outcome {
                DeliveryOutcome::Request(request) => {
                    Some((format!("{}.test", delivery.destination), request.body))
                }
                _ => None,
            })
            .collect();
        told.sort();
        assert_eq!(told, sent(body).await, "{name}");
    }
}

#[test]
fn each_route_names_the_clause_that_decided_and_what_it_saw() {
    let explanation = explained(
        sample("submitted-rich-rescored"),
        Some(sample("submitted-rich")),
    );
    let route = |name: &str| {
        explanation
            .routes
            .iter()
            .find(|route| route.route == name)
            .unwrap()
    };
    assert!(route("all").matched && route("good").matched);
    assert_eq!(route("good").saw, ["result.score = 6.4"]);
    let decisions = route("decisions");
    assert_eq!(
        (decisions.matched, decisions.clause.as_str()),
        (false, "changed = [\"recruiter_go_next_round\"]")
    );
    assert_eq!(
        decisions.saw,
        ["changed = [\"ai_analysis_recruiter_score\", \"score\"]"]
    );
    let failed = explained(sample("failed"), None);
    let careless = failed
        .routes
        .iter()
        .find(|route| route.route == "careless")
        .unwrap();
    assert_eq!(careless.saw, ["result.ai_analysis_recruiter_score = null"]);
    assert!(careless.error.as_ref().unwrap().contains("null"));
    let good = failed
        .routes
        .iter()
        .find(|route| route.route == "good")
        .unwrap();
    assert_eq!(
        (good.matched, good.saw[0].as_str()),
        (false, "result.score = null")
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
