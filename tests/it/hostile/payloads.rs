//! Payloads that no sane sender makes.

use proptest::prelude::*;
use serde_json::{Value, json};

const FIELDS: [&str; 12] = [
    "id",
    "status",
    "interview_status",
    "processing_status",
    "candidate_external_id",
    "recruiter_go_next_round",
    "ai_analysis_recruiter",
    "score",
    "ai_analysis_recruiter_score",
    "ai_analysis_recruiter_why_hire",
    "ai_analysis_recruiter_why_not_hire",
    "pdf_export_url",
];

/// Text that means something to some receiver, and text that is only odd; up to 100 kB of it.
pub fn text() -> impl Strategy<Value = String> {
    let live = prop::sample::select(vec![
        "<!channel>",
        "<@U1>",
        "<https://evil.example|click>",
        "&lt;",
        "&amp;&",
        "{{ 7000001*7 }}",
        "{% if x %}",
        "{{ result.id }}",
        "@[USER:1]",
        "#[CANDIDATE:2]",
        "@\u{200b}[USER:1]",
        "@user",
        "*b* _i_ ~s~ `c`",
        "\u{202e}gnp.exe",
        "\u{200f}",
        "\u{0}\u{1b}[2J",
        "\r\n",
        "👩🏽‍💻",
        "🇨🇿",
        "e\u{301}\u{301}",
        "می‌خواهم",
        "</script>",
        " ",
    ]);
    let piece = prop_oneof![
        3 => live.prop_map(str::to_owned),
        1 => r"\PC{0,20}".prop_map(String::from),
    ];
    let times = prop_oneof![6 => Just(1_usize), 2 => Just(40), 1 => Just(4000)];
    (prop::collection::vec(piece, 0..8), times).prop_map(|(pieces, times)| {
        let once = pieces.concat();
        once.repeat(times.min(100_000 / once.len().max(1)).max(1))
    })
}

/// Ids that would like to be somewhere else.
pub fn id() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "/",
        "..",
        ".",
        "?",
        "#",
        "%",
        "%2e%2e",
        "%2f",
        "\n",
        "\r\nX-Evil: 1",
        "&a=b",
        "=",
        ":",
        "@",
        "\\",
        ";",
        "[",
        "]",
        "gh_1",
        "7",
        "é",
        "👩🏽‍💻",
        " ",
        "\u{0}",
    ]);
    prop_oneof![
        4 => prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat()),
        1 => text(),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let link = prop::sample::select(vec![
        "https://example.com/report.pdf?t=1&u=2",
        "https://example.com/r?<x>|y",
        "javascript:alert(1)",
        "https://good.example@evil.example/",
        "https://example.com/\u{202e}fdp.exe",
        "https://...",
    ]);
    prop_oneof![
        2 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        3 => text().prop_map(Value::from),
        1 => prop::collection::vec(text().prop_map(Value::from), 0..6).prop_map(Value::from),
        1 => prop::collection::vec(Just(Value::from("x")), 2000).prop_map(Value::from),
        1 => Just(json!({"a": {"<b>": [null, "&", {"{{ 7000001*7 }}": []}]}})),
        1 => Just(json!([null, [], {}, ""])),
        2 => link.prop_map(Value::from),
        1 => Just(json!("completed")),
        1 => Just(json!("active")),
    ]
}

/// An interview result with anything in any of its fields, and a field that nobody knows.
pub fn payload() -> impl Strategy<Value = Value> {
    let values = prop::collection::vec(value(), FIELDS.len() + 1);
    (values, prop::option::of(id())).prop_map(|(values, candidate)| {
        let names = FIELDS.iter().copied().chain(["never_heard_of"]);
        let mut fields: serde_json::Map<String, Value> =
            names.map(str::to_owned).zip(values).collect();
        if let Some(candidate) = candidate {
            fields.insert("candidate_external_id".to_owned(), candidate.into());
        }
        Value::Object(fields)
    })
}
