//! The Slack preset: golden messages for every sample, and Slack's limits for whatever comes.

use proptest::prelude::*;

use super::*;
use crate::model::Verdict::{self, Accepted, Blocked, Rejected, Retry};
use crate::template::text::units;
use crate::transport::Answer;

/// The preset with `with` over its own values.
fn slack(with: &Value) -> Destination {
    let read = |text: &str| {
        let file: toml_edit::DocumentMut = text.parse().unwrap();
        json_of(file.as_item())
    };
    let mut keys = read(preset::base("slack-message").unwrap());
    laid_over(&mut keys, read(preset::text("slack").unwrap()));
    let text_of = |key: &str| keys.get(key).and_then(Value::as_str).map(str::to_owned);
    let mut own = Settings {
        preset: Some("slack".to_owned()),
        url: ConfigText::Secret(Secret::new(
            "https://hooks.slack.com/services/T/B/secretsegment",
        )),
        method: text_of("method").unwrap(),
        body: BodyFormat::Structured(keys["body"].clone()),
        accepted_when: text_of("accepted_when"),
        blocked_when: text_of("blocked_when"),
        with: keys["with"].as_object().unwrap().clone(),
        ..settings()
    };
    for (key, value) in with.as_object().unwrap() {
        own.with.insert(key.clone(), value.clone());
    }
    compiled(own)
}

fn laid_over(under: &mut Value, over: Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (key, value) in over {
                laid_over(under.entry(key).or_insert(Value::Null), value);
            }
        }
        (under, over) => *under = over,
    }
}

fn json_of(item: &toml_edit::Item) -> Value {
    use toml_edit::Item;
    match item {
        Item::None => Value::Null,
        Item::Value(value) => json_of_value(value),
        Item::Table(table) => Value::Object(
            table
                .iter()
                .map(|(key, item)| (key.to_owned(), json_of(item)))
                .collect(),
        ),
        Item::ArrayOfTables(tables) => {
            let items = tables
                .iter()
                .map(|table| json_of(&Item::Table(table.clone())));
            Value::Array(items.collect())
        }
    }
}

fn json_of_value(value: &toml_edit::Value) -> Value {
    use toml_edit::Value as Toml;
    match value {
        Toml::String(text) => Value::from(text.value().as_str()),
        Toml::Integer(number) => Value::from(*number.value()),
        Toml::Float(number) => Value::from(*number.value()),
        Toml::Boolean(bit) => Value::from(*bit.value()),
        Toml::Datetime(time) => Value::from(time.value().to_string()),
        Toml::Array(items) => items.iter().map(json_of_value).collect(),
        Toml::InlineTable(table) => Value::Object(
            table
                .iter()
                .map(|(key, value)| (key.to_owned(), json_of_value(value)))
                .collect(),
        ),
    }
}

fn pretty(body: &Value) -> String {
    serde_json::to_string_pretty(body).unwrap()
}

#[test]
fn golden_messages() {
    let destination = slack(&json!({}));
    for name in SAMPLES {
        let body = Case::sample(name).body(&destination);
        insta::assert_snapshot!(format!("slack-{name}"), pretty(&body));
        within_limits(&body);
    }
}

#[test]
fn golden_messages_of_later_revisions() {
    let destination = slack(&json!({}));
    for (name, previous) in [
        ("submitted-rich", "collected"),
        ("submitted-rich-selected", "submitted-rich"),
        ("submitted-rich-rejected", "submitted-rich-selected"),
        ("submitted-rich-rescored", "submitted-rich"),
        ("submitted-stopped-early", "submitted"),
        ("other-archived", "submitted"),
        ("failed", "submitted-rich"),
    ] {
        let body = Case::sample(name).after(previous).body(&destination);
        insta::assert_snapshot!(format!("slack-{name}-after-{previous}"), pretty(&body));
        within_limits(&body);
    }
    let mut forgotten = Case::sample("submitted-rich-selected").after("submitted-rich");
    forgotten.previous = None;
    insta::assert_snapshot!(
        "slack-previous-is-gone",
        pretty(&forgotten.body(&destination))
    );
}

#[test]
fn golden_messages_with_the_analysis_and_a_headline() {
    let destination = slack(&json!({"analysis": true, "headline": "R&D <!here>"}));
    for name in ["submitted-rich", "hostile-text"] {
        let body = Case::sample(name).body(&destination);
        insta::assert_snapshot!(format!("slack-analysis-{name}"), pretty(&body));
        within_limits(&body);
    }
    let long = Case::sample("long-text").body(&destination);
    within_limits(&long);
    let analysis = long["blocks"][2]["text"]["text"].as_str().unwrap();
    assert!(
        analysis.ends_with('…') && units(analysis) > 2700,
        "{}",
        units(analysis)
    );
    let route = Case::sample("submitted").with(json!({"headline": "Decision"}));
    assert_eq!(
        route.body(&destination)["blocks"][0]["text"]["text"],
        "Decision"
    );
}

#[test]
fn other_senders_events_are_shown_by_type_and_names_of_fields() {
    let mut case = Case::new("deal.<!won>", r#"{"id":"d 1","stage":"<x>","list":[]}"#);
    case.event.revision = 3;
    case.event.changed = vec!["stage".to_owned(), "<!channel>".to_owned()];
    case.previous = Some(json!({"stage": "y"}));
    let body = case.body(&slack(&json!({})));
    insta::assert_snapshot!("slack-other-sender", pretty(&body));
    within_limits(&body);
    for payload in ["[]", "\"text\"", "null", "7", "{}"] {
        within_limits(&Case::new("x", payload).body(&slack(&json!({"analysis": true}))));
    }
}

#[test]
fn only_the_fields_of_the_message_are_read() {
    let Fields::Only(fields) = slack(&json!({})).fields() else {
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

#[test]
fn slacks_answers_are_understood() {
    let table: [(u16, &str, Verdict); 17] = [
        (200, "ok", Accepted),
        (200, "<html>sign in</html>", Rejected),
        (400, "invalid_payload", Rejected),
        (400, "invalid_blocks", Rejected),
        (400, "no_text", Rejected),
        (400, "user_not_found", Blocked),
        (403, "action_prohibited", Blocked),
        (403, "posting_to_general_channel_denied", Blocked),
        (403, "invalid_token", Blocked),
        (403, "team_disabled", Blocked),
        (404, "channel_not_found", Blocked),
        (404, "no_service", Blocked),
        (404, "no_active_hooks", Blocked),
        (404, "no_team", Blocked),
        (410, "channel_is_archived", Blocked),
        (500, "rollup_error", Retry),
        (429, "{\"ok\":false}", Retry),
    ];
    let destination = slack(&json!({}));
    for (status, body, verdict) in table {
        let answer = Answer {
            status: http::StatusCode::from_u16(status).unwrap(),
            headers: http::HeaderMap::new(),
            body: Bytes::from(body),
            complete: true,
        };
        assert_eq!(
            destination
                .judge(&Ok(answer), now(), (Action::Create, None))
                .verdict,
            verdict,
            "{status} {body}"
        );
    }
}

/// Slack's limits, as `destinations.md` has them, and that nothing from a payload is live.
fn within_limits(body: &Value) {
    let text = body["text"].as_str().unwrap();
    assert!((1..=3000).contains(&units(text)));
    let blocks = body["blocks"].as_array().unwrap();
    assert!((1..=10).contains(&blocks.len()));
    let mut total = units(text);
    for block in blocks {
        total += within_block_limits(block);
    }
    assert!(total <= 10_000, "{total}");
    inert(body);
}

fn within_block_limits(block: &Value) -> usize {
    let longest = match block["type"].as_str().unwrap() {
        "header" => 150,
        "section" => 2900,
        "context" | "actions" => 2000,
        other => panic!("block type {other}"),
    };
    let list = |key: &str| block.get(key).map(|list| list.as_array().unwrap().clone());
    let mut texts: Vec<Value> = block.get("text").into_iter().cloned().collect();
    if let Some(fields) = list("fields") {
        assert!((1..=10).contains(&fields.len()));
        texts.extend(fields);
    }
    if let Some(elements) = list("elements") {
        assert!((1..=10).contains(&elements.len()));
        for element in elements {
            if element["type"] == "button" {
                let url = element["url"].as_str().unwrap();
                assert!(url.starts_with("http") && units(url) <= 3000);
                assert!(units(element["text"]["text"].as_str().unwrap()) <= 75);
            } else {
                texts.push(element);
            }
        }
    }
    let lengths = texts.iter().map(|text| {
        let length = units(text["text"].as_str().unwrap());
        assert!((1..=longest).contains(&length), "{length}: {text}");
        assert!(!text["text"].as_str().unwrap().trim().is_empty());
        length
    });
    let total: usize = lengths.sum();
    assert!(total > 0 || block["type"] == "actions");
    total
}

/// No text holds a character that starts a mention or a link, and none is half an entity.
fn inert(value: &Value) {
    match value {
        Value::String(text) if text.starts_with("http") => {
            assert!(!text.contains(['<', '>', '|', ' ']), "{text}");
        }
        Value::String(text) => {
            assert!(!text.contains(['<', '>']), "{text}");
            let bare = text
                .replace("&amp;", "")
                .replace("&lt;", "")
                .replace("&gt;", "");
            assert!(!bare.contains('&'), "{text}");
        }
        Value::Array(items) => items.iter().for_each(inert),
        Value::Object(fields) => {
            assert!(fields.values().all(|value| !value.is_null()), "{value}");
            fields.values().for_each(inert);
        }
        _ => {}
    }
}

fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        r"\PC{0,20}",
        Just("👩🏽‍💻".to_owned()),
        Just("<!channel>".to_owned()),
        Just("&amp;<https://e|x>&".to_owned()),
        Just("e\u{301}\u{301}".to_owned()),
        Just("{{ 7*7 }}{% if %}".to_owned()),
        Just("\u{202e}\u{0}\r\n ".to_owned()),
    ];
    (
        proptest::collection::vec(piece, 0..8),
        prop_oneof![Just(1_usize), Just(200)],
    )
        .prop_map(|(pieces, times)| pieces.concat().repeat(times))
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text().prop_map(Value::from),
        proptest::collection::vec(text().prop_map(Value::from), 0..6).prop_map(Value::from),
        Just(json!({"a": {"<b>": [null, "&"]}})),
        Just(json!("https://example.com/r?<x>|y")),
        Just(json!("https://example.com/report.pdf?t=1&u=2")),
    ]
}

fn payload() -> impl Strategy<Value = Value> {
    const FIELDS: [&str; 11] = [
        "id",
        "status",
        "interview_status",
        "candidate_external_id",
        "recruiter_go_next_round",
        "ai_analysis_recruiter",
        "score",
        "ai_analysis_recruiter_score",
        "ai_analysis_recruiter_why_hire",
        "ai_analysis_recruiter_why_not_hire",
        "pdf_export_url",
    ];
    proptest::collection::vec(any_value(), FIELDS.len()).prop_map(|values| {
        Value::Object(
            FIELDS
                .iter()
                .map(|field| (*field).to_owned())
                .zip(values)
                .collect(),
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn limits_hold_for_any_payload(
        result in payload(), previous in proptest::option::of(payload()),
        kind in prop_oneof![Just("interview.submitted".to_owned()), Just("interview.failed".to_owned()), Just("interview.other".to_owned()), text()],
        headline in text(),
    ) {
        let mut case = Case::new(&kind, result.to_string());
        case.event.revision = if previous.is_some() { 2 } else { 1 };
        case.event.changed = result.as_object().unwrap().keys().cloned().collect();
        case.previous = previous;
        let destination = slack(&json!({"analysis": true, "headline": headline}));
        within_limits(&case.body(&destination));
    }
}
