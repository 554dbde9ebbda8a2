//! Traces: one from the sender over the store to each attempt, in a collector that reads what it gets as
//! the standard has it; and nothing of a payload in it.

use std::time::Duration;

use mojito_relay::model::State;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

use crate::harness::{PLAIN, TestRelay, answer, with};
use crate::vendors::fake::{Asked, Fake, Reply, Vendor};

/// The sender's own step.
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Takes spans.
struct Collector;

impl Vendor for Collector {
    fn answer(&self, asked: &Asked, _in_flight: usize) -> Reply {
        let takes = asked.is("POST", "/v1/traces")
            && asked.header("content-type") == "application/x-protobuf";
        Reply::empty(if takes { 200 } else { 404 })
    }
}

async fn collector() -> (Fake, [(&'static str, String); 1]) {
    let fake = Fake::start(Collector, Vec::new()).await;
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", fake.origin())];
    (fake, environment)
}

/// Every span that came, by the time at which it began.
fn spans(collector: &Fake) -> Vec<Span> {
    let mut spans = Vec::new();
    for asked in collector.seen() {
        let batch = ExportTraceServiceRequest::decode(asked.body).unwrap();
        for resource in batch.resource_spans {
            let about = resource.resource.unwrap_or_default().attributes;
            let service = about.iter().find(|one| one.key == "service.name").unwrap();
            assert!(format!("{service:?}").contains("mojito-relay"));
            spans.extend(
                resource
                    .scope_spans
                    .into_iter()
                    .flat_map(|scope| scope.spans),
            );
        }
    }
    spans.sort_by_key(|span| span.start_time_unix_nano);
    spans
}

fn names(spans: &[Span]) -> Vec<&str> {
    spans.iter().map(|span| span.name.as_str()).collect()
}

fn attribute(span: &Span, key: &str) -> String {
    let found = span.attributes.iter().find(|one| one.key == key);
    let value = found.and_then(|one| one.value.clone()?.value);
    match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}

fn body() -> String {
    serde_json::json!({
        "id": "subject-canary", "status": "active", "interview_status": "completed",
        "candidate_external_id": "candidate-canary", "score": 4.5, "summary": "payload-canary",
    })
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_leads_from_the_sender_to_each_attempt() {
    let (collector, environment) = collector().await;
    let toml =
        with("headers = { X-Key = \"header-canary\" }\nretry = { first = \"5s\", jitter = 0 }")
            .replace("/in", "/in?key=url-canary");
    let mut relay = TestRelay::start_in(&toml, &environment).await;
    relay
        .receivers
        .answer("app.test", [answer(503, "answer-canary")]);
    let sent = [("traceparent", PARENT), ("x-from", "sender-canary")];
    let reply = relay.post_with("jobmojito", body(), &sent).await;
    relay.attempts(1).await;
    relay.advance(Duration::from_secs(5));
    relay.ended(State::Delivered, 1).await;
    let duplicate = relay.post_with("jobmojito", body(), &[]).await;
    assert_eq!(duplicate.status, 200);
    relay.stop().await;
    let spans = spans(&collector);
    assert_eq!(
        names(&spans),
        [
            "receive jobmojito",
            "store accept",
            "deliver app",
            "deliver app",
            "receive jobmojito",
            "store accept",
        ]
    );
    let (received, others) = spans.split_first().unwrap();
    assert_eq!(hex::encode(&received.parent_span_id), "b7ad6b7169203331");
    for span in &spans[..4] {
        let trace = hex::encode(&span.trace_id);
        assert_eq!(PARENT.split('-').nth(1), Some(&*trace), "{}", span.name);
    }
    for span in &others[..3] {
        assert_eq!(span.parent_span_id, received.span_id, "{}", span.name);
    }
    assert!(spans[4].parent_span_id.is_empty(), "it brought no trace");
    let kinds: Vec<i32> = spans.iter().map(|span| span.kind).collect();
    assert_eq!(kinds[..4], [2, 1, 3, 3], "server, internal, client, client");
    let event = reply.json()["id"].as_str().unwrap().to_owned();
    for span in [received, &spans[2], &spans[3]] {
        assert_eq!(attribute(span, "relay.event"), event);
    }
    assert_eq!(attribute(received, "relay.type"), "interview.submitted");
    assert_eq!(attribute(received, "relay.outcome"), "accepted");
    assert_eq!(attribute(&spans[4], "relay.outcome"), "duplicate");
    let told = |span: &Span| {
        [
            "relay.attempt",
            "http.response.status_code",
            "relay.verdict",
            "relay.state",
        ]
        .map(|key| attribute(span, key))
    };
    assert_eq!(told(&spans[2]), ["1", "503", "retry", "waiting"]);
    assert_eq!(told(&spans[3]), ["2", "200", "accepted", "delivered"]);
    let failed = |span: &Span| span.status.as_ref().is_some_and(|status| status.code == 2);
    assert!(failed(&spans[2]) && !failed(&spans[3]));
    let everything = format!("{spans:?}");
    assert!(!everything.contains("canary"), "{everything}");
    assert!(!everything.contains("app.test"), "{everything}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_after_a_restart_belongs_to_the_same_trace() {
    let (collector, environment) = collector().await;
    let paused = with("paused = true");
    let relay = TestRelay::start_in(&paused, &environment).await;
    let sent = [("traceparent", PARENT)];
    relay.post_with("jobmojito", body(), &sent).await;
    let (_, remains) = relay.stop().await;
    let mut relay = remains.start(PLAIN).await;
    relay.ended(State::Delivered, 1).await;
    relay.stop().await;
    let spans = spans(&collector);
    assert_eq!(
        names(&spans),
        ["receive jobmojito", "store accept", "deliver app"]
    );
    assert_eq!(spans[2].trace_id, spans[0].trace_id);
    assert_eq!(spans[2].parent_span_id, spans[0].span_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_of_ones_own_is_told_by_switch_and_nobody_else() {
    let (collector, environment) = collector().await;
    let toml = "[sources.jobmojito]\nauth = \"none\"\n\
        [destinations.own]\nurl = \"http://own.test/in\"\ntraceparent = true\n\
        [destinations.other]\nurl = \"http://other.test/in\"\n\
        [[routes]]\nto = [\"own\", \"other\"]\n";
    let mut relay = TestRelay::start_in(toml, &environment).await;
    relay.post("jobmojito", body()).await;
    relay.ended(State::Delivered, 2).await;
    let own = relay.receivers.seen_at("own.test").remove(0);
    let other = relay.receivers.seen_at("other.test").remove(0);
    assert_eq!(other.header("traceparent"), "");
    relay.stop().await;
    let spans = spans(&collector);
    let span = spans
        .iter()
        .find(|span| span.name == "deliver own")
        .unwrap();
    let (trace, id) = (hex::encode(&span.trace_id), hex::encode(&span.span_id));
    assert_eq!(own.header("traceparent"), format!("00-{trace}-{id}-01"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_sender_does_not_record_is_not_recorded() {
    let (collector, environment) = collector().await;
    let mut relay = TestRelay::start_in(PLAIN, &environment).await;
    let unsampled = PARENT.replace("-01", "-00");
    let sent = [("traceparent", unsampled.as_str())];
    relay.post_with("jobmojito", body(), &sent).await;
    relay.ended(State::Delivered, 1).await;
    relay.stop().await;
    assert_eq!(names(&spans(&collector)), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_collector_there_is_no_trace_and_one_that_is_gone_holds_nothing_up() {
    let gone = [(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "http://127.0.0.1:1".to_owned(),
    )];
    for (environment, traced) in [(&[][..], false), (&gone[..], true)] {
        let toml = with("traceparent = true");
        let mut relay = TestRelay::start_in(&toml, environment).await;
        let sent = [("traceparent", PARENT)];
        let reply = relay.post_with("jobmojito", body(), &sent).await;
        assert_eq!(reply.status, 202);
        relay.ended(State::Delivered, 1).await;
        let told = relay.receivers.seen().remove(0);
        assert_eq!(told.header("traceparent").is_empty(), !traced);
        let (ended, _) = relay.stop().await;
        assert_eq!(ended, mojito_relay::app::Ended::Clean);
    }
}
