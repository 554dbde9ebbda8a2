//! `relay serve` on `PostgreSQL`: from a post to its delivery, over a restart, and while the database is gone.

use http::Method;
use mojito_relay::store::postgres::{PostgresUrl, Target};
use mojito_relay::store::sqlite::Source;
use mojito_relay::store::transfer;
use mojito_relay::transport::{Answer, NetworkTransport};
use serde_json::Value;

use crate::cli::run;
use crate::postgres::Cluster;
use crate::process::{Folder, Process, get, request};
use crate::receiver::Receiver;

async fn folder(receiver: &std::sync::Arc<Receiver>) -> Folder {
    let address = receiver.listen().await;
    Folder::new(&format!(
        "[store]\nurl = {{ env = \"DATABASE\" }}\n[reload]\nwatch = false\n[sources.jobmojito]\nauth = \"none\"\n\
         [destinations.app]\nurl = \"http://{address}/in\"\n[[routes]]\nto = [\"app\"]\n"
    ))
}

fn start(folder: &Folder, url: &str) -> Process {
    let started = Process::start_in(folder.path(), &[("DATABASE", url)]);
    started.unwrap_or_else(|(status, log)| panic!("it ended with {status}: {log}"))
}

async fn post(process: &Process, subject: &str) -> Answer {
    let url = format!("http://{}/hooks/jobmojito", process.ingress);
    let body = format!(
        r#"{{"id":"{subject}","status":"active","interview_status":"completed","score":1}}"#
    );
    let network = NetworkTransport::default();
    request(&network, Method::POST, &url, body.into())
        .await
        .unwrap()
}

async fn readiness(process: &Process) -> u16 {
    let url = format!("http://{}/readyz", process.admin);
    let network = NetworkTransport::default();
    let answer = request(&network, Method::GET, &url, "".into()).await;
    answer.unwrap().status.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_on_a_database_delivers_and_knows_everything_after_a_restart() {
    let cluster = Cluster::start();
    let receiver = Receiver::failing(2);
    let folder = folder(&receiver).await;
    let url = cluster.url();
    let process = start(&folder, &url);
    for subject in ["s-1", "s-2", "s-1"] {
        let answer = post(&process, subject).await;
        assert!(answer.status.is_success(), "{answer:?}");
    }
    receiver
        .until(|receiver| !receiver.taken().is_empty())
        .await;
    process.signal("TERM");
    let (status, log) = process.ended();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("sesame"), "{log}");
    let process = start(&folder, &url);
    receiver.until(|receiver| receiver.taken().len() == 2).await;
    while get(&process, "/api/v1/status").await["counts"]["delivered"] != 2 {}
    let events = get(&process, "/api/v1/events").await;
    assert_eq!(events["items"].as_array().unwrap().len(), 2);
    let again: Value = serde_json::from_slice(&post(&process, "s-2").await.body).unwrap();
    assert_eq!(again["duplicate"], true);
    let shown = get(&process, "/api/v1/status").await.to_string();
    assert!(!shown.contains("sesame"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_gone_a_relay_says_so_and_then_goes_on() {
    let cluster = Cluster::start();
    let receiver = Receiver::failing(0);
    let folder = folder(&receiver).await;
    let process = start(&folder, &cluster.url());
    assert_eq!(post(&process, "s-1").await.status.as_u16(), 202);
    receiver.until(|receiver| receiver.taken().len() == 1).await;
    cluster.stop();
    for subject in ["s-2", "s-3"] {
        let answer = post(&process, subject).await;
        assert_eq!(answer.status.as_u16(), 503);
        assert!(answer.headers.contains_key("retry-after"));
        let told = String::from_utf8(answer.body.to_vec()).unwrap();
        assert!(!told.contains("sesame"), "{told}");
    }
    assert_eq!(readiness(&process).await, 503);
    cluster.go_on();
    assert_eq!(post(&process, "s-2").await.status.as_u16(), 202);
    assert_eq!(readiness(&process).await, 200);
    receiver.until(|receiver| receiver.taken().len() == 2).await;
    assert!(!process.said().contains("sesame"));
    let lines = process.said().lines().count();
    assert!(lines < 60, "{lines} lines: {}", process.said());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_deliveries_did_while_the_database_was_gone_is_recorded_once_it_is_back() {
    let cluster = Cluster::start();
    let receiver = Receiver::gated();
    let folder = folder(&receiver).await;
    let process = start(&folder, &cluster.url());
    assert_eq!(post(&process, "s-1").await.status.as_u16(), 202);
    receiver
        .until(|receiver| receiver.arrived().len() == 1)
        .await;
    cluster.stop();
    receiver.let_go(1);
    receiver.until(|receiver| receiver.taken().len() == 1).await;
    cluster.go_on();
    while get(&process, "/api/v1/status").await["counts"]["delivered"] != 1 {}
    assert_eq!(receiver.arrived().len(), 1, "it was sent once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_checked_without_being_changed_and_backed_up_by_itself() {
    let cluster = Cluster::start();
    let url = cluster.url();
    let receiver = Receiver::failing(0);
    let folder = folder(&receiver).await;
    let text = std::fs::read_to_string(folder.file("relay.toml")).unwrap();
    folder.write("url", &url);
    folder.write(
        "relay.toml",
        &text.replace("env = \"DATABASE\"", "file = \"url\""),
    );
    let online = || run(folder.path(), &["check", "--online"]);
    let (_, told) = online();
    assert!(told.contains("can be made"), "{told}");
    let (_, told) = online();
    assert!(told.contains("can be made"), "{told}");
    Process::start(folder.path()).kill();
    let (_, told) = online();
    assert!(told.contains("is there"), "{told}");
    let (code, told) = run(folder.path(), &["backup", "copy.db"]);
    assert_eq!(code, 1);
    assert!(told.contains("pg_dump"), "{told}");
    cluster.stop();
    let (code, told) = online();
    assert_eq!(code, 1);
    assert!(!told.contains("sesame"), "{told}");
}

/// What was taken on a file goes out from the database: once, and nothing of it is forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_moved_from_a_file_into_a_database_between_two_runs() {
    let cluster = Cluster::start();
    let receiver = Receiver::gated();
    let folder = folder(&receiver).await;
    let (file, url) = ("sqlite:data/relay.db", cluster.url());
    let process = start(&folder, file);
    for subject in ["s-1", "s-2"] {
        assert_eq!(post(&process, subject).await.status.as_u16(), 202);
    }
    let command = ["migrate-store", "--from", file, "--to", &url];
    let (code, told) = run(folder.path(), &command);
    assert_eq!(code, 1);
    assert!(told.contains("already uses this store"), "{told}");
    process.kill();

    let (code, told) = run(folder.path(), &command);
    assert_eq!(code, 0, "{told}");
    for words in [
        "2 events, 2 deliveries",
        "the same on both sides",
        " %, at ",
        "Never start a relay on it again",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(!told.contains("sesame"), "{told}");
    let (code, told) = run(folder.path(), &command);
    assert_eq!(code, 1);
    assert!(told.contains("nothing is left to move"), "{told}");
    assert!(!told.contains("sesame"), "{told}");
    for bad in ["postgres://relay:sesame@/", "mysql://relay:sesame@db/relay"] {
        let (code, told) = run(
            folder.path(),
            &["migrate-store", "--from", file, "--to", bad],
        );
        assert_eq!(code, 1, "{told}");
        assert!(!told.contains("sesame"), "{told}");
    }

    let process = start(&folder, &url);
    receiver.let_go(9);
    while get(&process, "/api/v1/status").await["counts"]["delivered"] != 2 {}
    let again: Value = serde_json::from_slice(&post(&process, "s-2").await.body).unwrap();
    assert_eq!(again["duplicate"], true);
    process.kill();
    cluster.stop();
    let (code, told) = run(folder.path(), &command);
    assert_eq!(code, 1);
    assert!(!told.contains("sesame"), "{told}");
}

/// Begins to move a file, and leaves off at the third table.
async fn half_moved(file: &std::path::Path, url: &str) {
    let source = Source::open(file, mojito_relay::app::system_clock()).unwrap();
    let mut target = Target::open(&PostgresUrl::parse(url).unwrap())
        .await
        .unwrap();
    let (enough, mut told) = (tokio::sync::Notify::new(), 0);
    let mut tell = |_| {
        told += 1;
        if told == 3 {
            enough.notify_one();
        }
    };
    tokio::select! {
        biased;
        () = enough.notified() => {}
        done = transfer(&source, &mut target, &mut tell) => panic!("{done:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_does_not_start_on_a_store_that_is_half_there() {
    let cluster = Cluster::start();
    let url = cluster.url();
    let receiver = Receiver::failing(0);
    let folder = folder(&receiver).await;
    let process = start(&folder, "sqlite:data/relay.db");
    assert_eq!(post(&process, "s-1").await.status.as_u16(), 202);
    process.kill();
    half_moved(&folder.file("data/relay.db"), &url).await;
    let started = Process::start_in(folder.path(), &[("DATABASE", &url)]);
    let (status, log) = started.err().expect("it does not start");
    assert_eq!(status.code(), Some(1), "{log}");
    for words in ["is not all there", "relay migrate-store"] {
        assert!(log.contains(words), "{log}");
    }
    let from = ["migrate-store", "--from", "sqlite:data/relay.db", "--to"];
    let (code, told) = loop {
        let (code, told) = run(folder.path(), &[&from[..], &[&url]].concat());
        // The reader of what was left off may not have ended yet.
        if !told.contains("already uses this store") {
            break (code, told);
        }
    };
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("from an earlier try"), "{told}");
    drop(start(&folder, &url));
}
