//! Templates through their public face.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn scope(result: &Json) -> Scope {
    let event =
        json!({"type": "interview.submitted", "revision": 2, "changed": ["score", "next_round"]});
    let previous = json!({"score": 5.12, "next_round": null});
    let with = json!({"headline": "R&D", "labels": {"score": "Score"}});
    let values = [
        ("event", &event),
        ("result", result),
        ("previous", &previous),
        ("with", &with),
    ];
    Scope::new(&values, |_, _| true)
}

fn result() -> Json {
    json!({
        "score": 6.4, "whole": 5.0, "big": 1e300, "none": null, "yes": true, "next_round": true,
        "name": "Žofie <!channel> {{ 7*7 }}", "list": ["a", null, 2.0, "  "], "empty": [],
        "id": " 0042 ", "deep": {"x": [1, {"y": null}]}, "url": "https://example.com/r.pdf?t=1"
    })
}

fn value(source: &str) -> Json {
    let template = Template::typed(source).unwrap_or_else(|bad| panic!("{source}: {bad:?}"));
    template
        .value(&scope(&result()))
        .unwrap_or_else(|why| panic!("{source}: {why:?}"))
}

fn failure(source: &str) -> Unrendered {
    let template = Template::typed(source).unwrap();
    template.value(&scope(&result())).expect_err(source)
}

fn mistake(source: &str) -> BadTemplate {
    Template::typed(source).expect_err(source)
}

#[test]
fn one_expression_keeps_its_type_and_text_does_not() {
    for (source, expected) in [
        ("{{ result.score }}", json!(6.4)),
        ("{{ result.whole }}", json!(5)),
        ("{{- result.yes -}}", json!(true)),
        ("\n  {{ result.none }}\n", json!(null)),
        ("{{ result.nope.deeper.still }}", json!(null)),
        ("{{ result.deep }}", json!({"x": [1, {"y": null}]})),
        ("{{ result.list }}", json!(["a", null, 2, "  "])),
        ("{{ {'a': {'b': result.none}} }}", json!({"a": {"b": null}})),
        ("{{ none }}", json!(null)),
        ("{{ result.big }}", json!(1e300)),
        ("x{{ result.whole }}", json!("x5")),
        ("{{ result.yes }}{{ result.none }}{{ none }}", json!("true")),
        (
            "{{ result.deep }} {{ result.list }}",
            json!("{\"x\":[1,{\"y\":null}]} [\"a\",null,2,\"  \"]"),
        ),
        ("no tags {} %}", json!("no tags {} %}")),
        ("{% if result.score > 6 %}high{% endif %}", json!("high")),
    ] {
        assert_eq!(value(source), expected, "{source}");
    }
}

#[test]
fn values_are_data_even_where_they_look_like_templates() {
    assert_eq!(
        value("{{ result.name }}!"),
        json!("Žofie <!channel> {{ 7*7 }}!")
    );
    assert_eq!(
        value("{{ result.name | mrkdwn }}"),
        json!("Žofie &lt;!channel&gt; {{ 7*7 }}")
    );
}

#[test]
fn null_and_missing_are_the_same_and_read_as_nothing() {
    for field in [
        "result.none",
        "result.nope",
        "result.nope.x",
        "result.none.x",
    ] {
        for (use_of_it, expected) in [
            ("F is none", json!(true)),
            ("F is defined", json!(false)),
            ("'x' if F else 'y'", json!("y")),
            ("F | default('d')", json!("d")),
            ("F | mrkdwn", json!("")),
            ("F | plain(5)", json!("")),
            ("F | upper", json!("")),
            ("F | title", json!("")),
            ("F | string", json!("")),
            ("F | length", json!(0)),
            ("F | join(', ')", json!("")),
            ("F | bullets", json!("")),
            ("F | number", json!(null)),
            ("F | first", json!(null)),
            ("F | list", json!([])),
            ("'a' ~ F ~ 'b'", json!("ab")),
            ("'x' in F", json!(false)),
            ("F is link", json!(false)),
        ] {
            let source = format!("{{{{ {} }}}}", use_of_it.replace('F', field));
            assert_eq!(value(&source), expected, "{source}");
        }
        assert_eq!(
            value(&format!("{{% for x in {field} %}}x{{% endfor %}}.")),
            json!(".")
        );
    }
}

#[test]
fn filters_do_what_they_say() {
    for (source, expected) in [
        ("{{ result.id | int }}", json!(42)),
        ("{{ result.whole | int }}", json!(5)),
        ("{{ '-7' | int }}", json!(-7)),
        ("{{ result.score | number }}", json!("6.4")),
        ("{{ 4.212 | number(2) }}", json!("4.21")),
        ("{{ 4.999 | number(2) }}", json!("5")),
        ("{{ 100 | number(1) }}", json!("100")),
        ("{{ -0.001 | number(1) }}", json!("0")),
        ("{{ 'n/a' | number(2) }}", json!("n/a")),
        ("{{ result.list | bullets }}", json!("• a\n• 2")),
        ("{{ 'alone' | bullets }}", json!("• alone")),
        ("{{ result.list | bullets(1) }}", json!("• a\n• 2")),
        ("{{ result.list | join(', ') }}", json!("a, , 2,   ")),
        ("{{ 'a b/c?' | urlencode }}", json!("a%20b%2Fc%3F")),
        ("{{ 'abcdef' | shorten(4) }}", json!("abc…")),
        ("{{ ' a\n b ' | plain }}", json!("a b")),
        ("{{ result.url is link }}", json!(true)),
        ("{{ 'https://...' is link }}", json!(false)),
        (
            "{{ 'https://good.example@evil.example/' is link }}",
            json!(false),
        ),
        ("{{ 'javascript:alert(1)' is link }}", json!(false)),
        ("{{ 'https://e.example/a b' is link }}", json!(false)),
        (
            "{{ 'https://e.example/\u{202e}fdp.exe' is link }}",
            json!(false),
        ),
        ("{{ 'žluť' | capitalize }}", json!("Žluť")),
        ("{{ 'a-b' | replace('-', '+') }}", json!("a+b")),
        ("{{ ['b', 'a'] | sort | map('upper') | join }}", json!("AB")),
        ("{{ result.whole * 2 }}x", json!("10x")),
    ] {
        assert_eq!(value(source), expected, "{source}");
    }
}

#[test]
fn changes_lists_fields_with_labels_and_both_values() {
    let source = "{% for c in changes(previous, result, event.changed, with.labels) %}\
                  {{ c.label }}: {{ c.before | number }} -> {{ c.after | number }};{% endfor %}";
    assert_eq!(
        value(source),
        json!("Score: 5.12 -> 6.4;Next round:  -> true;")
    );
    assert_eq!(
        value("{{ changes(none, result, event.changed) | length }}"),
        json!(2)
    );
}

#[test]
fn a_failure_names_kind_line_and_field_but_no_value() {
    let cases = [
        (
            "{{ result.name | int }}",
            "not an integer: it is text that is no number (it reads result.name)",
            1,
        ),
        (
            "{{ result.none | int }}",
            "not an integer: it is null (it reads result.none)",
            1,
        ),
        (
            "{{ result.score | int }}",
            "not an integer: it is a number with a fraction (it reads result.score)",
            1,
        ),
        (
            "{{ result.big | int }}",
            "not an integer: it is too large (it reads result.big)",
            1,
        ),
        (
            "a\n{{ result.name | int }}",
            "not an integer: it is text that is no number (it reads result.name)",
            2,
        ),
        (
            "\n\n{{ result.list\n | int }}",
            "not an integer: it is a list (it reads result.list)",
            3,
        ),
        (
            "{{ result.name * 2.5 }}",
            "something that these kinds of values do not allow (it reads result.name)",
            1,
        ),
        (
            "{{ result.name | map('nope') | list }}",
            "unknown filter (it reads result.name)",
            1,
        ),
        (
            "{% for x in range(9999) %}{% for y in range(9999) %}{% endfor %}{% endfor %}",
            "more work than a template may do",
            1,
        ),
        (
            "{{ 'x' * 100000000 }}",
            "more work than a template may do",
            1,
        ),
        (
            "{% set ns = namespace(t='xxxxxxxx') %}{% for i in range(40) %}{% set ns.t = ns.t ~ ns.t %}{% endfor %}",
            "more work than a template may do",
            1,
        ),
        (
            "{% for x in [[[1]]] recursive %}{{ loop([[[1]]]) }}{% endfor %}",
            "something that these kinds of values do not allow",
            1,
        ),
    ];
    for (source, message, line) in cases {
        let why = failure(source);
        assert_eq!(
            (why.message.as_str(), why.line),
            (message, Some(line)),
            "{source}"
        );
    }
}

#[test]
fn mistakes_are_found_when_compiling() {
    for (source, message, line, hint) in [
        (
            "{{ reslt.score }}",
            "unknown name `reslt`",
            1,
            "did you mean `result`?",
        ),
        (
            "a\n{{ x }}",
            "unknown name `x`",
            2,
            "there are event, result, previous, with",
        ),
        (
            "a\n{{ result.a | mrkdn }}",
            "unknown filter `mrkdn`",
            2,
            "did you mean `mrkdwn`?",
        ),
        (
            "{{ result.a is nothing }}",
            "unknown test `is nothing`",
            1,
            "there are",
        ),
        (
            "{{ result.a.upper() }}",
            "values have no method `upper`",
            1,
            "use a filter",
        ),
        (
            "{{ result.a == none }}",
            "a comparison with `none` is never true here",
            1,
            "write `is none`",
        ),
        ("{{ result.a | safe }}", "unknown filter `safe`", 1, ""),
    ] {
        let bad = mistake(source);
        assert_eq!(
            (bad.message.as_str(), bad.line),
            (message, Some(line)),
            "{source}"
        );
        assert!(bad.hint.unwrap_or_default().starts_with(hint), "{source}");
    }
    for broken in [
        "{{ result.",
        "{% if result.a %}",
        "{{ }}",
        "{% include 'x' %}",
        "{% macro m() %}{% endmacro %}",
        "{{",
    ] {
        assert!(Template::typed(broken).is_err(), "{broken}");
    }
    assert_eq!(mistake("x\ny {{ result. }}").line, Some(2));
}

#[test]
fn every_suggested_filter_exists() {
    for filter in filters::FILTERS {
        assert!(knows("filter", filter), "{filter}");
    }
    assert!(!knows("filter", "safe") && !knows("filter", "x' is filter or '"));
}

#[test]
fn reads_are_the_fields_outside_loops_and_sets() {
    let template = Template::text(
        "{% set s = result.score %}{% for c in changes(previous, result, event.changed) %}{{ c.x }}{{ loop.index }}{% endfor %}{{ s.y }}",
    );
    let reads: Vec<String> = template
        .unwrap()
        .reads()
        .iter()
        .map(|path| path.join("."))
        .collect();
    assert_eq!(
        reads,
        ["event.changed", "previous", "result", "result.score"]
    );
}

#[test]
fn url_parts_encode_values_and_leave_literals() {
    let render = |source| {
        Template::url_part(source)
            .unwrap()
            .render(&scope(&result()))
            .unwrap()
    };
    assert_eq!(render("a%20b-{{ 'x/..?#' }}"), "a%20b-x%2F..%3F%23");
    assert_eq!(
        render("{{ result.name | mrkdwn }}"),
        filters::encode("Žofie &lt;!channel&gt; {{ 7*7 }}")
    );
    assert!(Template::url_part("{{ result.name | safe }}").is_err());
}

#[test]
fn a_tree_leaves_out_tables_whose_condition_is_false() {
    let body = json!({
        "n": "{{ result.score }}", "text": "a {{ result.whole }}", "flag": false, "lit": "x",
        "list": [{"$when": "result.none is none", "a": 1}, {"$when": "result.none", "b": 2}, "{{ result.yes }}"],
        "gone": {"$when": "with.analysis", "c": "{{ result.name | int }}"},
    });
    let tree = Tree::compile(&body, "body").unwrap();
    let rendered = tree.render(&scope(&result())).unwrap();
    assert_eq!(
        rendered,
        json!({"n": 6.4, "text": "a 5", "flag": false, "lit": "x", "list": [{"a": 1}, true]})
    );
    let keys: Vec<&str> = tree.reads().into_iter().map(|(key, _)| key).collect();
    assert!(
        keys.contains(&"body.list[1].$when") && keys.contains(&"body.gone.c"),
        "{keys:?}"
    );
}

#[test]
fn a_tree_names_the_leaf_that_is_wrong() {
    let body =
        json!({"a": [{"b": "{{ reslt.x }}"}], "c": {"$when": "{{ result.x }}"}, "d": {"$when": 1}});
    let faults = Tree::compile(&body, "body").unwrap_err();
    let keys: Vec<&str> = faults.iter().map(|fault| fault.key.as_str()).collect();
    assert_eq!(keys, ["body.a[0].b", "body.c.$when", "body.d.$when"]);
    assert_eq!(
        Tree::compile(&json!({"$when": "result.x"}), "body").unwrap_err()[0].key,
        "body.$when"
    );
    let tree = Tree::compile(&json!({"a": {"b": "{{ result.name | int }}"}}), "body").unwrap();
    assert_eq!(tree.render(&scope(&result())).unwrap_err().key, "body.a.b");
}

#[test]
fn a_template_may_not_write_too_much() {
    let half = json!({"text": "x".repeat(OUTPUT_BYTES / 2 + 1)});
    let render = |source| Template::text(source).unwrap().render(&scope(&half));
    assert!(render("{{ result.text }}!").is_ok());
    let why = render("{{ result.text }}{{ result.text }}").unwrap_err();
    assert_eq!(
        why.message,
        "more text than a template may write (it reads result.text)"
    );
}

#[test]
fn a_tree_may_not_become_too_large() {
    let long = json!({"text": "x".repeat(900_000)});
    let leaves: Vec<Json> = (0..3).map(|_| json!("{{ result.text }}")).collect();
    let tree = Tree::compile(&Json::Array(leaves), "body").unwrap();
    let failure = tree.render(&scope(&long)).unwrap_err();
    assert_eq!(
        (failure.key.as_str(), failure.why.message.as_str()),
        ("body[2]", "the body becomes larger than it may be")
    );
}

proptest! {
    #[test]
    fn compiling_and_rendering_never_panic(source in r#"(\{\{|\}\}|\{%|%\}|result|\.score| \| |mrkdwn|int|for x in |endfor|if |endif|[a-z"'()\[\]~+*-]|\PC){0,24}"#) {
        if let Ok(template) = Template::typed(&source) {
            let _outcome = template.value(&scope(&result()));
        }
    }

    #[test]
    fn a_value_is_printed_as_it_is(text in r"(\PC|\p{Cc}|\{\{|%\}){0,40}") {
        let result = json!({"text": text});
        let scope = scope(&result);
        let printed = Template::text("{{ result.text }}{# #}").unwrap().render(&scope).unwrap();
        prop_assert_eq!(&printed, &text);
        let typed = Template::typed("{{ result.text }}").unwrap().value(&scope).unwrap();
        prop_assert_eq!(typed, Json::String(text));
    }
}
