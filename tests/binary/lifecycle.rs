//! Start, stop, reload and what a relay refuses.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use mojito_relay::transport::{Connection, NetworkTransport, Outgoing, Transport as _};
use rcgen::{CertificateParams, KeyPair};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::process::{Folder, PATIENCE, Process, get, relay, request};
use crate::receiver::Receiver;

/// Only a signal or the API makes it read its files again.
const STILL: &str = "[reload]\nwatch = false";

fn configuration(receiver: SocketAddr, more: &str) -> String {
    format!(
        "{more}\n[sources.jobmojito]\nauth = \"none\"\n[destinations.app]\nurl = \"http://{receiver}/in\"\n\
         [[routes]]\nto = [\"app\"]\n"
    )
}

fn body(subject: usize, score: usize) -> Bytes {
    Bytes::from(format!(
        r#"{{"id":"s{subject}","status":"active","interview_status":"completed","score":{score}}}"#
    ))
}

async fn post(process: &Process, body: Bytes) -> u16 {
    let url = format!("http://{}/hooks/jobmojito", process.ingress);
    request(&NetworkTransport::default(), Method::POST, &url, body)
        .await
        .map_or(0, |answer| answer.status.as_u16())
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_under_load_loses_nothing_and_ends_in_order() {
    let receiver = Receiver::failing(0);
    let folder = Folder::new(&configuration(receiver.listen().await, ""));
    let process = Process::start(folder.path());
    let url = format!("http://{}/hooks/jobmojito", process.ingress);
    let mut senders = JoinSet::new();
    for sender in 0..8 {
        let url = url.clone();
        senders.spawn(async move {
            let network = NetworkTransport::default();
            let mut taken = 0;
            for score in 0.. {
                match request(&network, Method::POST, &url, body(sender, score)).await {
                    Ok(answer) if answer.status == 202 => taken += 1,
                    _ => break,
                }
            }
            (sender, taken)
        });
    }
    receiver
        .until(|receiver| receiver.arrived().len() > 100)
        .await;
    process.signal("TERM");
    let (status, said) = process.ended();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(said.contains("nothing was under way"), "{said}");
    let acknowledged = senders.join_all().await;
    assert!(folder.is_whole());
    let process = Process::start(folder.path());
    let of = |receiver: &Receiver, sender: usize| -> Vec<String> {
        let taken = receiver.taken().into_iter();
        taken
            .filter(|one| one.subject == format!("s{sender}"))
            .map(|one| one.webhook_id)
            .collect()
    };
    let enough = |receiver: &Receiver| {
        let mut each = acknowledged.iter();
        each.all(|(sender, events)| of(receiver, *sender).len() >= *events)
    };
    receiver.until(enough).await;
    for (sender, events) in acknowledged {
        let taken = of(&receiver, sender);
        let once: HashSet<_> = taken.iter().collect();
        assert_eq!(once.len(), taken.len(), "each exactly once");
        assert!(
            taken.len() <= events + 1,
            "beyond what was acknowledged, only the one it had under way: {} of {events}",
            taken.len()
        );
    }
    drop(process);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_under_way_at_a_kill_is_sent_again_under_the_same_id() {
    let receiver = Receiver::gated();
    let folder = Folder::new(&configuration(receiver.listen().await, ""));
    let process = Process::start(folder.path());
    assert_eq!(post(&process, body(1, 1)).await, 202);
    receiver
        .until(|receiver| receiver.arrived().len() == 1)
        .await;
    process.kill();
    receiver.let_go(2);
    let process = Process::start(folder.path());
    receiver
        .until(|receiver| receiver.arrived().len() == 2)
        .await;
    let arrived = receiver.arrived();
    assert_eq!(arrived[0], arrived[1]);
    drop(process);
}

/// A log that nobody reads fills its pipe, and then whoever writes to it stands still.
#[tokio::test]
async fn a_log_that_is_not_read_holds_nothing_up() {
    const EVENTS: usize = 500;
    let receiver = Receiver::failing(0);
    let folder = Folder::new(&configuration(receiver.listen().await, ""));
    let mut child = relay(folder.path())
        .args(["serve", "--override", "server.listen=127.0.0.1:0"])
        .args(["--override", "admin.listen=127.0.0.1:0"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let ready = log.find_map(|line| {
        let said: Value = serde_json::from_str(&line.unwrap()).unwrap();
        (said["message"] == "relay is ready").then_some(said)
    });
    let ingress = ready.unwrap()["ingress"].as_str().unwrap().to_owned();
    let url = format!("http://{ingress}/hooks/jobmojito");
    let network = NetworkTransport::default();
    for subject in 0..EVENTS {
        let answer = request(&network, Method::POST, &url, body(subject, 1)).await;
        assert_eq!(answer.unwrap().status, 202, "event {subject}");
    }
    let accepted = log
        .map(Result::unwrap)
        .filter(|line| line.contains("event accepted"));
    assert_eq!(accepted.take(EVENTS).count(), EVENTS, "nothing was dropped");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_forces_the_end_and_the_delivery_is_kept() {
    let receiver = Receiver::gated();
    let folder = Folder::new(&configuration(receiver.listen().await, ""));
    let process = Process::start(folder.path());
    assert_eq!(post(&process, body(1, 1)).await, 202);
    receiver
        .until(|receiver| receiver.arrived().len() == 1)
        .await;
    process.signal("TERM");
    process.until_it_says("shutting down");
    process.signal("INT");
    let (status, said) = process.ended();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(said.contains("sent again after the next start"), "{said}");
    receiver.let_go(2);
    let process = Process::start(folder.path());
    receiver
        .until(|receiver| !receiver.taken().is_empty())
        .await;
    drop(process);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_relay_on_the_same_file_does_not_start() {
    let receiver = Receiver::failing(0);
    let folder = Folder::new(&configuration(receiver.listen().await, ""));
    let first = Process::start(folder.path());
    let (status, said) = Process::try_start(folder.path())
        .err()
        .expect("the file is taken");
    assert_eq!(status.code(), Some(1));
    assert!(
        said.contains("another relay already uses this store"),
        "{said}"
    );
    assert_eq!(post(&first, body(1, 1)).await, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_that_its_store_needs_a_relay_does_not_start() {
    let address = Receiver::failing(0).listen().await;
    let encrypt = "[store]\nencrypt = { keys = [{ env = \"KEY\" }] }";
    let folder = Folder::new(&configuration(address, encrypt));
    let key = "5a".repeat(32);
    let start = |key: &str| Process::start_in(folder.path(), &[("KEY", key)]);
    let process = start(&key).unwrap_or_else(|(_, said)| panic!("{said}"));
    assert_eq!(post(&process, body(1, 1)).await, 202);
    process.signal("TERM");
    assert!(process.ended().0.success());
    let (status, said) = start(&"5b".repeat(32)).err().expect("another key");
    assert_eq!(status.code(), Some(1));
    let words =
        "payloads in the store are sealed by a key that is not in store.encrypt.keys (fingerprint ";
    assert!(said.contains(words) && !said.contains("5b5b5b"), "{said}");
    let (status, said) = start("5a5a").err().expect("no key at all");
    assert_eq!(status.code(), Some(78));
    let words = "store.encrypt.keys[0]: the environment variable KEY does not hold 32 bytes";
    assert!(said.contains(words) && !said.contains("5a5a"), "{said}");
    assert!(start(&key).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_puts_a_good_file_in_force_and_leaves_a_bad_one() {
    let (old, new) = (Receiver::failing(0), Receiver::failing(0));
    let folder = Folder::new(&configuration(old.listen().await, STILL));
    let process = Process::start(folder.path());
    assert_eq!(post(&process, body(1, 1)).await, 202);
    old.until(|receiver| receiver.taken().len() == 1).await;
    folder.write("relay.toml", &configuration(new.listen().await, STILL));
    process.signal("HUP");
    process.until_it_says("configuration reloaded");
    assert_eq!(post(&process, body(1, 2)).await, 202);
    new.until(|receiver| receiver.taken().len() == 1).await;
    folder.write(
        "relay.toml",
        &configuration(
            new.listen().await,
            &format!("[server]\nlisten_on = 1\n{STILL}"),
        ),
    );
    process.signal("HUP");
    let said = process.until_it_says("relay.toml:2");
    assert!(said.contains("did you mean"), "{said}");
    process.until_it_says("the one before stays in force");
    assert_eq!(post(&process, body(1, 3)).await, 202);
    new.until(|receiver| receiver.taken().len() == 2).await;
    assert_eq!(
        get(&process, "/api/v1/status").await["config"]["generation"],
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_takes_effect_by_itself_and_a_bad_one_does_not() {
    let (old, new) = (Receiver::failing(0), Receiver::failing(0));
    let folder = Folder::new(&configuration(old.listen().await, ""));
    let process = Process::start(folder.path());
    folder.write(
        "relay.toml",
        &configuration(new.listen().await, "[serverr]"),
    );
    let said = process.until_it_says("relay.toml:1");
    assert!(said.contains("did you mean"), "{said}");
    process.until_it_says("the one before stays in force");
    let status = get(&process, "/api/v1/status").await;
    assert_eq!(status["config"]["generation"], 1);
    let errors = status["last_reload"]["errors"][0].as_str().unwrap();
    assert!(errors.contains("serverr"), "{errors}");
    folder.write("relay.toml", &configuration(new.listen().await, ""));
    process.until_it_says("configuration reloaded");
    assert_eq!(post(&process, body(1, 1)).await, 202);
    new.until(|receiver| receiver.taken().len() == 1).await;
    let status = get(&process, "/api/v1/status").await;
    assert_eq!(status["config"]["generation"], 2);
    assert_eq!(status["last_reload"]["errors"], serde_json::json!([]));
}

/// As Kubernetes lays a volume: the names are links through `..data`, which is swapped as a whole.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_relay_toml_behind_a_swapped_link_is_noticed() {
    use std::os::unix::fs::symlink;
    let receiver = Receiver::failing(0);
    let config = configuration(receiver.listen().await, "");
    let folder = Folder::new(&config);
    let paused = config.replace("[[routes]]", "paused = true\n[[routes]]");
    for (version, text) in [("..1", &config), ("..2", &paused)] {
        std::fs::create_dir_all(folder.file("mount").join(version)).unwrap();
        folder.write(&format!("mount/{version}/relay.toml"), text);
    }
    symlink("..1", folder.file("mount/..data")).unwrap();
    std::fs::remove_file(folder.file("relay.toml")).unwrap();
    symlink("mount/..data/relay.toml", folder.file("relay.toml")).unwrap();
    let process = Process::start(folder.path());
    symlink("..2", folder.file("mount/..new")).unwrap();
    std::fs::rename(folder.file("mount/..new"), folder.file("mount/..data")).unwrap();
    process.until_it_says("configuration reloaded");
    assert_eq!(post(&process, body(1, 1)).await, 202);
    let admin = format!("http://{}", process.admin);
    let (_, text) = crate::cli::run(folder.path(), &["status", "--json", "--admin", &admin]);
    assert!(text.contains("paused = true in relay.toml"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swapped_link_and_a_changed_secret_are_noticed() {
    use std::os::unix::fs::symlink;
    let receiver = Receiver::failing(0);
    let config = configuration(receiver.listen().await, "").replace(
        "[[routes]]",
        "headers = { Authorization = { file = \"mount/token\" } }\n[[routes]]",
    );
    let folder = Folder::new(&config);
    for (version, token) in [("..1", "first-token"), ("..2", "second-token")] {
        std::fs::create_dir_all(folder.file("mount").join(version)).unwrap();
        folder.write(&format!("mount/{version}/token"), token);
    }
    symlink("..1", folder.file("mount/..data")).unwrap();
    symlink("..data/token", folder.file("mount/token")).unwrap();
    let process = Process::start(folder.path());
    assert_eq!(post(&process, body(1, 1)).await, 202);
    receiver.until(|receiver| receiver.taken().len() == 1).await;
    symlink("..2", folder.file("mount/..new")).unwrap();
    std::fs::rename(folder.file("mount/..new"), folder.file("mount/..data")).unwrap();
    process.until_it_says("configuration reloaded");
    assert_eq!(post(&process, body(1, 2)).await, 202);
    receiver.until(|receiver| receiver.taken().len() == 2).await;
    let taken = receiver.taken();
    let tokens: Vec<&str> = taken.iter().map(|one| one.authorization.as_str()).collect();
    assert_eq!(tokens, ["first-token", "second-token"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_reloads_and_says_what_is_wrong() {
    let receiver = Receiver::failing(0);
    let folder = Folder::new(&configuration(receiver.listen().await, STILL));
    let process = Process::start(folder.path());
    let url = format!("http://{}/api/v1/reload", process.admin);
    let network = NetworkTransport::default();
    let ask = || request(&network, Method::POST, &url, Bytes::new());
    let answer = ask().await.unwrap();
    assert_eq!(answer.status, 200);
    let told: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(told["config"]["generation"], 2);
    folder.write("relay.toml", "[serverr]\n");
    let answer = ask().await.unwrap();
    assert_eq!(answer.status, 422);
    let told: Value = serde_json::from_slice(&answer.body).unwrap();
    let detail = told["detail"].as_str().unwrap();
    assert!(
        detail.contains("relay.toml:1: serverr: unknown key"),
        "{detail}"
    );
}

/// Writes a fresh self-signed certificate for localhost.
fn certify(folder: &Folder) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    folder.write("cert.pem", &certificate.pem());
    folder.write("key.pem", &key.serialize_pem());
}

async fn trusted(process: &Process, ca: std::path::PathBuf) -> bool {
    let request = Outgoing {
        method: Method::POST,
        url: format!(
            "https://localhost:{}/hooks/jobmojito",
            process.ingress.port()
        )
        .parse()
        .unwrap(),
        headers: http::HeaderMap::new(),
        body: body(1, 1),
        timeout: PATIENCE,
        connection: Arc::new(Connection {
            ca: Some(ca),
            ..Connection::default()
        }),
    };
    NetworkTransport::default()
        .send(request)
        .await
        .is_ok_and(|answer| answer.status.is_success())
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_reads_the_certificate_again() {
    let receiver = Receiver::failing(0);
    let tls = "[server]\ntls = { cert = \"cert.pem\", key = \"key.pem\" }";
    let folder = Folder::new(&configuration(receiver.listen().await, tls));
    certify(&folder);
    std::fs::copy(folder.file("cert.pem"), folder.file("old.pem")).unwrap();
    let process = Process::start(folder.path());
    assert!(trusted(&process, folder.file("old.pem")).await);
    certify(&folder);
    process.signal("HUP");
    process.until_it_says("configuration reloaded");
    assert!(trusted(&process, folder.file("cert.pem")).await);
    assert!(!trusted(&process, folder.file("old.pem")).await);
    folder.write("cert.pem", "no certificate");
    process.signal("HUP");
    process.until_it_says("the one before stays in force");
}

/// What a supervisor hears next.
fn heard(supervisor: &std::os::unix::net::UnixDatagram) -> String {
    let mut message = [0; 256];
    let length = supervisor.recv(&mut message).unwrap();
    String::from_utf8(message[..length].to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_is_told_of_start_reload_and_end() {
    let receiver = Receiver::failing(0);
    let folder = Folder::new(&configuration(receiver.listen().await, STILL));
    let socket = folder.file("notify");
    let supervisor = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
    supervisor.set_read_timeout(Some(PATIENCE)).unwrap();
    let environment = [("NOTIFY_SOCKET", socket.to_str().unwrap())];
    let process = Process::start_in(folder.path(), &environment).unwrap();
    assert_eq!(heard(&supervisor), "READY=1\n");
    process.signal("HUP");
    let reloading = heard(&supervisor);
    assert!(
        reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="),
        "{reloading}"
    );
    assert_eq!(heard(&supervisor), "READY=1\n");
    folder.write("relay.toml", "[serverr]\n");
    process.signal("HUP");
    assert!(heard(&supervisor).starts_with("RELOADING=1"));
    assert_eq!(
        heard(&supervisor),
        "READY=1\n",
        "it works on by the file before"
    );
    process.signal("TERM");
    assert_eq!(heard(&supervisor), "STOPPING=1\n");
    assert_eq!(process.ended().0.code(), Some(0));
}
