//! What is JSON, what is equal, and what a body means as a value.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const KEY: [u8; 32] = [7; 32];

fn changed(older: &str, newer: &str) -> Vec<String> {
    let digests = |text: &str| Body::parse(text.as_bytes()).expect("JSON").digests(&KEY);
    digests(newer).differing(&digests(older), |_| false)
}

#[test]
fn equality_is_that_of_json_values() {
    let equal = |a: &str, b: &str| assert_eq!(changed(a, b), [""; 0], "{a} {b}");
    equal(r#"{"a":1,"b":2}"#, r#" { "b" : 2 , "a" : 1 } "#);
    equal(r#"{"a":5.0}"#, r#"{"a":5}"#);
    equal(r#"{"a":50e-1}"#, r#"{"a":0.5E+1}"#);
    equal(r#"{"a":-0.0}"#, r#"{"a":0}"#);
    equal(r#"{"a":0e999999999999999999999}"#, r#"{"a":0}"#);
    equal(r#"{"a":"A\/"}"#, r#"{"a":"\u0041/"}"#);
    equal(r#"{"a":"😀"}"#, r#"{"a":"\ud83d\ude00"}"#);
    equal(r#"{"a":1,"a":2}"#, r#"{"a":2}"#);
    equal(r#"{"a":1,"a":null}"#, "{}");
    equal(r#"{"a":null}"#, "{}");
    equal(
        r#"{"a":{"x":1,"y":[2]}}"#,
        r#"{"a":{"y":[2.0],"x":9,"x":1}}"#,
    );
    equal("[1,2]", " [1.0, 2] ");
}

#[test]
fn what_differs_differs() {
    let differ = |a: &str, b: &str, fields: &[&str]| assert_eq!(changed(a, b), fields, "{a} {b}");
    differ(r#"{"a":5.12}"#, r#"{"a":5.120000000000000000001}"#, &["a"]);
    differ(
        r#"{"a":12345678901234567890}"#,
        r#"{"a":12345678901234567891}"#,
        &["a"],
    );
    differ(r#"{"a":1e400}"#, r#"{"a":1e401}"#, &["a"]);
    differ(r#"{"a":1}"#, r#"{"a":-1}"#, &["a"]);
    differ(r#"{"a":"1"}"#, r#"{"a":1}"#, &["a"]);
    differ(r#"{"a":{"x":null}}"#, r#"{"a":{}}"#, &["a"]);
    differ(r#"{"a":[1,2]}"#, r#"{"a":[2,1]}"#, &["a"]);
    differ(r#"{"a":["ab"]}"#, r#"{"a":["a","b"]}"#, &["a"]);
    differ(r#"{"a":1,"b":null}"#, r#"{"b":0,"c":2}"#, &["a", "b", "c"]);
    differ("[1]", "[2]", &[""]);
    differ(r#"{"a":"\ud800"}"#, r#"{"a":"\ud801"}"#, &["a"]);
}

#[test]
fn whatever_the_grammar_allows_is_taken() {
    for text in [
        "null",
        "0",
        "-0.1e-7",
        r#""""#,
        "[]",
        "{}",
        " [ ] ",
        r#"{"":{}}"#,
        "1e999999",
        r#"{"a":"\ud800"}"#,
        r#"["\u0000"]"#,
        r#"{"a":1,"a":1}"#,
    ] {
        assert!(Body::parse(text.as_bytes()).is_ok(), "{text}");
    }
    let deep = format!("{}{}", "[".repeat(64), "]".repeat(64));
    assert!(Body::parse(deep.as_bytes()).is_ok());
}

#[test]
fn what_is_no_json_is_refused_with_its_place() {
    for (text, at) in [
        ("", 0),
        ("{", 1),
        ("{]", 1),
        ("[1,]", 3),
        ("{\"a\"}", 4),
        ("01", 1),
        ("1.", 2),
        ("+1", 0),
        ("nul", 0),
        ("\"\n\"", 1),
        (r#""\x""#, 2),
        (r#""\u12g4""#, 5),
        ("[1] 2", 4),
        ("\u{feff}{}", 0),
        ("{'a':1}", 1),
        ("NaN", 0),
    ] {
        assert_eq!(
            Body::parse(text.as_bytes()).err(),
            Some(Malformed::NotJson { at }),
            "{text}"
        );
    }
    assert_eq!(
        Body::parse(b"\"\xff\"").err(),
        Some(Malformed::NotJson { at: 1 })
    );
    let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
    assert_eq!(Body::parse(deep.as_bytes()).err(), Some(Malformed::TooDeep));
    let endless = "[".repeat(1_000_000);
    assert_eq!(
        Body::parse(endless.as_bytes()).err(),
        Some(Malformed::TooDeep)
    );
}

#[test]
fn a_value_bends_where_a_value_cannot_hold_it() {
    let value = |text: &str| Body::parse(text.as_bytes()).expect("JSON").value();
    assert_eq!(
        value(r#"{"a":"x\ud800y","b":1e999,"c":5.12}"#),
        json!({"a": "x\u{fffd}y", "b": "1e999", "c": 5.12})
    );
    assert_eq!(value(r#"{"a":1,"a":2}"#), json!({"a": 2}));
}

#[test]
fn pointers_lead_to_texts_and_numbers() {
    let body = Body::parse(br#"{"a":{"b/c":["x",7]},"event":"e1","n":null}"#).expect("JSON");
    assert_eq!(body.pointed("/event").as_deref(), Some("e1"));
    assert_eq!(body.pointed("/a/b~1c/0").as_deref(), Some("x"));
    assert_eq!(body.pointed("/a/b~1c/1").as_deref(), Some("7"));
    for nowhere in ["/n", "/a", "/a/b~1c/2", "/zzz", "event", ""] {
        assert_eq!(body.pointed(nowhere), None, "{nowhere}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>()
            .prop_filter("finite", |n| n.is_finite())
            .prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((".{0,6}", inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_serde_writes_is_read_alike_in_any_layout(value in any_json()) {
        let compact = value.to_string();
        let pretty = serde_json::to_string_pretty(&value).expect("a value");
        prop_assert_eq!(Body::parse(compact.as_bytes()).expect("JSON").value(), value.clone());
        prop_assert_eq!(lenient(&Body::parse(pretty.as_bytes()).expect("JSON").root), value);
        prop_assert_eq!(changed(&compact, &pretty), Vec::<String>::new());
    }

    #[test]
    fn bytes_are_taken_exactly_when_the_grammar_takes_them(bytes in prop::collection::vec(
        prop::sample::select(br#"{}[]",:\u0123eE+-. ntrualsfx"#.to_vec()), 0..24)) {
        let ours = Body::parse(&bytes).is_ok();
        let theirs = serde_json::from_slice::<&serde_json::value::RawValue>(&bytes).is_ok();
        prop_assert_eq!(ours, theirs, "{}", String::from_utf8_lossy(&bytes));
    }
}
