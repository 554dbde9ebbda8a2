use super::*;

fn shown(problem: impl Into<Problem>) -> String {
    let problem = problem.into();
    let response: Response<Reply> = problem.clone().into();
    let headers: Vec<_> = response
        .headers()
        .iter()
        .filter(|(name, _)| *name != CONTENT_TYPE)
        .map(|(name, value)| format!(" | {name}: {}", value.to_str().unwrap()))
        .collect();
    let headers = headers.concat();
    let status = response.status().as_u16();
    format!("{status}{headers}\n{}", problem.body())
}

#[test]
fn refusals_are_as_the_contract_says() {
    let soon = Duration::from_millis(1200);
    let unavailable = |reason| Refusal::Unavailable {
        reason,
        retry_after: soon,
    };
    let table = [
        Refusal::NotJson,
        Refusal::TooDeep { limit: 64 },
        Refusal::BrokenBody,
        Refusal::Unauthorized {
            challenge: "Bearer",
        },
        Refusal::Forbidden,
        Refusal::NotFound,
        Refusal::MethodNotAllowed { allow: "POST" },
        Refusal::SlowBody,
        Refusal::TooLarge { limit: 1_048_576 },
        Refusal::UnsupportedMediaType,
        Refusal::TooManyRequests { retry_after: soon },
        unavailable(Unavailable::Store),
        unavailable(Unavailable::TooMuchWaiting),
        unavailable(Unavailable::BodiesInFlight),
        unavailable(Unavailable::Draining),
    ];
    let all = table.map(shown).join("\n");
    insta::assert_snapshot!(all, @r#"
    400
    {"type":"urn:mojito-relay:problem:not-json","title":"Bad Request","status":400,"detail":"The body is not JSON."}
    400
    {"type":"urn:mojito-relay:problem:too-deep","title":"Bad Request","status":400,"detail":"The body is nested more than 64 levels deep.","limit":64}
    400
    {"type":"urn:mojito-relay:problem:broken-body","title":"Bad Request","status":400,"detail":"The body broke off."}
    401 | www-authenticate: Bearer
    {"type":"about:blank","title":"Unauthorized","status":401,"detail":"The credentials of this source are missing or wrong."}
    403
    {"type":"urn:mojito-relay:problem:address-not-allowed","title":"Forbidden","status":403,"detail":"This source does not take webhooks from this address."}
    404
    {"type":"about:blank","title":"Not Found","status":404,"detail":"Webhooks are posted to /hooks/ and the name of a source."}
    405 | allow: POST
    {"type":"about:blank","title":"Method Not Allowed","status":405,"detail":"Possible here: POST."}
    408
    {"type":"urn:mojito-relay:problem:slow-body","title":"Request Timeout","status":408,"detail":"The request did not arrive in time."}
    413
    {"type":"urn:mojito-relay:problem:too-large","title":"Payload Too Large","status":413,"detail":"The body is larger than 1048576 bytes.","limit":1048576}
    415
    {"type":"about:blank","title":"Unsupported Media Type","status":415,"detail":"The content type must be JSON, or be left out."}
    429 | retry-after: 2
    {"type":"urn:mojito-relay:problem:rate-limited","title":"Too Many Requests","status":429,"detail":"More requests than the rate limit allows."}
    503 | retry-after: 2
    {"type":"urn:mojito-relay:problem:unavailable","title":"Service Unavailable","status":503,"detail":"The store cannot be used at the moment.","reason":"store"}
    503 | retry-after: 2
    {"type":"urn:mojito-relay:problem:unavailable","title":"Service Unavailable","status":503,"detail":"Too many deliveries are waiting.","reason":"too-much-waiting"}
    503 | retry-after: 2
    {"type":"urn:mojito-relay:problem:unavailable","title":"Service Unavailable","status":503,"detail":"Too many requests are being read.","reason":"bodies-in-flight"}
    503 | retry-after: 2
    {"type":"urn:mojito-relay:problem:unavailable","title":"Service Unavailable","status":503,"detail":"The relay is shutting down.","reason":"draining"}
    "#);
}

#[test]
fn admin_problems_are_as_the_contract_says() {
    let table = [
        AdminProblem::BadRequest {
            detail: "`limit` is 1 to 500.".into(),
        },
        AdminProblem::Unauthorized,
        AdminProblem::Forbidden {
            detail: "Not by this host name.".into(),
        },
        AdminProblem::NotFound,
        AdminProblem::MethodNotAllowed { allow: "GET, HEAD" },
        AdminProblem::Conflict {
            detail: "It is not final yet.".into(),
        },
        AdminProblem::Unprocessable {
            detail: "line 3".into(),
        },
        AdminProblem::TooManyGuesses {
            retry_after: Duration::ZERO,
        },
        AdminProblem::StoreFails {
            words: "the store cannot be written: the disk is full".to_owned(),
            retry_after: Duration::from_secs(5),
        },
    ];
    let all = table.map(shown).join("\n");
    insta::assert_snapshot!(all, @r#"
    400
    {"type":"about:blank","title":"Bad Request","status":400,"detail":"`limit` is 1 to 500."}
    401 | www-authenticate: Bearer realm="relay admin"
    {"type":"about:blank","title":"Unauthorized","status":401,"detail":"This needs `authorization: Bearer` and the token of [admin]."}
    403
    {"type":"about:blank","title":"Forbidden","status":403,"detail":"Not by this host name."}
    404
    {"type":"about:blank","title":"Not Found","status":404,"detail":"There is nothing by that name here."}
    405 | allow: GET, HEAD
    {"type":"about:blank","title":"Method Not Allowed","status":405,"detail":"Possible here: GET, HEAD."}
    409
    {"type":"about:blank","title":"Conflict","status":409,"detail":"It is not final yet."}
    422
    {"type":"about:blank","title":"Unprocessable Entity","status":422,"detail":"line 3"}
    429 | retry-after: 1
    {"type":"urn:mojito-relay:problem:too-many-guesses","title":"Too Many Requests","status":429,"detail":"Too many wrong tokens came from this address. The right one is taken all the same."}
    503 | retry-after: 5
    {"type":"urn:mojito-relay:problem:unavailable","title":"Service Unavailable","status":503,"detail":"At the moment the store cannot be written: the disk is full.","reason":"store"}
    "#);
}

#[test]
fn a_member_cannot_take_a_standard_ones_place() {
    let problem = Problem::plain(StatusCode::CONFLICT)
        .member("status", 200)
        .member("count", 3);
    assert_eq!(
        problem.body(),
        r#"{"type":"about:blank","title":"Conflict","status":409,"count":3}"#
    );
}

#[test]
fn retry_after_is_never_too_early() {
    for (millis, expected) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2"), (90_000, "90")] {
        let problem = Problem::plain(StatusCode::SERVICE_UNAVAILABLE)
            .retry_after(Duration::from_millis(millis));
        assert_eq!(problem.headers[0].1, expected);
    }
}

#[test]
fn an_answer_is_problem_json() {
    let response: Response<Reply> = Problem::from(Refusal::NotJson).into();
    assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
}
