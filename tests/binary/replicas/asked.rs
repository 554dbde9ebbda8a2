//! What operators ask of any relay, wherever the lane is: pausing, discarding, erasing, jobs; and what they are shown.

use std::fmt::Write as _;
use std::time::Duration;

use http::{Method, StatusCode};
use mojito_relay::transport::{Answer, NetworkTransport};
use serde_json::{Value, json};

use super::till::Till;
use crate::cli::run;
use crate::postgres::Cluster;
use crate::process::{Folder, PATIENCE, Process, get, request};
use crate::receiver::Receiver;

/// Enough that each relay has one, whatever the draw: with 8, both have some in all but one of 128 starts.
const LANES: usize = 8;

/// Relays with many lanes to one receiver.
struct Office {
    _cluster: Cluster,
    url: String,
    folder: Folder,
    all: Vec<Process>,
}

impl Office {
    async fn open(address: std::net::SocketAddr) -> Self {
        let cluster = Cluster::start();
        let url = cluster.url();
        let mut toml = "[store]\nurl = { env = \"DATABASE\" }\n[reload]\nwatch = false\n[sources.jobmojito]\nauth = \"none\"\n"
            .to_owned();
        let names: Vec<String> = (0..LANES).map(|n| format!("lane-{n}")).collect();
        for name in &names {
            write!(
                toml,
                "[destinations.{name}]\nurl = \"http://{address}/{name}\"\n"
            )
            .unwrap();
        }
        write!(toml, "[[routes]]\nto = {names:?}\n").unwrap();
        let mut office = Self {
            _cluster: cluster,
            url,
            folder: Folder::new(&toml),
            all: Vec::new(),
        };
        // A draw that gives everything to one says nothing: another relay draws anew.
        office.join();
        loop {
            office.join();
            let owners = office.settled().await;
            if (0..2).all(|at| owners.iter().any(|owner| *owner == office.name(at))) {
                return office;
            }
            let unlucky = office.all.pop().unwrap();
            unlucky.signal("TERM");
            unlucky.ended();
        }
    }

    fn join(&mut self) {
        let started = Process::start_in(self.folder.path(), &[("DATABASE", &self.url)]);
        let started =
            started.unwrap_or_else(|(status, log)| panic!("it ended with {status}: {log}"));
        self.all.push(started);
    }

    /// The end of a relay's name.
    fn name(&self, at: usize) -> String {
        format!("/{}", self.all[at].id())
    }

    /// Each lane's owner, by the end of its name, once all have one and all relays have their share.
    async fn settled(&self) -> Vec<String> {
        let mut before = None;
        loop {
            let status = get(&self.all[0], "/api/v1/status").await;
            let alive = status["replicas"].as_array().unwrap().iter();
            let alive = alive.filter(|one| one["alive"] == true).count();
            let owners: Vec<String> = lanes(&status)
                .iter()
                .filter_map(|lane| {
                    Some(format!("/{}", lane["owner"].as_str()?.rsplit_once('/')?.1))
                })
                .collect();
            if owners.len() == LANES && alive == self.all.len() && before.as_ref() == Some(&owners)
            {
                return owners;
            }
            before = Some(owners);
            // Longer than a relay takes to see that another came or went.
            tokio::time::sleep(Duration::from_millis(1_600)).await;
        }
    }

    /// A lane that the relay at `at` has.
    async fn lane_of(&self, at: usize) -> String {
        let owners = self.settled().await;
        let place = owners.iter().position(|owner| *owner == self.name(at));
        format!("lane-{}", place.expect("it has one"))
    }

    async fn post(&self, at: usize, path: &str, body: Value) -> Answer {
        let url = format!("http://{}{path}", self.all[at].admin);
        let network = NetworkTransport::default();
        let body = body.to_string().into();
        request(&network, Method::POST, &url, body).await.unwrap()
    }

    async fn send(&self, at: usize, subject: &str) {
        let url = format!("http://{}/hooks/jobmojito", self.all[at].ingress);
        let body = format!(
            r#"{{"id":"{subject}","status":"active","interview_status":"completed","score":1}}"#
        );
        let network = NetworkTransport::default();
        let answer = request(&network, Method::POST, &url, body.into()).await;
        assert_eq!(answer.unwrap().status, StatusCode::ACCEPTED);
    }

    /// Waits until a relay's status is so.
    async fn until(&self, at: usize, what: &str, is: impl Fn(&Value) -> bool) {
        let waiting = async {
            while !is(&get(&self.all[at], "/api/v1/status").await) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let over = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(over.is_ok(), "waited in vain for {what}");
    }
}

fn lanes(status: &Value) -> &Vec<Value> {
    status["destinations"].as_array().unwrap()
}

fn state(status: &Value, lane: &str) -> String {
    let found = lanes(status).iter().find(|one| one["name"] == lane);
    found.unwrap()["state"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn whichever_relay_is_asked_the_one_that_has_the_lane_obeys() {
    let (till, address) = Till::open().await;
    let office = Office::open(address).await;
    let lane = office.lane_of(1).await;
    let answer = office
        .post(
            0,
            &format!("/api/v1/destinations/{lane}/pause"),
            json!(null),
        )
        .await;
    let told: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        (answer.status.as_u16(), &told["done"]),
        (200, &json!(true)),
        "{told}"
    );
    assert_eq!(told["state"], "paused");
    for at in 0..2 {
        let status = get(&office.all[at], "/api/v1/status").await;
        assert_eq!(state(&status, &lane), "paused");
    }
    // Taken by one, delivered by the other, but for the lane that is paused.
    office.send(0, "s-1").await;
    till.until("what is not paused", |taken| taken.len() == LANES - 1)
        .await;
    let (code, told) = run(
        office.folder.path(),
        &[
            "status",
            "--admin",
            &format!("http://{}", office.all[0].admin),
        ],
    );
    assert_eq!(code, 0, "{told}");
    assert!(
        told.contains("does upkeep") && told.contains("DELIVERS TO"),
        "{told}"
    );
    discarded_and_replayed(&office, &till, &lane).await;
    jobs_of_both(&office, &till).await;
}

/// Of a lane that the other relay has, and that is paused.
async fn discarded_and_replayed(office: &Office, till: &Till, lane: &str) {
    let waits = get(
        &office.all[0],
        &format!("/api/v1/deliveries?destination={lane}"),
    )
    .await;
    let id = waits["items"][0]["id"].as_str().unwrap().to_owned();
    let answer = office
        .post(0, &format!("/api/v1/deliveries/{id}/discard"), json!(null))
        .await;
    assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
    // And replayed from elsewhere, once it goes on.
    let answer = office
        .post(
            0,
            &format!("/api/v1/destinations/{lane}/resume"),
            json!(null),
        )
        .await;
    let told: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        (&told["done"], &told["state"]),
        (&json!(true), &json!("healthy"))
    );
    let answer = office
        .post(0, &format!("/api/v1/deliveries/{id}/replay"), json!({}))
        .await;
    assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
    till.until("the replay", |taken| taken.len() == LANES).await;
}

/// Jobs are the one's that does upkeep, whoever is asked.
async fn jobs_of_both(office: &Office, till: &Till) {
    for at in 0..2 {
        office
            .until(at, "the last record", |status| {
                status["counts"]["delivered"] == LANES
            })
            .await;
        let all = json!({"filter": {"state": "delivered"}});
        let answer = office.post(at, "/api/v1/replay", all).await;
        assert!(answer.status.is_success(), "{answer:?}");
        let job: Value = serde_json::from_slice(&answer.body).unwrap();
        office
            .until(1 - at, "the job", |status| {
                let mut jobs = status["jobs"].as_array().unwrap().iter();
                jobs.all(|running| running["id"] != job["id"])
            })
            .await;
        till.until("the job's deliveries", |taken| {
            taken.len() >= (at + 2) * LANES
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_waits_for_what_another_relay_has_under_way() {
    let receiver = Receiver::gated();
    let address = receiver.listen().await;
    let office = Office::open(address).await;
    office.send(0, "s-1").await;
    receiver
        .until(|receiver| receiver.arrived().len() == LANES)
        .await;
    let erasing = office.post(0, "/api/v1/erase", json!({"subject": "s-1"}));
    tokio::pin!(erasing);
    // All but what the other has: the erasure is not over.
    let early = tokio::time::timeout(Duration::from_secs(3), &mut erasing).await;
    assert!(early.is_err(), "{early:?}");
    receiver.let_go(LANES);
    let answer = erasing.await;
    assert_eq!(answer.status.as_u16(), 200);
    let receipt: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(receipt["attempts"], LANES, "{receipt}");
    assert_eq!(receiver.arrived().len(), LANES);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_ends_in_order_leaves_its_lanes_at_once() {
    let (till, address) = Till::open().await;
    let mut office = Office::open(address).await;
    let leaver = office.all.pop().unwrap();
    leaver.signal("TERM");
    let (status, log) = leaver.ended();
    assert_eq!(status.code(), Some(0), "{log}");
    let name = office.name(0);
    office
        .until(0, "all lanes", |status| {
            let owner = |lane: &Value| {
                lane["owner"]
                    .as_str()
                    .is_some_and(|owner| owner.ends_with(&name))
            };
            lanes(status).iter().all(owner)
        })
        .await;
    office.send(0, "s-1").await;
    till.until("everything", |taken| taken.len() == LANES).await;
    let status = get(&office.all[0], "/api/v1/status").await;
    assert_eq!(status["replicas"].as_array().unwrap().len(), 1, "{status}");
    assert_eq!(status["replicas"][0]["upkeep"], true);
}
