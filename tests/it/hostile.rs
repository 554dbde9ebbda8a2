//! A body that tries everything: what is in it stays where it belongs.

use mojito_relay::model::State;

use crate::harness::{TestRelay, sample};

const EVERYWHERE: &str = r#"
    [sources.jobmojito]
    auth = "none"
    [destinations.hiring]
    preset = "slack"
    rate_limit = "none"
    url = "http://hiring.test/services/T/B/x"
    with = { analysis = true }
    [destinations.ats]
    url = "http://ats.test/v2/candidates/{{ result.candidate_external_id }}/notes?from={{ result.candidate_external_id }}"
    body = { note = "{{ result.ai_analysis_recruiter }}" }
    [destinations.header]
    url = "http://header.test/"
    headers = { X-Candidate = "{{ result.candidate_external_id }}" }
    [destinations.wrapped]
    url = "http://wrapped.test/"
    format = "envelope"
    [destinations.events]
    url = "http://events.test/"
    format = "cloudevents"
    [[routes]]
    to = ["hiring", "ats", "header", "wrapped", "events"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn hostile_text_stays_text_and_a_hostile_id_stays_in_its_segment() {
    let mut relay = TestRelay::start(EVERYWHERE).await;
    let id = relay.post("jobmojito", sample("hostile-text")).await.json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    relay.attempts(5).await;
    let at = |host: &str| relay.receivers.seen_at(host).pop();

    let slack = at("hiring.test").expect("Slack gets it");
    let text = String::from_utf8(slack.body.to_vec()).unwrap();
    for live in [
        "<!channel>",
        "<!here>",
        "<@U123>",
        "<https://evil",
        "49",
        "xxxxxxxxx",
    ] {
        assert!(!text.contains(live), "{live} in {text}");
    }

    let ats = at("ats.test").expect("the ATS gets it");
    let (path, query) = ats
        .url
        .strip_prefix("http://ats.test")
        .unwrap()
        .split_once('?')
        .unwrap();
    assert_eq!(path.split('/').count(), 5, "{path}");
    assert!(
        path.split('/')
            .all(|segment| !matches!(segment, "." | "..")),
        "{path}"
    );
    assert!(
        !ats.url.contains(['\r', '\n', ' ']) && !query.contains(['&', '/']),
        "{}",
        ats.url
    );
    let note = ats.json()["note"].as_str().unwrap().to_owned();
    assert!(
        note.contains("{{ 7*7 }}") && note.contains("{% for x in range(9) %}"),
        "{note}"
    );

    assert!(
        at("header.test").is_none(),
        "a header with a line break is not sent"
    );
    let event = relay.get(&format!("/api/v1/events/{id}")).await.json();
    let dead = event["deliveries"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["destination"] == "header")
        .unwrap();
    assert_eq!(dead["state"], "dead");

    let original: serde_json::Value = serde_json::from_str(sample("hostile-text")).unwrap();
    assert_eq!(at("wrapped.test").unwrap().json()["data"], original);
    let event = at("events.test").unwrap().json();
    assert_eq!(
        (&event["data"], &event["specversion"]),
        (&original, &"1.0".into())
    );
    assert!(event.get("subject").is_none(), "a subject is personal data");
    relay.ended(State::Delivered, 4).await;
}
