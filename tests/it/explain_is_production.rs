//! `relay explain` says what a relay at work does: the same deliveries, and the same requests to the
//! last header, for every sample as a first revision and as a later one of every other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use mojito_relay::app::{self, DeliveryOutcome, Past, Question, RECEIPT, Ready, SAMPLES};
use mojito_relay::clock::Clock as _;
use mojito_relay::config;
use mojito_relay::model::EventId;
use mojito_relay::source::Source;
use mojito_relay::telemetry::Happening;
use mojito_relay::transport::{Connection, Outgoing};

use crate::harness::{Request, TestRelay, answer, inputs_without_a_file};

const RULES: &str = r#"
    [sources.jobmojito]
    auth = "none"
    ignore = ["pdf_export_url"]
    [sources.shop]
    kind = "generic"
    type = "/event"
    subject = "/id"
    auth = "none"
    [destinations.slack]
    preset = "slack"
    rate_limit = "none"
    url = "http://slack.test/services/T/B/secret"
    [destinations.ashby]
    preset = "ashby"
    rate_limit = "none"
    base_url = "http://ashby.test"
    api_key = "k"
    [destinations.raw]
    url = "http://raw.test/in"
    sign = { secrets = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] }
    [destinations.envelope]
    url = "http://envelope.test/in"
    format = "envelope"
    headers = { X-Token = "t", X-Score = "{{ result.score }}" }
    [destinations.cloud]
    url = "http://cloud.test/in"
    format = "cloudevents"
    method = "PUT"
    [destinations.path]
    url = "http://path.test/{{ result.candidate_external_id }}/note?score={{ result.score }}"
    body = { before = "{{ previous.score }}", changed = "{{ event.changed }}", who = "{{ with.who }}" }
    with = { who = "nobody" }
    [destinations.newest]
    url = "http://newest.test/in"
    revisions = "latest"
    body = { before = "{{ previous.score }}", changed = "{{ event.changed }}", revision = "{{ event.revision }}" }
    [destinations.later]
    url = "http://later.test/in"
    revisions = "latest"
    require = ["result.score"]
    format = "envelope"
    [destinations.bot]
    preset = "slack-bot"
    rate_limit = "none"
    base_url = "http://bot.test"
    api_key = "k"
    with = { channel = "C1" }
    [destinations.teamtailor]
    preset = "teamtailor"
    rate_limit = "none"
    base_url = "http://teamtailor.test"
    api_key = "k"
    with = { user_id = 7 }
    [destinations.token]
    url = "http://token.test/in"
    auth = { oauth2 = { client_id = "a", client_secret = "b", token_url = "http://tokens.test/" } }
    [[routes]]
    name = "everything"
    events = ["*"]
    to = ["raw", "cloud"]
    [[routes]]
    name = "up-to-date"
    events = ["interview.submitted", "interview.failed"]
    to = ["bot", "teamtailor", "token"]
    [[routes]]
    name = "results"
    from = ["jobmojito"]
    to = ["slack", "newest"]
    [[routes]]
    name = "good"
    when = "result.score >= 5.0"
    to = ["ashby", "path"]
    with = { who = "the good" }
    [[routes]]
    name = "changes"
    first = false
    changed = ["score", "status", "recruiter_go_next_round"]
    to = ["later", "path"]
    with = { who = "those that change" }
    [[routes]]
    name = "dropped"
    events = ["interview.*"]
    when = "previous != null && previous.status != result.status"
    stop = true
    to = ["envelope"]
    [[routes]]
    name = "rest"
    changed = ["ai_analysis_recruiter_score"]
    to = ["ashby", "later", "envelope"]
"#;

/// What became of one delivery: its request as people may see it, or the state and the reason.
type Ends = BTreeMap<String, String>;

fn told(ready: &Ready, question: Question<'_>) -> Ends {
    let explanation = app::explain(ready, question).unwrap();
    let end = |outcome| match outcome {
        DeliveryOutcome::Request(shown) => format!("{shown:#?}"),
        DeliveryOutcome::Skipped { reason } => format!("skipped: {reason}"),
        DeliveryOutcome::Dead { reason } => format!("dead: {reason}"),
    };
    let deliveries = explanation.deliveries.into_iter();
    deliveries
        .map(|delivery| (delivery.destination, end(delivery.outcome)))
        .collect()
}

/// A relay at work, and its rules.
struct Stage {
    relay: TestRelay,
    ready: Ready,
    seen: usize,
}

impl Stage {
    async fn new() -> Self {
        Self::of(RULES).await
    }

    async fn of(rules: &str) -> Self {
        let relay = TestRelay::start(rules).await;
        relay
            .receivers
            .always("ashby.test", answer(200, r#"{"success":true}"#));
        for (host, body) in [
            ("bot.test", format!(r#"{{"ok":true,"ts":"{RECEIPT}"}}"#)),
            (
                "teamtailor.test",
                format!(r#"{{"data":{{"id":"{RECEIPT}"}}}}"#),
            ),
            (
                "tokens.test",
                r#"{"access_token":"x","token_type":"Bearer","expires_in":3600}"#.to_owned(),
            ),
        ] {
            relay.receivers.always(host, answer(200, &body));
        }
        let loaded = config::load_text(&inputs_without_a_file(), rules).unwrap();
        Self {
            relay,
            ready: app::compile(loaded, true).unwrap(),
            seen: 0,
        }
    }

    fn source(&self, name: &str) -> Arc<Source> {
        self.ready.compiled.rules.sources[name].clone()
    }

    /// Posts a body, waits for all that follows, and answers with the event's id and what became of it.
    async fn happens(&mut self, source: &str, body: &str) -> (EventId, Ends) {
        let receipt = self.relay.post(source, body.to_owned()).await.json();
        let id = receipt["id"].as_str().unwrap();
        let id: EventId = id.parse().unwrap();
        let enough = receipt["deliveries"].as_u64().unwrap();
        let ends = |log: &[Happening]| log.iter().filter(|one| ends(one, id)).count();
        self.relay
            .until("every end", |log| ends(log) as u64 >= enough)
            .await;
        let seen = self.relay.receivers.seen().split_off(self.seen);
        self.seen += seen.len();
        if receipt["duplicate"] == true {
            assert!(seen.is_empty());
            return (id, Ends::new());
        }
        let path = format!("/api/v1/deliveries?event={id}");
        let listed = self.relay.get(&path).await.json();
        let deliveries = listed["items"].as_array().unwrap();
        let ends = deliveries.iter().map(|delivery| {
            let name = delivery["destination"].as_str().unwrap();
            let end = match delivery["state"].as_str().unwrap() {
                "delivered" => self.shown(name, &seen),
                state => format!("{state}: {}", delivery["last_error"].as_str().unwrap()),
            };
            (name.to_owned(), end)
        });
        (id, ends.collect())
    }

    fn shown(&self, name: &str, seen: &[Request]) -> String {
        let mut requests = seen.iter().filter(|one| one.host == format!("{name}.test"));
        let (Some(request), None) = (requests.next(), requests.next()) else {
            panic!("one request for {name}: {seen:?}");
        };
        let request = Outgoing {
            method: request.method.clone(),
            url: request.url.parse().unwrap(),
            headers: request.headers.clone(),
            body: request.body.clone(),
            timeout: Duration::ZERO,
            connection: Arc::new(Connection::default()),
        };
        format!(
            "{:#?}",
            self.ready.compiled.rules.destinations[name].show(&request)
        )
    }

    fn now(&self) -> Timestamp {
        self.relay.clock.now()
    }

    /// Posts `bodies` as revisions of one subject, and compares each with what is told of it.
    async fn compare(&mut self, what: &str, source: &str, bodies: &[String]) -> usize {
        let through = self.source(source);
        let mut history: Vec<Past> = Vec::new();
        let mut compared = 0;
        for body in bodies {
            let (id, happened) = self.happens(source, body).await;
            let bytes = Bytes::from(body.clone());
            let question = Question {
                stored: Some((id, self.now())),
                ..Question::new(&through, &bytes, &history, self.now())
            };
            assert_eq!(told(&self.ready, question), happened, "{what}");
            compared += happened.len();
            history = vec![Past::supposed(&self.ready, &through, &bytes, self.now()).unwrap()];
        }
        compared
    }
}

/// Whether it is the end of a delivery of this event.
fn ends(happening: &Happening, event: EventId) -> bool {
    match happening {
        Happening::Attempt(attempted) => attempted.event == event,
        Happening::Delivery { delivery, .. } => delivery.event == event,
        _ => false,
    }
}

/// A sample under an id of its own.
fn of_subject(body: &str, subject: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(body).unwrap();
    body.replace(value["id"].as_str().unwrap(), subject)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sample_becomes_what_explain_says_also_after_every_other() {
    let mut stage = Stage::new().await;
    let mut compared = 0;
    for (before, first) in SAMPLES {
        for (after, second) in SAMPLES {
            let what = format!("{after} after {before}");
            let subject = format!("s-{before}-{after}");
            let bodies = [of_subject(first, &subject), of_subject(second, &subject)];
            compared += stage.compare(&what, "jobmojito", &bodies).await;
        }
    }
    assert!(compared > 2000, "only {compared} deliveries were compared");
}

/// The same rules, but nobody gets all there is, and the sources are minimised.
fn minimised() -> String {
    let fields = "body = { score = \"{{ result.score }}\", was = \"{{ previous.score }}\", changed = \"{{ event.changed }}\" }";
    let mut rules = RULES
        .replace("format = \"envelope\"", fields)
        .replace("format = \"cloudevents\"", fields)
        .replace("auth = \"none\"", "auth = \"none\"\nminimise = true");
    for whole in [
        "url = \"http://raw.test/in\"",
        "url = \"http://token.test/in\"",
    ] {
        rules = rules.replace(whole, &format!("{whole}\n{fields}"));
    }
    rules
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sample_through_a_minimised_source_becomes_what_explain_says() {
    let mut stage = Stage::of(&minimised()).await;
    let mut compared = 0;
    for (before, first) in SAMPLES.iter().step_by(2) {
        for (after, second) in SAMPLES {
            let what = format!("{after} after {before}");
            let subject = format!("s-{before}-{after}");
            let bodies = [of_subject(first, &subject), of_subject(second, &subject)];
            compared += stage.compare(&what, "jobmojito", &bodies).await;
        }
    }
    assert!(compared > 1000, "only {compared} deliveries were compared");
    stage
        .compare("no JSON object", "shop", &["[7]".to_owned()])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_other_senders_become_what_explain_says() {
    let mut stage = Stage::new().await;
    let bodies = [
        r#"{"event":"order.paid","id":7,"score":9,"candidate_external_id":"../x"}"#,
        r#"{"event":"interview.failed","id":7,"score":9.0,"candidate_external_id":"a/b"}"#,
        r#"{"id":8}"#,
    ];
    let bodies = bodies.map(str::to_owned);
    stage.compare("shop", "shop", &bodies[..2]).await;
    stage.compare("shop", "shop", &bodies[2..]).await;
    stage
        .compare("no JSON object", "jobmojito", &["[]".to_owned()])
        .await;
}
