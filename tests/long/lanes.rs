//! One lane that is dead is not felt by another: how long events take to a receiver that is well, from the post to
//! its arrival, in turns beside a receiver that is well and beside one that is dead, in one run.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, Response};
use mojito_relay::app;
use mojito_relay::clock::Clock;
use mojito_relay::http::body::{BodyBudget, BodyLimits, Inbound, read_body};
use mojito_relay::http::{Handler, Peer, Reply, Server, ServerLimits, Stop};
use mojito_relay::model::plus;
use mojito_relay::transport::NetworkTransport;
use serde_json::Value;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use crate::process::{Folder, Process, request};

/// Between two posts.
const PACE: Duration = Duration::from_millis(10);

/// Alternating, so that whatever else the machine does falls on both.
pub async fn long(rounds: u32, posts: u32) {
    let clock = app::system_clock();
    let dead = dead();
    let well = Arc::new(Receiver::new(clock.clone()));
    let beside = Arc::new(Receiver::new(clock.clone()));
    let (address, other) = (well.listen().await, beside.listen().await);
    let folders = [configuration(address, other), configuration(address, dead)];
    let processes = folders
        .each_ref()
        .map(|folder| Process::start(folder.path()));
    let mut took = [Vec::new(), Vec::new()];
    for round in 0..rounds {
        for (n, process) in processes.iter().enumerate() {
            let measured = well.measure(process, (round, n, posts), &*clock).await;
            // The first round opens the breaker.
            if round > 0 {
                took[n].push(Percentiles::of(measured));
            }
        }
    }
    let [well, dead] = took.map(|rounds| Percentiles::median(&rounds));
    let ratio = dead.slow.as_secs_f64() / well.slow.as_secs_f64();
    println!(
        "lanes: medians over rounds, beside one that is well {well}; beside a dead one {dead}; ratio of p99 \
         {ratio:.2} (at most 1.2)"
    );
    assert!(ratio <= 1.2, "{ratio}");
}

/// Of one round: a machine that was busy for a moment spoils that round, and not the figure.
#[derive(Clone, Copy)]
struct Percentiles {
    half: Duration,
    slow: Duration,
}

impl Percentiles {
    fn of(mut took: Vec<Duration>) -> Self {
        took.sort();
        Self {
            half: took[took.len() / 2],
            slow: took[took.len() * 99 / 100],
        }
    }

    fn median(rounds: &[Self]) -> Self {
        let middle = |figure: fn(&Self) -> Duration| {
            let mut figures: Vec<Duration> = rounds.iter().map(figure).collect();
            figures.sort();
            figures[figures.len() / 2]
        };
        Self {
            half: middle(|one| one.half),
            slow: middle(|one| one.slow),
        }
    }
}

impl std::fmt::Display for Percentiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "p50 {:.2?} p99 {:.2?}", self.half, self.slow)
    }
}

fn configuration(well: SocketAddr, other: SocketAddr) -> Folder {
    Folder::new(&format!(
        "[sources.jobmojito]\nauth = \"none\"\n[destinations.well]\nurl = \"http://{well}/in\"\n\
         [destinations.other]\nurl = \"http://{other}/in\"\ntimeout = \"2s\"\n\
         [[routes]]\nto = [\"well\", \"other\"]\n"
    ))
}

/// An address that takes connections and never says anything.
fn dead() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut taken = Vec::new();
        while let Ok((socket, _)) = listener.accept() {
            taken.push(socket);
        }
    });
    address
}

/// Takes everything, and remembers when.
struct Receiver {
    clock: Arc<dyn Clock>,
    arrived: Mutex<HashMap<String, Duration>>,
    news: Notify,
}

impl Receiver {
    fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            arrived: Mutex::default(),
            news: Notify::new(),
        }
    }

    async fn listen(self: &Arc<Self>) -> SocketAddr {
        let listener = app::listen(SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
            .unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::new(ServerLimits::admin(), None, app::system_clock());
        tokio::spawn(server.run(listener, self.clone(), Stop::default(), TaskTracker::new()));
        address
    }

    /// Posts at an even pace; how long each took to get here.
    async fn measure(
        &self,
        process: &Process,
        (round, relay, posts): (u32, usize, u32),
        clock: &dyn Clock,
    ) -> Vec<Duration> {
        let network = Arc::new(NetworkTransport::default());
        let url: Arc<str> = format!("http://{}/hooks/jobmojito", process.ingress).into();
        let mut begun = HashMap::new();
        let mut next = clock.now();
        for n in 0..posts {
            next = plus(next, PACE);
            clock.sleep_until(next).await;
            let id = format!("{relay}-{round}-{n}");
            begun.insert(id.clone(), clock.monotonic());
            let (network, url) = (network.clone(), url.clone());
            tokio::spawn(async move {
                let body = Bytes::from(format!(
                    r#"{{"id":"{id}","status":"active","interview_status":"completed","score":4.5}}"#
                ));
                let answer = request(&network, Method::POST, &url, body).await.unwrap();
                assert_eq!(answer.status, 202);
            });
        }
        let arrived = loop {
            let arrived = self.arrived.lock().unwrap().clone();
            if begun.keys().all(|id| arrived.contains_key(id)) {
                break arrived;
            }
            self.news.notified().await;
        };
        let took = begun
            .iter()
            .map(|(id, begun)| arrived[id].saturating_sub(*begun));
        took.collect()
    }
}

#[async_trait]
impl Handler for Receiver {
    async fn handle(&self, request: Request<Inbound>, _peer: Peer) -> Response<Reply> {
        let at = self.clock.monotonic();
        let limits = BodyLimits {
            max_body: 1 << 20,
            deadline: Duration::from_secs(10),
        };
        let budget = BodyBudget::new(8 << 20);
        let body = read_body(request.into_body(), limits, &budget);
        let body: Value = serde_json::from_slice(&body.await.unwrap().bytes).unwrap();
        let id = body["id"].as_str().unwrap().to_owned();
        self.arrived.lock().unwrap().insert(id, at);
        self.news.notify_one();
        Response::new(Reply::new("ok"))
    }
}
