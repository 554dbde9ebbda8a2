//! What happens to one delivery at a vendor, as a row of a table: what is odd about it, and how it ends.

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;
use mojito_relay::clock::Clock as _;
use mojito_relay::model::{State, after};
use serde_json::{Value, json};

use super::fake::{Fake, Reply, Twist, Vendor};
use crate::harness::{TestRelay, sample};

/// The operator's credential in every scenario.
pub const SECRET: &str = "s3cret-of-the-test-4711";

/// The client of that credential, where there is one.
pub const CLIENT: &str = "client-of-the-test-0815";

/// `api_key` as the operator writes it.
pub const KEY: &str = "{ env = \"KEY\" }";

/// After so long every rate has a slot.
pub const SLOT: Duration = Duration::from_secs(2);

/// A preset at its fake.
pub trait Preset: Vendor + Default {
    const NAME: &'static str;
    /// A candidate that the fake knows.
    const CANDIDATE: &'static str;
    /// The keys that the operator writes, given where the fake listens.
    fn keys(origin: &str) -> Vec<(&'static str, String)>;
}

/// One row.
#[derive(Debug)]
pub struct Scenario {
    name: String,
    keys: Vec<(&'static str, String)>,
    candidate: Option<Value>,
    twists: Vec<Twist>,
    state: State,
    lane: &'static str,
    attempts: usize,
    requests: Option<usize>,
    says: String,
    receipt: Option<String>,
    waits: Option<std::ops::RangeInclusive<i64>>,
}

/// A row that expects one attempt that is accepted.
pub fn case(name: &str) -> Scenario {
    Scenario {
        name: name.to_owned(),
        keys: Vec::new(),
        candidate: None,
        twists: Vec::new(),
        state: State::Delivered,
        lane: "healthy",
        attempts: 1,
        requests: None,
        says: String::new(),
        receipt: None,
        waits: None,
    }
}

impl Scenario {
    /// The operator writes this key, too, or otherwise. `ORIGIN` is where the fake is.
    pub fn key(mut self, key: &'static str, value: &str) -> Self {
        self.keys.push((key, value.to_owned()));
        self
    }

    /// The event has this in `candidate_external_id`.
    pub fn candidate(mut self, id: impl Into<Value>) -> Self {
        self.candidate = Some(id.into());
        self
    }

    /// This happens to the next request.
    pub fn then(mut self, twist: Twist) -> Self {
        self.twists.push(twist);
        self
    }

    /// The next request gets this answer.
    pub fn answered(self, reply: Reply) -> Self {
        self.then(Twist::Say(reply))
    }

    /// Dead at once, the reason begins so.
    pub fn dead(mut self, says: &str) -> Self {
        self.state = State::Dead;
        says.clone_into(&mut self.says);
        self
    }

    /// The lane is blocked and keeps it; the reason begins so.
    pub fn blocked(mut self, says: &str) -> Self {
        self.state = State::Waiting;
        self.lane = "blocked";
        says.clone_into(&mut self.says);
        self
    }

    /// The first attempt's reason begins so, and a second one after that many seconds is accepted.
    pub fn again(mut self, waits: std::ops::RangeInclusive<i64>, says: &str) -> Self {
        self.attempts += 1;
        self.waits = Some(waits);
        says.clone_into(&mut self.says);
        self
    }

    /// It waits for its next attempt; the reason begins so.
    pub fn waits(mut self, says: &str) -> Self {
        self.state = State::Waiting;
        says.clone_into(&mut self.says);
        self
    }

    /// So many requests arrive: not one for each attempt.
    pub fn requests(mut self, count: usize) -> Self {
        self.requests = Some(count);
        self
    }

    /// Accepted with a warning that begins so.
    pub fn warned(mut self, says: &str) -> Self {
        says.clone_into(&mut self.says);
        self
    }

    /// What is kept of the answer.
    pub fn receipt(mut self, value: &str) -> Self {
        self.receipt = Some(value.to_owned());
        self
    }

    fn payload(&self, candidate: &str) -> String {
        let mut payload: Value = serde_json::from_str(sample("submitted-rich")).unwrap();
        payload["candidate_external_id"] = match &self.candidate {
            Some(candidate) => candidate.clone(),
            None => json!(candidate),
        };
        payload.to_string()
    }

    async fn play<P: Preset>(self) {
        let at = format!("{}: {}", P::NAME, self.name);
        let fake = Fake::start(P::default(), self.twists.clone()).await;
        let own: Vec<_> = self
            .keys
            .iter()
            .map(|(key, value)| (*key, value.replace("ORIGIN", &fake.origin())))
            .collect();
        let toml = configuration(P::NAME, P::keys(&fake.origin()), &own);
        let mut relay = started(&toml, &fake).await;
        let taken = relay
            .post("jobmojito", self.payload(P::CANDIDATE))
            .await
            .json();
        for count in 1..=self.attempts {
            if count > 1 {
                next_try(&relay).await;
            }
            relay.attempts(count).await;
        }
        let made = relay.attempts(self.attempts).await;
        let (first, last) = (&made[0], &made[made.len() - 1]);
        assert_eq!(last.state, self.state, "{at}: {}", last.reason);
        assert!(
            first.reason.starts_with(&self.says),
            "{at}: {}",
            first.reason
        );
        if self.says.is_empty() {
            assert_eq!(last.reason, "", "{at}");
        }
        if let Some(expected) = &self.waits {
            let waited = made[1].at.as_second() - first.at.as_second();
            assert!(expected.contains(&waited), "{at}: {waited} s");
        }
        let status = relay.get("/api/v1/status").await.json();
        assert_eq!(status["destinations"][0]["state"], self.lane, "{at}");
        let seen = fake.seen();
        assert_eq!(seen.len(), self.requests.unwrap_or(self.attempts), "{at}");
        let ids: HashSet<&str> = seen
            .iter()
            .map(|asked| asked.header("webhook-id"))
            .collect();
        assert!(ids.len() <= 1 && !ids.contains(""), "{at}: {ids:?}");
        if let Some(receipt) = &self.receipt {
            assert_eq!(relay.receipts(), [receipt.as_str()], "{at}");
        }
        let event = format!("/api/v1/events/{}", taken["id"].as_str().unwrap());
        for page in [&event, "/api/v1/status", "/metrics"] {
            let shown = relay.get(page).await.body;
            let shown = String::from_utf8_lossy(&shown);
            assert!(!shown.contains(SECRET), "{at}: {shown}");
        }
    }
}

/// Plays each row, and those that no vendor is spared.
pub async fn play<P: Preset>(rows: impl IntoIterator<Item = Scenario>) {
    for row in rows.into_iter().chain(anywhere()) {
        row.play::<P>().await;
    }
}

/// What can happen at any vendor.
fn anywhere() -> Vec<Scenario> {
    let echo = format!(r#"{{"message":"what is {SECRET}?"}}"#);
    let echo = |status| Reply::of(status, "application/json", echo.clone());
    let moved = Reply::empty(302).header("location", format!("https://login.test/{SECRET}"));
    vec![
        case("slow")
            .key("timeout", "\"300ms\"")
            .then(Twist::Slow)
            .waits("no answer within 300ms"),
        case("reset after the body was read")
            .then(Twist::Reset)
            .again(5..=6, "the connection broke"),
        case("a redirect")
            .answered(moved)
            .dead("302 Found: points to login.test; redirects are not followed"),
        case("an error that echoes the secret")
            .answered(echo(400))
            .dead("400 Bad Request: what is •••?"),
        case("a failure that echoes the secret")
            .answered(echo(502))
            .again(5..=6, "502 Bad Gateway: what is •••?"),
        case("busy, with a time")
            .answered(Reply::empty(503).header("retry-after", 31))
            .again(31..=31, "503 Service Unavailable"),
    ]
}

/// relay.toml for one destination: the vendor's keys, and a row's over them.
pub fn configuration(
    preset: &str,
    mut keys: Vec<(&'static str, String)>,
    over: &[(&'static str, String)],
) -> String {
    for (key, value) in over {
        keys.retain(|(known, _)| known != key);
        keys.push((key, value.clone()));
    }
    let lines: Vec<String> = keys
        .iter()
        .map(|(key, value)| format!("{key} = {value}"))
        .collect();
    format!(
        "[sources.jobmojito]\nauth = \"none\"\n[destinations.vendor]\npreset = \"{preset}\"\n{}\n\
         [[routes]]\nevents = [\"*\"]\nto = [\"vendor\"]\n",
        lines.join("\n")
    )
}

/// A relay whose rates have their first slot.
pub async fn started(toml: &str, fake: &Fake) -> TestRelay {
    let hook = format!("{}/services/T0001/B0001/{SECRET}", fake.origin());
    let environment = [
        ("KEY", SECRET.to_owned()),
        ("CLIENT", CLIENT.to_owned()),
        ("SLACK_WEBHOOK_URL", hook),
    ];
    let relay = TestRelay::start_on_the_network(toml, &environment).await;
    relay.advance(Duration::from_mins(1));
    relay
}

/// Lets the time come when the lane sends again, and its rate a slot.
pub async fn next_try(relay: &TestRelay) {
    let status = relay.get("/api/v1/status").await.json();
    let lane = &status["destinations"][0];
    let due = crate::harness::attempts(&relay.log).last();
    let due: Option<Timestamp> = due.and_then(|last| last.due_at);
    let times = ["held_until", "next_probe"].map(|key| lane[key].as_str().map(str::parse));
    let times = times
        .into_iter()
        .flatten()
        .map(|time| time.expect("a time"));
    let due = times.chain(due).max().expect("it waits for something");
    relay.advance(after(relay.clock.now(), due).max(SLOT));
}

/// Posts a sample whose candidate the fake knows.
pub async fn post<P: Preset>(relay: &TestRelay, name: &str) {
    let mut payload: Value = serde_json::from_str(sample(name)).unwrap();
    payload["candidate_external_id"] = P::CANDIDATE.into();
    relay.post("jobmojito", payload.to_string()).await;
}
