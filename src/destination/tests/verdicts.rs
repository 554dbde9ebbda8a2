//! What answers mean.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::*;
use crate::model::Verdict::{self, Accepted, Blocked, Rejected, Retry};
use crate::transport::{Answer, Failure, FailureKind};

fn answer(status: u16, body: &str) -> Answer {
    Answer {
        status: StatusCode::from_u16(status).unwrap(),
        headers: HeaderMap::new(),
        body: Bytes::from(body.to_owned()),
        complete: true,
    }
}

fn header(mut answer: Answer, name: &'static str, value: &str) -> Answer {
    answer.headers.insert(
        HeaderName::from_static(name),
        HeaderValue::from_str(value).unwrap(),
    );
    answer
}

fn cut(mut answer: Answer) -> Answer {
    answer.complete = false;
    answer
}

fn judge(settings: Settings, answer: Answer) -> Judgement {
    compiled(settings).judge(&Ok(answer), now(), (Action::Create, None))
}

fn rule(text: &str) -> String {
    text.to_owned()
}

#[test]
fn without_rules_the_status_decides() {
    let table = [
        (Accepted, vec![200, 201, 202, 204, 206, 299]),
        (Retry, vec![408, 425, 429, 500, 502, 503, 504, 507, 599]),
        (Blocked, vec![401, 403, 410]),
        (
            Rejected,
            vec![
                300, 301, 302, 304, 307, 308, 400, 402, 404, 405, 409, 413, 415, 418, 422, 451,
                501, 505,
            ],
        ),
    ];
    for (verdict, statuses) in table {
        for status in statuses {
            assert_eq!(
                judge(settings(), answer(status, "")).verdict,
                verdict,
                "{status}"
            );
        }
    }
}

#[test]
fn no_answer_is_tried_again_unless_our_own_settings_are_why() {
    for (kind, verdict) in [
        (FailureKind::Connect, Retry),
        (FailureKind::Tls, Retry),
        (FailureKind::Timeout, Retry),
        (FailureKind::Broken, Retry),
        (FailureKind::Settings, Blocked),
    ] {
        let failure = Failure {
            kind,
            message: "connection refused".to_owned(),
        };
        let judgement = compiled(settings()).judge(&Err(failure), now(), (Action::Create, None));
        assert_eq!(
            (judgement.verdict, judgement.reason.as_str()),
            (verdict, "connection refused")
        );
        assert_eq!((judgement.excerpt, judgement.holds_lane), (None, false));
    }
}

/// Rules of one destination: blocked, rejected, accepted.
const RULES: [&str; 3] = [
    "body == 'gone'",
    "json.ok == false",
    "json.ok == true || status == 409",
];

#[test]
fn rules_come_before_the_status_in_order() {
    let own = || Settings {
        blocked_when: Some(rule(RULES[0])),
        rejected_when: Some(rule(RULES[1])),
        accepted_when: Some(rule(RULES[2])),
        ..settings()
    };
    let table: [(u16, &str, Verdict, bool); 9] = [
        (200, "{\"ok\":true}", Accepted, false),
        (409, "{}", Accepted, false),
        (200, "{\"ok\":false}", Rejected, false),
        (503, "{\"ok\":false}", Rejected, false),
        (200, "gone", Blocked, false),
        (404, "gone", Blocked, false),
        (200, "{}", Rejected, false),
        (503, "{}", Retry, false),
        (200, "neither", Accepted, true),
    ];
    for (status, body, verdict, warned) in table {
        let judgement = judge(own(), answer(status, body));
        assert_eq!(
            (judgement.verdict, judgement.warning.is_some()),
            (verdict, warned),
            "{status} {body}"
        );
    }
    let twice = Settings {
        rejected_when: Some(rule("true")),
        blocked_when: Some(rule("true")),
        ..settings()
    };
    assert_eq!(judge(twice, answer(200, "")).verdict, Blocked);
}

#[test]
fn a_rule_that_errs_is_never_true() {
    for rules in [
        Settings {
            blocked_when: Some(rule("json.a > 1")),
            ..settings()
        },
        Settings {
            rejected_when: Some(rule("json.a > 1")),
            ..settings()
        },
        Settings {
            accepted_when: Some(rule("json.a > 1")),
            receipt: Some(rule("/id")),
            ..settings()
        },
    ] {
        let judgement = judge(rules.clone(), answer(200, "{\"id\":1}"));
        assert_eq!(
            (judgement.verdict, judgement.warning.is_some()),
            (Accepted, true)
        );
        assert_eq!(judgement.receipt, None);
        assert_eq!(judge(rules, answer(404, "{}")).verdict, Rejected);
    }
    let sure = Settings {
        rejected_when: Some(rule("json.a > 1")),
        accepted_when: Some(rule("status == 200")),
        ..settings()
    };
    assert_eq!(judge(sure, answer(200, "{}")).warning, None);
}

#[test]
fn an_incomplete_body_is_accepted_with_a_warning_and_no_receipt() {
    let own = |accepted: &str| Settings {
        accepted_when: Some(rule(accepted)),
        receipt: Some(rule("/id")),
        ..settings()
    };
    let whole = judge(own("json.id == 7.0"), answer(200, "{\"id\":7}"));
    assert_eq!(whole.receipt.unwrap().value, "7");
    for accepted in ["json.id == 7.0", "body != 'x'", "status == 200"] {
        let judgement = judge(own(accepted), cut(answer(200, "{\"id\":7}")));
        assert_eq!(judgement.verdict, Accepted, "{accepted}");
        assert_eq!(
            judgement.warning.as_deref(),
            Some("the answer's body was cut")
        );
        assert_eq!(judgement.receipt, None);
    }
    assert_eq!(
        judge(settings(), cut(answer(200, "x"))).warning.as_deref(),
        Some("the answer's body was cut")
    );
    assert_eq!(
        judge(own("status == 201"), cut(answer(200, "x"))).verdict,
        Rejected
    );
    assert_eq!(judge(settings(), cut(answer(500, "x"))).verdict, Retry);
}

#[test]
fn headers_can_be_asked_and_a_missing_one_is_null() {
    let own = || Settings {
        rejected_when: Some(rule("headers['x-error'] != null")),
        ..settings()
    };
    assert_eq!(judge(own(), answer(200, "")).verdict, Accepted);
    assert_eq!(
        judge(own(), header(answer(200, ""), "x-error", "1")).verdict,
        Rejected
    );
}

#[test]
fn a_receipt_is_given_under_base_url_and_channel() {
    let mut own = Settings {
        receipt: Some(rule("/data/id")),
        url: template("https://a.example:8443/v1/notes?x=1"),
        ..settings()
    };
    own.with.insert("channel".to_owned(), json!("C1"));
    let receipt = judge(own.clone(), answer(201, "{\"data\":{\"id\":\"n-1\"}}"))
        .receipt
        .unwrap();
    assert_eq!(
        (receipt.value.as_str(), receipt.scope.as_str()),
        ("n-1", "https://a.example:8443 C1")
    );
    for body in [
        "{}",
        "{\"data\":{\"id\":\"\"}}",
        "{\"data\":{\"id\":[1]}}",
        "{\"data\":{\"id\":\"a\\nb\"}}",
        "no",
    ] {
        let judgement = judge(own.clone(), answer(201, body));
        assert_eq!(
            (judgement.receipt, judgement.warning.as_deref()),
            (None, Some("the answer has no receipt at /data/id")),
            "{body}"
        );
    }
    assert_eq!(
        judge(own, answer(404, "{\"data\":{\"id\":\"n-1\"}}")).receipt,
        None
    );
}

#[test]
fn a_warning_of_the_receiver_is_kept() {
    let own = Settings {
        warned_when: Some(rule("json.warning != null")),
        ..settings()
    };
    let judgement = judge(
        own,
        answer(200, "{\"warning\":\"x\",\"message\":\"text was cut\"}"),
    );
    assert_eq!(
        (judgement.verdict, judgement.warning.as_deref()),
        (Accepted, Some("text was cut"))
    );
}

#[test]
fn retry_after_holds_the_lane_on_429_and_503() {
    let seconds = |judgement: &Judgement| judgement.retry_after.map(|wait| wait.as_secs());
    for (status, value, wait, holds) in [
        (429, Some("30"), Some(30), true),
        (429, None, None, true),
        (429, Some("soon"), None, true),
        (503, Some("30"), Some(30), true),
        (503, Some("0"), Some(0), true),
        (503, None, None, false),
        (503, Some("soon"), None, false),
        (500, Some("30"), Some(30), false),
        (404, Some("30"), None, false),
        (200, Some("30"), None, false),
    ] {
        let plain = answer(status, "");
        let judgement = judge(
            settings(),
            match value {
                Some(value) => header(plain, "retry-after", value),
                None => plain,
            },
        );
        assert_eq!(
            (seconds(&judgement), judgement.holds_lane),
            (wait, holds),
            "{status} {value:?}"
        );
    }
    let own = Settings {
        rejected_when: Some(rule("status == 429")),
        ..settings()
    };
    let judgement = judge(own, header(answer(429, ""), "retry-after", "30"));
    assert_eq!((judgement.retry_after, judgement.holds_lane), (None, false));
}

#[test]
fn the_reason_is_what_the_vendor_said() {
    let html = header(
        answer(502, "<html><body>x</body></html>"),
        "content-type",
        "text/html; charset=utf-8",
    );
    let away = header(
        answer(302, "moved"),
        "location",
        "https://login.example/secret/path?token=1",
    );
    for (given, reason) in [
        (answer(404, "no_service\n"), "404 Not Found: no_service"),
        (answer(500, ""), "500 Internal Server Error"),
        (answer(299, ""), "299"),
        (
            answer(
                422,
                "{\"error\":\"bad\",\"message\":\"id is\\nunknown\",\"errors\":[\"x\"]}",
            ),
            "422 Unprocessable Entity: id is unknown; bad",
        ),
        (
            answer(400, "{\"errors\":[{\"detail\":\"no such note\"}]}"),
            "400 Bad Request: no such note",
        ),
        (answer(400, "{\"a\":1}"), "400 Bad Request: {\"a\":1}"),
        (answer(400, "\u{202e}a\u{0}\tb"), "400 Bad Request: a b"),
        (html, "502 Bad Gateway: an HTML page"),
        (
            away,
            "302 Found: points to login.example; redirects are not followed",
        ),
        (
            header(answer(301, ""), "location", "/elsewhere"),
            "301 Moved Permanently: points elsewhere; redirects are not followed",
        ),
    ] {
        assert_eq!(judge(settings(), given).reason, reason);
    }
    let unmet = judge(
        Settings {
            accepted_when: Some(rule("body == 'ok'")),
            ..settings()
        },
        answer(200, "not ok"),
    );
    assert_eq!(
        unmet.reason,
        "200 OK, but accepted_when does not hold: not ok"
    );
    let long = judge(settings(), answer(400, &"👩🏽‍💻".repeat(1000)));
    assert!(long.reason.chars().count() <= 300 && long.reason.ends_with('…'));
    assert!(long.excerpt.unwrap().len() <= 1024);
}

#[test]
fn secrets_are_taken_out_of_words_and_excerpt() {
    let own = Settings {
        url: ConfigText::Secret(Secret::new(
            "https://hooks.slack.com/services/T0000/B0000/canaryURLsegment?k=canary%2Fquery",
        )),
        headers: vec![
            (
                "Authorization".to_owned(),
                ConfigText::Secret(Secret::new("Bearer canary-token/1")),
            ),
            (
                "X-Basic".to_owned(),
                ConfigText::Secret(Secret::new("Basic Y2FuYXJ5VXNlcjpjYW5hcnlQYXNz")),
            ),
        ],
        sign: vec![Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")],
        ..settings()
    };
    let destination = compiled(own);
    for echo in [
        "https://hooks.slack.com/services/T0000/B0000/canaryURLsegment?k=canary%2Fquery",
        "https:\\/\\/hooks.slack.com\\/services\\/T0000\\/B0000\\/canaryURLsegment",
        "canaryURLsegment",
        "k was canary/query",
        "Bearer canary-token/1",
        "token canary-token/1 expired",
        "canary-token%2F1",
        "Y2FuYXJ5LXRva2VuLzE=",
        "Y2FuYXJ5VXNlcjpjYW5hcnlQYXNz",
        "canaryUser with canaryPass",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    ] {
        let long = format!("{}{echo}", "x".repeat(290));
        for body in [
            echo.to_owned(),
            json!({ "message": echo }).to_string(),
            long,
        ] {
            let judgement =
                destination.judge(&Ok(answer(400, &body)), now(), (Action::Create, None));
            let shown = format!("{} {}", judgement.reason, judgement.excerpt.unwrap());
            for secret in ["canary", "Y2FuYXJ5", "MfKQ9r8G"] {
                assert!(!shown.contains(secret), "{echo}: {shown}");
            }
        }
    }
    let failure = Failure {
        kind: FailureKind::Connect,
        message: "canaryURLsegment refused".to_owned(),
    };
    assert_eq!(
        destination
            .judge(&Err(failure), now(), (Action::Create, None))
            .reason,
        "••• refused"
    );
    assert!(!format!("{destination:?}").contains("canary"));
}
