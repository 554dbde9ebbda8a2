//! A receiver in the test's own process: it keeps what arrives and sometimes fails.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use mojito_relay::app;
use mojito_relay::http::body::{BodyBudget, BodyLimits, Inbound, read_body};
use mojito_relay::http::{Handler, Peer, Reply, Server, ServerLimits, Stop};
use serde_json::Value;
use tokio::sync::{Notify, Semaphore};
use tokio_util::task::TaskTracker;

use crate::process::PATIENCE;

/// Keeps what it takes.
#[derive(Default)]
pub struct Receiver {
    taken: Mutex<Vec<Taken>>,
    /// The ids of requests that arrived, whatever the answer.
    arrived: Mutex<Vec<String>>,
    news: Notify,
    /// Every so manieth request is answered with 503; 0 for none.
    fails: usize,
    /// Where a test holds requests back: one permit lets one go.
    gate: Option<Semaphore>,
}

/// A request that was answered with 200.
#[derive(Clone, Debug)]
pub struct Taken {
    pub webhook_id: String,
    pub revision: u32,
    pub subject: String,
    pub authorization: String,
    pub body: Bytes,
}

impl Receiver {
    pub fn failing(every: usize) -> Arc<Self> {
        Arc::new(Self {
            fails: every,
            ..Self::default()
        })
    }

    pub fn gated() -> Arc<Self> {
        Arc::new(Self {
            gate: Some(Semaphore::new(0)),
            ..Self::default()
        })
    }

    /// Lets so many requests go, now or later.
    pub fn let_go(&self, count: usize) {
        self.gate.as_ref().unwrap().add_permits(count);
    }

    /// Listens on a free port.
    pub async fn listen(self: &Arc<Self>) -> SocketAddr {
        let listener = app::listen(SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
            .unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::new(ServerLimits::admin(), None, app::system_clock());
        tokio::spawn(server.run(listener, self.clone(), Stop::default(), TaskTracker::new()));
        address
    }

    pub fn taken(&self) -> Vec<Taken> {
        self.taken.lock().unwrap().clone()
    }

    /// The `webhook-id` of every request that arrived, whatever the answer.
    pub fn arrived(&self) -> Vec<String> {
        self.arrived.lock().unwrap().clone()
    }

    /// Waits until `enough`, looking anew whenever something arrives or is answered.
    pub async fn until(&self, enough: impl Fn(&Self) -> bool) {
        let waiting = async {
            loop {
                let news = self.news.notified();
                tokio::pin!(news);
                news.as_mut().enable();
                if enough(self) {
                    return;
                }
                news.await;
            }
        };
        let over = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(
            over.is_ok(),
            "waited in vain; {} arrived, {} taken",
            self.arrived().len(),
            self.taken().len()
        );
    }

    /// By subject, the revisions in the order in which each was first taken.
    pub fn first_arrivals(&self) -> HashMap<String, Vec<u32>> {
        let mut arrivals: HashMap<String, Vec<u32>> = HashMap::new();
        for taken in self.taken() {
            let revisions = arrivals.entry(taken.subject).or_default();
            if !revisions.contains(&taken.revision) {
                revisions.push(taken.revision);
            }
        }
        arrivals
    }
}

#[async_trait]
impl Handler for Receiver {
    async fn handle(&self, request: Request<Inbound>, _peer: Peer) -> Response<Reply> {
        let (parts, body) = request.into_parts();
        let limits = BodyLimits {
            max_body: 1 << 20,
            deadline: PATIENCE,
        };
        let body = read_body(body, limits, &BodyBudget::new(8 << 20))
            .await
            .unwrap()
            .bytes;
        let header = |name: &str| {
            let value = parts.headers.get(name);
            value.map_or("", |value| value.to_str().unwrap()).to_owned()
        };
        let number = {
            let mut arrived = self.arrived.lock().unwrap();
            arrived.push(header("webhook-id"));
            arrived.len()
        };
        self.news.notify_waiters();
        if let Some(gate) = &self.gate {
            gate.acquire().await.unwrap().forget();
        }
        let mut response = Response::new(Reply::new("ok"));
        if self.fails > 0 && number.is_multiple_of(self.fails) {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            return response;
        }
        let parsed: Value = serde_json::from_slice(&body).unwrap();
        self.taken.lock().unwrap().push(Taken {
            webhook_id: header("webhook-id"),
            revision: header("relay-subject-revision").parse().unwrap(),
            subject: parsed["id"].as_str().unwrap().to_owned(),
            authorization: header("authorization"),
            body,
        });
        self.news.notify_waiters();
        response
    }
}
