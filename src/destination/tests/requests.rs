//! Formats, headers, requirements, and what makes a delivery dead or skipped.

use super::*;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What JSON allows and a JSON library may not keep.
const AWKWARD: &str =
    "{ \"n\": 1.10e400, \"id\":\"a\", \"z\":1,\"a\":2, \"s\":\"\\ud800\", \"n\": 5.0 }\n";

fn formatted(body: BodyFormat) -> Destination {
    compiled(Settings { body, ..settings() })
}

#[test]
fn every_request_has_the_headers_that_receivers_rely_on() {
    let destination = compiled(Settings {
        sign: vec![Secret::new(SECRET)],
        ..settings()
    });
    let outgoing = Case::sample("submitted-rich")
        .after("collected")
        .render(&destination)
        .unwrap();
    let mut lines: Vec<String> = outgoing
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    lines.sort();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    content-type: application/json
    relay-attempt: 2
    relay-event-type: interview.submitted
    relay-subject-revision: 2
    user-agent: mojito-relay/0.1.0
    webhook-id: dlv_01010101010101010101010101010101_3
    webhook-signature: v1,tBCImERh6/KPor+HOaHVX2qct8mU7bCfApwVtF7FD2w=
    webhook-timestamp: 1795341600
    "#);
    assert_eq!(outgoing.method, "POST");
    assert_eq!(outgoing.url.as_str(), "http://127.0.0.1:9000/interviews");
}

#[test]
fn raw_is_byte_for_byte() {
    let case = Case::new("interview.other", AWKWARD);
    assert_eq!(
        case.render(&formatted(BodyFormat::Raw)).unwrap().body,
        AWKWARD
    );
}

#[test]
fn an_envelope_holds_the_payload_byte_for_byte() {
    let mut case = Case::new("interview.other", AWKWARD);
    case.event.subject = Subject::new("quote \" and \u{1}").ok();
    case.event.changed = vec!["sco\"re".to_owned()];
    let outgoing = case.render(&formatted(BodyFormat::Envelope)).unwrap();
    let expected = format!(
        r#"{{"type":"interview.other","timestamp":"2026-11-22T09:59:58.25Z","data":{AWKWARD},"subject":"quote \" and \u0001","revision":1,"changed":["sco\"re"]}}"#
    );
    assert_eq!(outgoing.body, expected);
    assert_eq!(outgoing.headers["content-type"], "application/json");
    for name in SAMPLES {
        let case = Case::sample(name);
        let body = case.body(&formatted(BodyFormat::Envelope));
        assert_eq!(body["data"], case.result, "{name}");
        assert_eq!(body["subject"], case.result["id"], "{name}");
    }
}

#[test]
fn a_cloud_event_names_no_subject() {
    let case = Case::new("interview.other", AWKWARD);
    let outgoing = case.render(&formatted(BodyFormat::CloudEvents)).unwrap();
    let id = case.event.id.delivery(3);
    let expected = format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"urn:mojito-relay:jobmojito","type":"interview.other","time":"2026-11-22T09:59:58.25Z","datacontenttype":"application/json","data":{AWKWARD}}}"#
    );
    assert_eq!(outgoing.body, expected);
    assert_eq!(
        outgoing.headers["content-type"],
        "application/cloudevents+json; charset=UTF-8"
    );
}

#[test]
fn a_structured_body_and_a_text_body_are_rendered() {
    let body = json!({"candidateId": "{{ result.candidate_external_id }}", "score": "{{ result.score }}", "title": "{{ with.headline }} {{ with.t.a }}{{ with.t.b }}"});
    let mut own = settings();
    own.body = BodyFormat::Structured(body);
    own.with = serde_json::from_value(json!({"headline": "own", "t": {"a": 1, "b": 1}})).unwrap();
    let case = Case::sample("submitted-rich").with(json!({"headline": "route's", "t": {"b": 2}}));
    assert_eq!(
        case.body(&compiled(own)),
        json!({"candidateId": "gh_4417820", "score": 5.12, "title": "route's 12"})
    );
    let text = formatted(BodyFormat::Text(
        "{{ event.type }} {{ event.revision }}".to_owned(),
    ));
    let outgoing = case.render(&text).unwrap();
    assert_eq!(outgoing.body, "interview.submitted 1");
    assert_eq!(
        outgoing.headers["content-type"],
        "text/plain; charset=utf-8"
    );
}

#[test]
fn signatures_are_over_the_bytes_that_are_sent() {
    let sign = vec![Secret::new(SECRET)];
    let destination = compiled(Settings {
        sign: sign.clone(),
        body: BodyFormat::Envelope,
        ..settings()
    });
    let case = Case::sample("hostile-text");
    let outgoing = case.render(&destination).unwrap();
    let signer = Signer::compile(&sign).unwrap();
    let expected = signer.sign(
        &case.event.id.delivery(3).to_string(),
        now().as_second(),
        &outgoing.body,
    );
    assert_eq!(outgoing.headers["webhook-signature"], expected.unwrap());
}

#[test]
fn an_event_type_of_any_text_is_a_header() {
    for (event_type, header) in [
        ("order.paid", "order.paid"),
        ("a\r\nX: 1 ž%", "a%0D%0AX: 1 %C5%BE%25"),
    ] {
        let outgoing = Case::new(event_type, "{}")
            .render(&compiled(settings()))
            .unwrap();
        assert_eq!(outgoing.headers["relay-event-type"], header);
    }
    let long = Case::new(&"ž".repeat(4000), "{}")
        .render(&compiled(settings()))
        .unwrap();
    assert_eq!(long.headers["relay-event-type"].len(), 256);
}

#[test]
fn a_required_field_that_is_null_skips() {
    let destination = compiled(Settings {
        require: vec![
            "result.id".to_owned(),
            "result.candidate_external_id".to_owned(),
        ],
        url: template("https://a.example/{{ result.candidate_external_id }}"),
        ..settings()
    });
    let field = "result.candidate_external_id".to_owned();
    assert_eq!(
        Case::sample("submitted").render(&destination).unwrap_err(),
        Unsendable::Skipped { field }
    );
    assert_eq!(
        destination.required(&&json!([])),
        Err("result.id".to_owned())
    );
    assert!(Case::sample("submitted-rich").render(&destination).is_ok());
}

#[test]
fn what_cannot_be_rendered_is_dead_with_key_line_and_field() {
    let case = Case::sample("hostile-text");
    let reason = |settings| match case.render(&compiled(settings)) {
        Err(Unsendable::Dead { reason }) => reason,
        other => panic!("{other:?}"),
    };
    let body =
        BodyFormat::Structured(json!({"a": [{"id": "{{ result.candidate_external_id | int }}"}]}));
    assert_eq!(
        reason(Settings { body, ..settings() }),
        "body.a[0].id, line 1: not an integer: it is text that is no number (it reads result.candidate_external_id)"
    );
    let headers = vec![(
        "X-Id".to_owned(),
        template("{{ result.candidate_external_id }}"),
    )];
    assert_eq!(
        reason(Settings {
            headers,
            ..settings()
        }),
        "headers.X-Id: control characters and line breaks cannot stand in a header (it reads result.candidate_external_id)"
    );
    let url = template("https://a.example/{{ result.nope }}/x");
    assert_eq!(
        reason(Settings { url, ..settings() }),
        "url: path segment 1 would be empty (it reads result.nope)"
    );
}

#[test]
fn every_mistake_is_reported_at_once_with_its_key() {
    let broken = Settings {
        url: template("nonsense"),
        method: "post".to_owned(),
        headers: vec![("Host".to_owned(), template("x"))],
        body: BodyFormat::Structured(json!({"blocks": ["", {"text": "a\n{{ reslt.score }}"}]})),
        sign: vec![Secret::new("whsec_")],
        require: vec!["candidate".to_owned()],
        accepted_when: Some("statuz == 200".to_owned()),
        receipt: Some("data.id".to_owned()),
        ..settings()
    };
    let faults = Destination::compile(broken).unwrap_err();
    let lines: Vec<String> = faults
        .into_iter()
        .map(|fault| {
            format!(
                "{} {:?}: {} ({})",
                fault.key,
                fault.line_in_value,
                fault.problem,
                fault.hint.unwrap_or_default()
            )
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    method None: not a method that can be sent (use POST, PUT or PATCH)
    url None: not a URL (write one like https://example.com/hooks)
    body.blocks[1].text Some(2): unknown name `reslt` (did you mean `result`?)
    headers.Host None: `host` cannot be set here (it is set by the relay; choose another name)
    sign.secrets[0] None: the secret is empty (it looks like whsec_ and 24 to 64 random bytes in base64)
    require[0] None: not a field of the payload (write one like "result.candidate_external_id")
    accepted_when None: unknown name `statuz`, at column 1 (an expression here may use status, headers, body, json)
    receipt None: not a JSON pointer (write a JSON pointer into the answer, such as "/data/id")
    "#);
}

#[test]
fn fields_are_known_for_minimisation_and_checks() {
    let only = |names: &[&str]| Fields::Only(names.iter().map(|name| (*name).to_owned()).collect());
    let body = BodyFormat::Structured(
        json!({"a": "{{ result.score }}", "b": {"$when": "previous.status", "c": 1}}),
    );
    let destination = compiled(Settings {
        url: template("https://a.example/{{ result.id }}"),
        require: vec!["result.candidate_external_id".to_owned()],
        body,
        ..settings()
    });
    assert_eq!(
        destination.fields(),
        only(&["candidate_external_id", "id", "score", "status"])
    );
    let keys: Vec<String> = destination
        .reads()
        .into_iter()
        .map(|read| format!("{} {}", read.key, read.path.join(".")))
        .collect();
    assert_eq!(
        keys,
        [
            "url result.id",
            "body.a result.score",
            "body.b.$when previous.status"
        ]
    );
    assert_eq!(formatted(BodyFormat::Raw).fields(), Fields::All);
    let whole = BodyFormat::Structured(json!({"all": "{{ result }}"}));
    assert_eq!(formatted(whole).fields(), Fields::All);
}
