//! Slack's messages where golden samples do not reach: the analysis, headlines, other senders, a previous
//! revision that is gone.

use mojito_relay::destination::{Fields, Job};
use mojito_relay::model::{Event, EventId, EventType, Subject};
use mojito_relay::template::text::units;
use serde_json::{Value, json};

use super::{DeliveryOutcome, OPERATORS, Ready, outcome, outline, ready};
use crate::harness::sample;
use crate::hostile::limits::within_slacks_limits;

fn slack(keys: &str) -> Ready {
    ready("slack", &format!("{}\n{keys}", OPERATORS[0].1))
}

fn message(ready: &Ready, source: &str, body: &str, previous: Option<&str>) -> Value {
    let DeliveryOutcome::Request(request) = outcome(ready, source, body, previous) else {
        panic!("Slack takes everything");
    };
    let message = serde_json::from_str(&request.body).unwrap();
    within_slacks_limits(&message);
    message
}

#[test]
fn the_analysis_and_a_headline_are_shown_where_asked_for() {
    let ready = slack("with.analysis = true\nwith.headline = \"R&D <!here>\"");
    let golden = ["submitted-rich", "hostile-text"].map(|name| {
        let message = message(&ready, "jobmojito", sample(name), None);
        format!("=== {name}\n{}", outline(&message, 0))
    });
    insta::assert_snapshot!("slack-analysis", golden.join("\n"));
    let long = message(&ready, "jobmojito", sample("long-text"), None);
    let analysis = long["blocks"][2]["text"]["text"].as_str().unwrap();
    assert!(
        analysis.ends_with('…') && units(analysis) > 2700,
        "{}",
        units(analysis)
    );
}

#[test]
fn other_senders_events_are_shown_by_type_and_names_of_fields() {
    let ready = slack("with.analysis = true");
    let before = r#"{"event": "deal.<!won>", "id": "d 1", "stage": "y", "<!channel>": 1}"#;
    let after = r#"{"event": "deal.<!won>", "id": "d 1", "stage": "<x>", "<!channel>": 2}"#;
    let shown = message(&ready, "shop", after, Some(before));
    insta::assert_snapshot!("slack-other-sender", outline(&shown, 0));
    for payload in ["[]", "\"text\"", "null", "7", "{}"] {
        message(&ready, "shop", payload, None);
    }
}

#[test]
fn an_event_of_another_sender_is_never_taken_for_an_interview_s() {
    let ready = slack("");
    for kind in ["failed", "updated", "abandoned", "score", "interview"] {
        let body = format!(r#"{{"event": "{kind}", "id": "7"}}"#);
        let shown = message(&ready, "shop", &body, None);
        let blocks = shown["blocks"].as_array().unwrap();
        assert_eq!(
            (&blocks[0]["text"]["text"], blocks.len()),
            (&json!(kind), 2)
        );
        assert_eq!(shown["text"], kind);
    }
}

#[test]
fn what_changed_is_named_where_the_previous_revision_is_gone() {
    let ready = slack("");
    let destinations = &ready.compiled.rules.destinations;
    let destination = destinations.values().next().unwrap();
    let body = sample("submitted-rich-selected");
    let result: Value = serde_json::from_str(body).unwrap();
    let changed = vec!["recruiter_go_next_round".to_owned()];
    let event = Event {
        id: EventId::from_bytes([1; 16]),
        source: "jobmojito".into(),
        event_type: EventType::new("interview.submitted"),
        subject: Subject::new("r-1").ok(),
        revision: 2,
        changed: changed.clone(),
        candidate: None,
        received_at: "2026-11-22T09:59:58Z".parse().unwrap(),
        route_errors: Vec::new(),
    };
    let request = destination.render(&Job {
        event: &event,
        webhook_id: event.id.delivery(0),
        result: &result,
        payload: &body.into(),
        previous: None,
        changed: &changed,
        receipt: None,
        with: None,
        attempt: 1,
        now: event.received_at,
    });
    let message: Value = serde_json::from_slice(&request.unwrap().body).unwrap();
    within_slacks_limits(&message);
    assert_eq!(
        message["blocks"][0]["text"]["text"],
        "Interview result updated"
    );
    let said = json!("What changed: decision");
    let blocks = message["blocks"].as_array().unwrap();
    assert!(
        blocks.iter().any(|block| block["text"]["text"] == said),
        "{message}"
    );
}

#[test]
fn only_the_fields_of_the_message_are_read() {
    let ready = slack("");
    let destinations = &ready.compiled.rules.destinations;
    let Fields::Only(fields) = destinations.values().next().unwrap().fields() else {
        panic!("the preset reads the whole payload");
    };
    let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
    assert_eq!(
        fields,
        [
            "ai_analysis_recruiter",
            "ai_analysis_recruiter_score",
            "ai_analysis_recruiter_why_hire",
            "ai_analysis_recruiter_why_not_hire",
            "candidate_external_id",
            "id",
            "interview_status",
            "pdf_export_url",
            "recruiter_go_next_round",
            "score",
            "status"
        ]
    );
}
