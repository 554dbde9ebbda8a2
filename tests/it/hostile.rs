//! Bodies that try everything: what is in them stays where it belongs, whichever preset it meets.

pub mod limits;
pub mod payloads;

use mojito_relay::app::{DeliveryOutcome, Ready, SAMPLES};
use mojito_relay::destination::Shown;
use mojito_relay::model::State;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::harness::{TestRelay, sample};
use crate::presets::{OPERATORS, outcome, ready};
use limits::within_slacks_limits;
use payloads::{id, payload, text};

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

    let original: Value = serde_json::from_str(sample("hostile-text")).unwrap();
    assert_eq!(at("wrapped.test").unwrap().json()["data"], original);
    let event = at("events.test").unwrap().json();
    assert_eq!(
        (&event["data"], &event["specversion"]),
        (&original, &"1.0".into())
    );
    assert!(event.get("subject").is_none(), "a subject is personal data");
    relay.ended(State::Delivered, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_fails_makes_its_delivery_dead_and_the_next_one_goes_out() {
    let id = "result.candidate_external_id";
    for (template, reason) in [
        (
            "Score\n{{ result.candidate_external_id | int }}",
            format!("body.note, line 2: not an integer: it is text that is no number (it reads {id})"),
        ),
        (
            "{% for a in range(9999) %}{% for b in range(9999) %}{{ result.candidate_external_id == '7' }}{% endfor %}{% endfor %}",
            format!("body.note, line 1: more work than a template may do (it reads {id})"),
        ),
        (
            "{% for a in range(60) %}\n{{ result.ai_analysis_recruiter }}{% endfor %}",
            "body.note: more text than a template may write (it reads result.ai_analysis_recruiter)".to_owned(),
        ),
        (
            "{% for a in [[1]] recursive %}\n{{ loop([[1]]) if result.candidate_external_id }}{% endfor %}",
            format!("body.note, line 1: something that these kinds of values do not allow (it reads {id})"),
        ),
    ] {
        let body = format!("body = {{ note = {template:?}, kind = \"note\" }}");
        let mut relay = TestRelay::start(&crate::harness::with(&body)).await;
        let mut bad: Value = serde_json::from_str(sample("submitted-rich")).unwrap();
        bad["ai_analysis_recruiter"] = "x".repeat(20_000).into();
        relay.post("jobmojito", bad.to_string()).await;
        relay.ended(State::Dead, 1).await;
        let dead = relay.attempts(1).await.remove(0);
        assert_eq!((dead.reason, dead.verdict), (reason, None), "{template}");
        assert_eq!(relay.receivers.seen().len(), 0, "no half message");

        let plain = "body = { note = \"{{ result.score }}\", kind = \"note\" }";
        relay.reload(&crate::harness::with(plain)).await.unwrap();
        relay.post("jobmojito", sample("submitted-rich-selected")).await;
        relay.ended(State::Delivered, 1).await;
        assert_eq!(relay.receivers.seen()[0].json(), json!({"note": 5.12, "kind": "note"}));
    }
}

/// A preset that shows all that it can show.
struct Shop {
    preset: &'static str,
    ready: Ready,
    /// What it sends for a result in which nothing is odd, and for a later revision of it.
    usual: [Shown; 2],
}

fn shops() -> Vec<Shop> {
    let open = |(preset, keys): (&'static str, &str)| {
        let ready = ready(preset, &format!("{keys}\nwith.analysis = true"));
        let usual = [None, Some(sample("submitted-rich-selected"))].map(|previous| {
            let named = |body: &str| body.replace("gh_4417820", "4417820");
            let (body, previous) = (named(sample("submitted-rich")), previous.map(named));
            match outcome(&ready, "jobmojito", &body, previous.as_deref()) {
                DeliveryOutcome::Request(usual) => usual,
                other => panic!("{preset}: {other:?}"),
            }
        });
        Shop {
            preset,
            ready,
            usual,
        }
    };
    OPERATORS.into_iter().map(open).collect()
}

impl Shop {
    /// Whatever is sent for `body` goes where it always goes and holds nothing that is live there.
    fn stands(&self, source: &str, body: &str, previous: Option<&str>) {
        match outcome(&self.ready, source, body, previous) {
            DeliveryOutcome::Request(sent) => {
                self.stays_in_place(&sent);
                self.is_inert(&sent);
            }
            DeliveryOutcome::Skipped { reason } => {
                assert_eq!(
                    reason, "result.candidate_external_id is null",
                    "{}",
                    self.preset
                );
            }
            // No half message: an id that cannot stand in its place, and no other reason.
            DeliveryOutcome::Dead { reason } => {
                let of_the_id = reason.contains("(it reads result.candidate_external_id)");
                assert!(of_the_id, "{}: {reason}", self.preset);
            }
        }
    }

    /// Same host, same number of segments, same names in the query, same headers.
    fn stays_in_place(&self, sent: &Shown) {
        let shape = |shown: &Shown| {
            let (path, query) = shown.url.split_once('?').unwrap_or((&shown.url, ""));
            let names: Vec<String> = query
                .split('&')
                .map(|pair| pair.split('=').next().unwrap_or_default().to_owned())
                .collect();
            let host = path.split('/').nth(2).unwrap_or_default().to_owned();
            let headers: Vec<String> = shown.headers.iter().map(|(name, _)| name.clone()).collect();
            (
                shown.method.clone(),
                host,
                path.split('/').count(),
                names,
                headers,
            )
        };
        let known = self.usual.iter().any(|usual| shape(sent) == shape(usual));
        assert!(known, "{}: {:?}", self.preset, shape(sent));
        let odd = |c: char| c.is_control() || c.is_whitespace() || c == '#';
        assert!(!sent.url.contains(odd), "{}", sent.url);
        let dots = |segment: &str| matches!(segment, "." | ".." | "%2e" | "%2e%2e" | "%2E%2E");
        assert!(!sent.url.split('/').any(dots), "{}", sent.url);
        for (name, value) in &sent.headers {
            assert!(!value.contains(char::is_control), "{name}: {value}");
        }
    }

    fn is_inert(&self, sent: &Shown) {
        let message: Value = serde_json::from_str(&sent.body).expect("JSON, whatever came in");
        if self.preset.starts_with("slack") {
            return within_slacks_limits(&message);
        }
        let mut texts = Vec::new();
        collect(&message, &mut texts);
        let note = texts.iter().find(|text| text.contains("revision "));
        let note = note
            .or(texts.iter().max_by_key(|text| text.len()))
            .expect("a note");
        assert!(!note.contains(hidden), "{}: {note:?}", self.preset);
        assert!(note.len() < 60_000, "{}: {}", self.preset, note.len());
        match self.preset {
            "lever" => assert!(!note.contains('@'), "{note}"),
            "smartrecruiters" => {
                let (mention, rest) = note.split_at(note.find("] ").expect("a mention") + 1);
                assert!(mention.starts_with("#[CANDIDATE:"), "{note}");
                assert!(!rest.contains("@[") && !rest.contains("#["), "{note}");
                assert!(note.encode_utf16().count() <= 10_000);
            }
            _ => {}
        }
        assert!(!note.contains("49000007"), "evaluated: {note}");
    }
}

fn collect<'a>(value: &'a Value, texts: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        Value::Object(fields) => fields.values().for_each(|value| collect(value, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What changes how other text looks, or cannot be seen; line breaks of a note apart.
fn hidden(c: char) -> bool {
    (c.is_control() && c != '\n')
        || matches!(
            c,
            '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
        )
}

#[test]
fn every_preset_stands_every_sample_and_every_step_between_two() {
    for shop in shops() {
        for (_, body) in SAMPLES {
            shop.stands("jobmojito", body, None);
            for (_, previous) in SAMPLES.iter().filter(|(_, other)| other != body) {
                shop.stands("jobmojito", body, Some(previous));
            }
        }
    }
}

#[test]
fn a_candidate_of_dots_or_of_nothing_is_dead_where_it_would_change_the_path() {
    for shop in shops()
        .iter()
        .filter(|shop| shop.usual[0].url.contains("4417820"))
    {
        for id in ["", ".", ".."] {
            let body = sample("submitted-rich").replace("gh_4417820", id);
            let told = outcome(&shop.ready, "jobmojito", &body, None);
            assert!(
                matches!(told, DeliveryOutcome::Dead { .. }),
                "{}: {told:?}",
                shop.preset
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_preset_stands_any_payload(result in payload(), previous in prop::option::of(payload())) {
        thread_local!(static SHOPS: Vec<Shop> = shops());
        let (body, previous) = (result.to_string(), previous.map(|previous| previous.to_string()));
        SHOPS.with(|shops| {
            for shop in shops {
                shop.stands("jobmojito", &body, previous.as_deref());
            }
        });
    }

    #[test]
    fn every_preset_stands_any_other_sender(kind in text(), id in id(), extra in text(), before in any::<bool>()) {
        thread_local!(static SHOPS: Vec<Shop> = shops());
        let body = json!({"event": kind, "id": id, "candidate_external_id": id, extra: [null, "<!here>"]}).to_string();
        let previous = before.then(|| json!({"event": "x", "id": id}).to_string());
        SHOPS.with(|shops| {
            for shop in shops {
                shop.stands("shop", &body, previous.as_deref());
            }
        });
    }
}
