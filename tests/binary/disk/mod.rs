//! Faults of the disk below a relay at work: it refuses with 503 and says why, keeps what it acknowledged,
//! and goes on by itself once the fault has passed.

mod full;
mod shim;

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use mojito_relay::transport::{Answer, NetworkTransport};
use serde_json::Value;

use crate::process::{Folder, PATIENCE, Process, get, relay, request};
use crate::receiver::Receiver;
use shim::{Disk, Fault};

/// A relay, what it is set up with, and what it has acknowledged.
pub struct Scene {
    pub folder: Folder,
    pub receiver: Arc<Receiver>,
    acknowledged: Vec<(String, Bytes)>,
    posted: usize,
}

impl Scene {
    pub async fn new() -> Self {
        let receiver = Receiver::failing(0);
        let folder = Folder::new(&format!(
            "[sources.jobmojito]\nauth = \"none\"\n[destinations.app]\nurl = \"http://{}/in\"\n\
             [[routes]]\nto = [\"app\"]\n",
            receiver.listen().await
        ));
        Self {
            folder,
            receiver,
            acknowledged: Vec::new(),
            posted: 0,
        }
    }

    /// Posts a new subject.
    pub async fn post(&mut self, process: &Process) -> Answer {
        self.posted += 1;
        let body = Bytes::from(format!(
            r#"{{"id":"s-{}","status":"active","interview_status":"completed","text":"{:0>2000}"}}"#,
            self.posted, self.posted
        ));
        let url = format!("http://{}/hooks/jobmojito", process.ingress);
        let network = NetworkTransport::default();
        let answer = request(&network, Method::POST, &url, body.clone()).await;
        let answer = answer.unwrap();
        if answer.status == 202 {
            let told: Value = serde_json::from_slice(&answer.body).unwrap();
            let id = told["id"].as_str().unwrap().to_owned();
            self.acknowledged.push((id, body));
        }
        answer
    }

    /// Posts so many, which are all taken.
    pub async fn takes(&mut self, process: &Process, count: usize) {
        for _ in 0..count {
            let answer = self.post(process).await;
            assert_eq!(answer.status, 202, "{:?}", answer.body);
        }
    }

    /// Nothing is taken; sender and operator are told what they have to know.
    pub async fn refuses(&mut self, process: &Process, why: &str) {
        let answer = self.post(process).await;
        assert_eq!(answer.status, 503, "{:?}", answer.body);
        let wait = answer.headers["retry-after"].to_str().unwrap();
        assert!(wait.parse::<u64>().unwrap() >= 1);
        self.is_not_ready(process, why).await;
        let alive = ask(process, "/healthz").await;
        assert_eq!(alive.status, 200, "it waits for the disk, it is not broken");
    }

    pub async fn is_not_ready(&self, process: &Process, why: &str) {
        let ready = ask(process, "/readyz").await;
        assert_eq!(ready.status, 503);
        let told: Value = serde_json::from_slice(&ready.body).unwrap();
        let detail = told["detail"].as_str().unwrap();
        assert!(detail.contains(why), "{detail}");
        assert!(
            !detail.contains("relay.db"),
            "it is open to everybody: {detail}"
        );
    }

    /// What `relay status` prints.
    pub fn status(&self, process: &Process) -> String {
        let admin = format!("http://{}", process.admin);
        let mut command = relay(self.folder.path());
        let output = command.args(["status", "--admin", &admin]).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    }

    /// Everything that was acknowledged is found in the store.
    pub async fn keeps_everything(&self, process: &Process) {
        for (id, body) in &self.acknowledged {
            let event = get(process, &format!("/api/v1/events/{id}")).await;
            let sent: Value = serde_json::from_slice(body).unwrap();
            assert_eq!(event["payload"], sent, "{event}");
        }
    }

    /// It goes on as if nothing had been, and what was acknowledged arrives.
    pub async fn goes_on(&mut self, process: &Process) {
        self.takes(process, 3).await;
        assert_eq!(ask(process, "/readyz").await.status, 200);
        self.keeps_everything(process).await;
        let wanted = &self.acknowledged;
        let arrived = |receiver: &Receiver| {
            let taken = receiver.taken();
            let has = |body: &Bytes| taken.iter().any(|one| one.body == *body);
            wanted.iter().all(|(_, body)| has(body))
        };
        self.receiver.until(arrived).await;
    }
}

pub async fn ask(process: &Process, path: &str) -> Answer {
    let url = format!("http://{}{path}", process.admin);
    let network = NetworkTransport::default();
    let answer = request(&network, Method::GET, &url, Bytes::new()).await;
    answer.unwrap()
}

/// The file is gone through once more before it is trusted again, at most once a second.
async fn is_ready_again(process: &Process) {
    let ready = async { while ask(process, "/readyz").await.status != 200 {} };
    tokio::time::timeout(PATIENCE, ready).await.unwrap();
}

fn start(scene: &Scene, disk: &Disk) -> Process {
    Process::start_in(scene.folder.path(), &disk.environment())
        .unwrap_or_else(|(status, log)| panic!("{status}: {log}"))
}

/// A fault of writing comes, goes, and comes again for a kill.
async fn no_write_succeeds(fault: Fault, why: &str, why_no_start: &str) {
    let mut scene = Scene::new().await;
    let disk = Disk::below(&scene.folder);
    let process = start(&scene, &disk);
    scene.takes(&process, 10).await;
    for _ in 0..2 {
        disk.is(fault);
        for _ in 0..15 {
            scene.refuses(&process, why).await;
        }
        let status = scene.status(&process);
        assert!(status.starts_with("The relay takes no events"), "{status}");
        assert!(status.contains(why), "{status}");
        scene.keeps_everything(&process).await;
        disk.is(Fault::None);
        scene.goes_on(&process).await;
    }
    let told = process.said().matches("event not taken").count();
    assert!(
        (1..30).contains(&told),
        "ten a minute, and not each: {told}"
    );
    disk.is(fault);
    scene.refuses(&process, why).await;
    process.kill();
    assert!(scene.folder.is_whole());
    let (status, said) = Process::start_in(scene.folder.path(), &disk.environment())
        .err()
        .expect("the fault is still there");
    assert_eq!(status.code(), Some(1));
    assert!(
        said.contains(why_no_start) && said.contains("relay.db"),
        "{said}"
    );
    disk.is(Fault::None);
    let process = start(&scene, &disk);
    scene.goes_on(&process).await;
    process.kill();
    assert!(scene.folder.is_whole());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_waited_out() {
    no_write_succeeds(Fault::Full, "the disk is full", "the disk is full").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_on_write_is_waited_out() {
    let why = "the disk reports an input/output error";
    no_write_succeeds(Fault::Write, why, "cannot be written").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_on_sync_is_waited_out() {
    let why = "the disk reports an input/output error";
    no_write_succeeds(Fault::Sync, why, why).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_became_read_only_is_waited_out() {
    no_write_succeeds(Fault::ReadOnly, "read-only", "Read-only file system").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_on_read_is_waited_out() {
    let mut scene = Scene::new().await;
    let disk = Disk::below(&scene.folder);
    let process = start(&scene, &disk);
    scene.takes(&process, 10).await;
    disk.is(Fault::Read);
    let why = "the disk cannot read it";
    // What needs no read may still be taken, and is kept then.
    for _ in 0..3 {
        let status = scene.post(&process).await.status.as_u16();
        assert!([202, 503].contains(&status), "{status}");
        scene.is_not_ready(&process, why).await;
    }
    assert_eq!(ask(&process, "/api/v1/events").await.status, 503);
    disk.is(Fault::None);
    is_ready_again(&process).await;
    scene.goes_on(&process).await;
    disk.is(Fault::Read);
    process.kill();
    let started = Process::start_in(scene.folder.path(), &disk.environment());
    let (status, said) = started.err().expect("it cannot be read");
    assert_eq!(status.code(), Some(1));
    let why = "the disk reports an input/output error";
    assert!(said.contains(why), "{said}");
    disk.is(Fault::None);
    scene.goes_on(&start(&scene, &disk)).await;
}

/// Lengths in the store's log: its head, and each page with a head of its own (`https://sqlite.org/walformat.html`).
const LOG_HEAD: usize = 32;
const LOG_FRAME: usize = 24 + 4096;

/// A sync that failed is not made good by the next one: the system may have dropped what was to be written, and
/// show it all the same until the power goes. What is acknowledged later must not come after it in the log.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_after_a_failed_sync_outlives_a_loss_of_power() {
    for killed in [false, true] {
        let mut scene = Scene::new().await;
        let disk = Disk::below(&scene.folder);
        let mut process = start(&scene, &disk);
        scene.takes(&process, 5).await;
        let log = scene.folder.file("data/relay.db-wal");
        let synced = std::fs::read(&log).unwrap();
        disk.is(Fault::Sync);
        scene
            .refuses(&process, "the disk reports an input/output error")
            .await;
        let doubtful = std::fs::read(&log).unwrap();
        disk.is(Fault::None);
        if killed {
            process.kill();
            process = start(&scene, &disk);
        }
        scene.takes(&process, 5).await;
        process.kill();
        // The power goes: of the log there is what was synced. A frame that was written anew is: its salt differs.
        let mut left = std::fs::read(&log).unwrap();
        let (_, frames) = left.split_at_mut(LOG_HEAD);
        for (number, frame) in frames.chunks_mut(LOG_FRAME).enumerate() {
            let at = LOG_HEAD + number * LOG_FRAME;
            let place = at..at + frame.len();
            let was = synced.get(place.clone());
            if doubtful.get(place) == Some(frame) && was != Some(frame) {
                match was {
                    Some(was) => frame.copy_from_slice(was),
                    None => frame.fill(0),
                }
            }
        }
        std::fs::write(&log, left).unwrap();
        scene.goes_on(&start(&scene, &disk)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_another_process_has_locked_is_waited_for() {
    let mut scene = Scene::new().await;
    let process = Process::start(scene.folder.path());
    scene.takes(&process, 3).await;
    let file = scene.folder.file("data/relay.db");
    let other = rusqlite::Connection::open(&file).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    scene
        .refuses(&process, "another process has locked it")
        .await;
    scene.keeps_everything(&process).await;
    other.execute_batch("ROLLBACK").unwrap();
    scene.goes_on(&process).await;
    process.kill();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (status, said) = Process::try_start(scene.folder.path())
        .err()
        .expect("it is locked");
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("another process has locked it"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_damaged_at_work_is_refused_until_a_backup_is_put_back() {
    let mut scene = Scene::new().await;
    let process = Process::start(scene.folder.path());
    scene.takes(&process, 60).await;
    scene.goes_on(&process).await;
    process.signal("TERM");
    assert!(process.ended().0.success());
    let file = scene.folder.file("data/relay.db");
    let backup = std::fs::read(&file).unwrap();
    let process = Process::start(scene.folder.path());
    let mut damaged = backup.clone();
    for page in damaged.chunks_mut(4096).skip(2) {
        page[..8].fill(0xff);
    }
    std::fs::write(&file, damaged).unwrap();
    let url = format!("/api/v1/events/{}", scene.acknowledged[0].0);
    assert_eq!(ask(&process, &url).await.status, 503);
    let answer = scene.post(&process).await;
    assert_eq!(answer.status, 503, "{:?}", answer.body);
    scene
        .is_not_ready(&process, "restore a backup made by `relay backup`")
        .await;
    assert_eq!(ask(&process, "/healthz").await.status, 200);
    process.kill();
    let (status, said) = Process::try_start(scene.folder.path())
        .err()
        .expect("it is damaged");
    assert_eq!(status.code(), Some(1));
    for words in ["relay.db", "cannot be trusted", "restore a backup made by"] {
        assert!(said.contains(words), "{said}");
    }
    for left in ["data/relay.db-wal", "data/relay.db-shm"] {
        drop(std::fs::remove_file(scene.folder.file(left)));
    }
    std::fs::write(&file, backup).unwrap();
    scene.goes_on(&Process::start(scene.folder.path())).await;
}
