//! The live stream: what it tells and what it never does, and that its readers hold up nothing.

use std::time::Duration;

use mojito_relay::app::Ended;
use mojito_relay::clock::Clock as _;
use mojito_relay::model::LaneState;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{PLAIN, TestRelay, answer, delivered, submitted};

const PATIENCE: Duration = Duration::from_secs(20);

/// A reader of the stream, with the text that it has taken so far.
struct Reader {
    socket: TcpStream,
    text: String,
}

/// One server-sent event.
#[derive(Debug)]
struct Told {
    id: u64,
    kind: String,
    data: Value,
}

impl Reader {
    /// Asks for the stream and waits until it is open.
    async fn open(relay: &TestRelay) -> Self {
        let mut reader = Self::ask(relay).await;
        reader.until(": this is what happens").await;
        reader
    }

    async fn ask(relay: &TestRelay) -> Self {
        let mut socket = TcpStream::connect(relay.relay.admin).await.unwrap();
        let request = "GET /api/v1/stream HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n";
        socket.write_all(request.as_bytes()).await.unwrap();
        Self {
            socket,
            text: String::new(),
        }
    }

    /// Reads until `words` came, or the stream ended.
    async fn until(&mut self, words: &str) -> &str {
        let reading = async {
            let mut buffer = vec![0; 64 * 1024];
            let mut from = 0;
            while !self.text.split_at(from).1.contains(words) {
                from = self.text.len().saturating_sub(words.len());
                match self.socket.read(&mut buffer).await.unwrap_or(0) {
                    0 => break,
                    read => {
                        let text = String::from_utf8_lossy(&buffer[..read]);
                        self.text.push_str(&text.replace('\r', ""));
                    }
                }
            }
        };
        let over = tokio::time::timeout(PATIENCE, reading).await;
        assert!(over.is_ok(), "{words:?} never came: {}", self.text);
        &self.text
    }

    /// Reads to the end of the stream.
    async fn read_it_all(&mut self) {
        self.until("what never comes").await;
    }

    fn told(&self) -> Vec<Told> {
        let field = |block: &str, name: &str| {
            let mut lines = block.lines();
            lines.find_map(|line| line.strip_prefix(name).map(str::to_owned))
        };
        let blocks = self.text.split("\n\n");
        blocks
            .filter_map(|block| {
                Some(Told {
                    id: field(block, "id: ")?.parse().unwrap(),
                    kind: field(block, "event: ")?,
                    data: serde_json::from_str(&field(block, "data: ")?).unwrap(),
                })
            })
            .collect()
    }
}

/// Makes the relay say far more than sockets and feed can hold.
fn say_too_much(relay: &TestRelay) {
    let long = "x".repeat(20_000);
    let at = relay.clock.now();
    for _ in 0..3000 {
        let telemetry = &relay.relay.telemetry;
        telemetry.lane(at, &"app".into(), LaneState::Open, &long);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_told_in_order_under_the_names_of_the_api() {
    let mut relay = TestRelay::start(PLAIN).await;
    let mut reader = Reader::open(&relay).await;
    let refusal = answer(403, "key revoked");
    relay.receivers.answer("app.test", [refusal]);
    let body = submitted("of-one-person", 1.0);
    let event = relay.post("jobmojito", body).await.json();
    reader.until("event: lane").await;
    relay.tell("/api/v1/destinations/app/resume", "").await;
    relay.until("the delivery", delivered(1)).await;
    reader.until("\"delivered\"").await;

    let told = reader.told();
    let ids: Vec<u64> = told.iter().map(|one| one.id).collect();
    let count = told.len() as u64;
    assert_eq!(ids, (1..=count).collect::<Vec<u64>>());
    assert_eq!(told[0].kind, "event");
    assert_eq!(told[0].data["id"], event["id"]);
    assert_eq!(told[0].data["received_at"], "2026-11-22T09:00:00Z");
    let attempts: Vec<&Told> = told.iter().filter(|one| one.kind == "attempt").collect();
    let outcome = |told: &Told| told.data["verdict"].as_str().unwrap().to_owned();
    assert_eq!(outcome(attempts[0]), "blocked");
    assert_eq!(outcome(attempts[1]), "accepted");
    assert_eq!(attempts[1].data["event_id"], event["id"]);
    let lane = told.iter().find(|one| one.kind == "lane").unwrap();
    assert_eq!(lane.data["destination"], "app");
    assert_eq!(lane.data["state"], "blocked");
    for personal in ["of-one-person", "c-1"] {
        assert!(!reader.text.contains(personal), "{}", reader.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_broken_by_a_comment_every_fifteen_seconds() {
    let relay = TestRelay::start(PLAIN).await;
    let mut reader = Reader::open(&relay).await;
    let beat = relay.clock.now() + Duration::from_secs(15);
    while relay.clock.next_wake() != Some(beat) {
        relay.clock.sleeper().await;
    }
    relay.advance(Duration::from_secs(15));
    reader.until("\n: still here\n\n").await;
    assert!(reader.told().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_holds_up_nothing_and_is_told_how_many_it_missed() {
    let relay = TestRelay::start(PLAIN).await;
    let mut reader = Reader::open(&relay).await;
    say_too_much(&relay);
    relay.post("jobmojito", submitted("a", 1.0)).await;
    relay.receivers.arrived(1).await;
    reader.until("\"delivered\"").await;
    let told = reader.told();
    let missed = told.iter().filter(|one| one.kind == "missed");
    let missed: u64 = missed.map(|one| one.data["missed"].as_u64().unwrap()).sum();
    let came = told.iter().filter(|one| one.kind == "lane").count() as u64;
    assert!(missed > 0);
    let last_lane = told.iter().rfind(|one| one.kind == "lane").unwrap();
    assert_eq!(came + missed, last_lane.id, "none is missed untold");
    assert_eq!(last_lane.id, 3000);
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_only_so_many_streams_and_one_that_ends_makes_room() {
    let relay = TestRelay::start(PLAIN).await;
    let mut readers = Vec::new();
    for _ in 0..32 {
        readers.push(Reader::open(&relay).await);
    }
    let mut refused = Reader::ask(&relay).await;
    let answer = refused.until("\"reason\":\"streams\"").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    readers.pop();
    let room = async {
        let mut reader = Reader::ask(&relay).await;
        while !reader.until("\n\n").await.starts_with("HTTP/1.1 200 ") {
            reader = Reader::ask(&relay).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, room).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_ends_the_streams_after_their_last_news() {
    let relay = TestRelay::start(PLAIN).await;
    let mut reader = Reader::open(&relay).await;
    let gate = relay.receivers.hold();
    relay.post("jobmojito", submitted("a", 1.0)).await;
    relay.receivers.arrived(1).await;
    let stopping = relay.stop();
    tokio::pin!(stopping);
    assert!(futures_util::poll!(&mut stopping).is_pending());
    gate.add_permits(1);
    let (ended, _remains) = stopping.await;
    assert_eq!(ended, Ended::Clean);
    reader.read_it_all().await;
    assert!(reader.text.contains("\"delivered\""), "{}", reader.text);
    assert!(reader.text.ends_with("0\n\n"), "the body ends in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_does_not_wait_for_a_reader_that_takes_nothing() {
    let relay = TestRelay::start(PLAIN).await;
    let _reader = Reader::open(&relay).await;
    say_too_much(&relay);
    // A peer that takes nothing of an ordinary answer is given ten seconds.
    let stopped = tokio::time::timeout(Duration::from_secs(8), relay.stop()).await;
    let (ended, _remains) = stopped.expect("it does not wait");
    assert_eq!(ended, Ended::Clean);
}
