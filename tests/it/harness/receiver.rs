//! Receivers by script: each host answers what it was told to, in order, and everything is kept.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use mojito_relay::transport::{Answer, Failure, FailureKind, Outgoing, Transport};
use serde_json::Value;
use tokio::sync::{Notify, Semaphore};

/// Every receiver that a relay under test can reach, by host.
#[derive(Default)]
pub struct Receivers {
    hosts: Mutex<HashMap<String, Script>>,
    seen: Mutex<Vec<Request>>,
    arrived: Notify,
    /// Where a test holds requests back: one permit lets one go.
    gate: Mutex<Option<std::sync::Arc<Semaphore>>>,
}

#[derive(Default)]
struct Script {
    next: VecDeque<Result<Answer, Failure>>,
    always: Option<Result<Answer, Failure>>,
}

/// A request that arrived.
#[derive(Clone, Debug)]
pub struct Request {
    pub host: String,
    pub method: http::Method,
    pub url: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// An answer with a status and a body.
pub fn answer(status: u16, body: &str) -> Answer {
    Answer {
        status: StatusCode::from_u16(status).expect("a status"),
        headers: HeaderMap::new(),
        body: Bytes::from(body.to_owned()),
        complete: true,
    }
}

impl Receivers {
    /// The next requests to `host` are answered so, one after the other; then it is 200 again.
    pub fn answer(&self, host: &str, answers: impl IntoIterator<Item = Answer>) {
        self.hosts
            .lock()
            .unwrap()
            .entry(host.to_owned())
            .or_default()
            .next
            .extend(answers.into_iter().map(Ok));
    }

    /// Once the script is over, every request to `host` is answered so.
    pub fn always(&self, host: &str, answer: Answer) {
        self.ever(host, Ok(answer));
    }

    fn ever(&self, host: &str, answer: Result<Answer, Failure>) {
        self.hosts
            .lock()
            .unwrap()
            .entry(host.to_owned())
            .or_default()
            .always = Some(answer);
    }

    /// Statuses as answers without a body.
    pub fn statuses(&self, host: &str, statuses: &[u16]) {
        self.answer(host, statuses.iter().map(|status| answer(*status, "")));
    }

    /// Nobody answers at `host`.
    pub fn down(&self, host: &str) {
        let failure = Failure {
            kind: FailureKind::Connect,
            message: "cannot connect: refused".to_owned(),
        };
        self.ever(host, Err(failure));
    }

    /// `host` answers 200 from now on.
    pub fn up(&self, host: &str) {
        self.hosts.lock().unwrap().remove(host);
    }

    /// From now on a request is answered only when the test gives it a permit.
    pub fn hold(&self) -> std::sync::Arc<Semaphore> {
        let gate = std::sync::Arc::new(Semaphore::new(0));
        *self.gate.lock().unwrap() = Some(gate.clone());
        gate
    }

    /// What arrived so far.
    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    /// What arrived at one host.
    pub fn seen_at(&self, host: &str) -> Vec<Request> {
        self.seen()
            .into_iter()
            .filter(|request| request.host == host)
            .collect()
    }

    /// Waits until so many requests have arrived in all.
    pub async fn arrived(&self, count: usize) -> Vec<Request> {
        loop {
            let arrived = self.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            let seen = self.seen();
            if seen.len() >= count {
                return seen;
            }
            arrived.await;
        }
    }
}

impl Request {
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub fn revision(&self) -> &str {
        self.header("relay-subject-revision")
    }
}

#[async_trait]
impl Transport for Receivers {
    async fn send(&self, request: Outgoing) -> Result<Answer, Failure> {
        let host = request.url.host_str().unwrap_or_default().to_owned();
        let seen = Request {
            host: host.clone(),
            method: request.method.clone(),
            url: request.url.to_string(),
            headers: request.headers,
            body: request.body,
        };
        self.seen.lock().unwrap().push(seen);
        self.arrived.notify_waiters();
        let gate = self.gate.lock().unwrap().clone();
        if let Some(gate) = gate {
            gate.acquire().await.expect("the gate stays").forget();
        }
        let mut hosts = self.hosts.lock().unwrap();
        let script = hosts.entry(host).or_default();
        script
            .next
            .pop_front()
            .or_else(|| script.always.clone())
            .unwrap_or_else(|| Ok(answer(200, "ok")))
    }

    fn reload(&self) {}
}
