//! What `relay check --online` looks at, over real sockets: hosts, certificates, the store's place, and
//! Slack's auth.test. Nothing else is sent, and no secret or path is told.

#![expect(
    clippy::disallowed_methods,
    reason = "a server of a test ends with its runtime"
)]

use std::sync::Arc;

use mojito_relay::app::{Look, compile, look_online, names};
use mojito_relay::config;
use mojito_relay::transport::Names;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use crate::harness::{Receivers, TestRelay, answer, inputs_without_a_file};
use crate::transport::Certificates;

async fn looks(toml: &str, receivers: &Receivers) -> Vec<Look> {
    looks_knowing(toml, receivers, names()).await
}

/// The same, where `names` are what hosts are looked up in.
pub async fn looks_knowing(toml: &str, receivers: &Receivers, names: Arc<dyn Names>) -> Vec<Look> {
    let loaded = config::load_text(&inputs_without_a_file(), toml).unwrap();
    look_online(&compile(loaded, true).unwrap(), receivers, &names).await
}

fn destination(name: &str, keys: &str) -> String {
    format!("[destinations.{name}]\n{keys}\n")
}

/// Host, whether it is well, and words for it, of the destination `name`.
fn of(looks: &[Look], name: &str) -> (bool, String) {
    let mut found = looks
        .iter()
        .filter(|look| look.destinations.iter().any(|one| one == name));
    let look = found.next().unwrap();
    (look.ok, look.words.clone())
}

#[tokio::test]
async fn hosts_are_connected_to_and_their_certificates_are_checked() {
    let certificates = Certificates::make(false);
    let port = certificates.serve().await.port();
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = plain.local_addr().unwrap();
    let heard = tokio::spawn(async move {
        let mut all = Vec::new();
        plain
            .accept()
            .await
            .unwrap()
            .0
            .read_to_end(&mut all)
            .await
            .unwrap();
        all
    });
    let ca = certificates.file("ca.pem");
    let tls = format!("url = \"https://localhost:{port}/canary-of-the-path\"");
    let toml = [
        destination("trusted", &format!("{tls}\ntls = {{ ca = {ca:?} }}")),
        destination("untrusted", &tls),
        destination(
            "other-name",
            &format!("url = \"https://127.0.0.1:{port}/\"\ntls = {{ ca = {ca:?} }}"),
        ),
        destination(
            "plain",
            &format!("url = \"http://{address}/canary-of-the-path\""),
        ),
        destination("plain-too", &format!("url = \"http://{address}/\"")),
        destination("nobody", "url = \"http://127.0.0.1:1/\""),
        destination("no-name", "url = \"https://no-such-host.invalid/\""),
        destination(
            "proxied",
            "url = \"https://behind.test/\"\nproxy = \"http://127.0.0.1:1\"",
        ),
        destination(
            "environment",
            "url = \"https://behind.test/\"\nproxy = \"environment\"",
        ),
    ];
    let looks = looks(&toml.concat(), &Receivers::default()).await;
    assert_eq!(
        of(&looks, "trusted"),
        (true, "connected, and its certificate is trusted".to_owned())
    );
    assert_eq!(
        of(&looks, "plain"),
        (true, "connected, without TLS".to_owned())
    );
    assert!(heard.await.unwrap().is_empty(), "nothing is asked");
    let shared = looks
        .iter()
        .find(|look| look.what == address.to_string())
        .unwrap();
    assert_eq!(shared.destinations, ["plain", "plain-too"]);
    for (name, words) in [
        ("untrusted", "TLS: "),
        ("other-name", "TLS: "),
        ("nobody", "cannot connect: "),
        ("no-name", "DNS: "),
        ("proxied", "cannot connect: "),
    ] {
        let (ok, told) = of(&looks, name);
        assert!(!ok && told.starts_with(words), "{name}: {told}");
    }
    let (ok, told) = of(&looks, "environment");
    assert!(ok && told.starts_with("not looked at"), "{told}");
    assert!(!format!("{looks:?}").contains("canary"), "{looks:?}");
}

#[tokio::test]
async fn the_host_that_gives_tokens_is_looked_at_too() {
    let toml = destination(
        "app",
        "url = \"http://127.0.0.1:1/\"\nauth = { oauth2 = { client_id = \"a\", client_secret = \"b\", token_url = \"http://127.0.0.1:2/token\" } }",
    );
    let receivers = Receivers::default();
    let looks = looks(&toml, &receivers).await;
    let hosts: Vec<&str> = looks
        .iter()
        .skip(1)
        .map(|look| look.what.as_str())
        .collect();
    assert_eq!(hosts, ["127.0.0.1:1", "127.0.0.1:2"]);
    assert!(receivers.seen().is_empty(), "no token is asked for");
}

#[tokio::test]
async fn slack_is_asked_whether_it_knows_the_bot_and_nothing_else() {
    let toml = destination(
        "hiring",
        "preset = \"slack-bot\"\nbase_url = \"http://127.0.0.1:1\"\napi_key = \"xoxb-canary\"\nwith = { channel = \"C1\" }",
    );
    let receivers = Receivers::default();
    receivers.answer(
        "127.0.0.1",
        [
            answer(200, r#"{"ok":true,"team":"Acme","user":"relay","url":"x"}"#),
            answer(200, r#"{"ok":false,"error":"invalid_auth xoxb-canary"}"#),
            answer(503, "down"),
        ],
    );
    let mut told = Vec::new();
    for _ in 0..3 {
        let look = looks(&toml, &receivers).await.pop().unwrap();
        assert_eq!(look.what, "auth.test");
        told.push((look.ok, look.words));
    }
    assert_eq!(told[0], (true, "relay in Acme".to_owned()));
    assert!(
        told[1].1.contains("invalid_auth") && !told[1].1.contains("xoxb-canary"),
        "{told:?}"
    );
    assert_eq!((told[1].0, told[2].0), (false, false));
    let seen = receivers.seen();
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[0].url, "http://127.0.0.1:1/api/auth.test");
    assert_eq!(seen[0].header("authorization"), "Bearer xoxb-canary");
}

#[tokio::test]
async fn the_store_s_place_is_looked_at_without_opening_it() {
    let folder = tempfile::TempDir::new().unwrap();
    let store = async |path: &std::path::Path| {
        let toml = format!("[store]\nurl = \"sqlite:{}\"\n", path.display());
        looks(&toml, &Receivers::default()).await.remove(0)
    };
    let new = store(&folder.path().join("made/later/relay.db")).await;
    assert!(
        new.ok && new.words.starts_with("can be made; "),
        "{}",
        new.words
    );
    assert!(new.words.ends_with(" free"), "{}", new.words);
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        0,
        "nothing is left behind"
    );
    let text = folder.path().join("text.db");
    std::fs::write(&text, "no database").unwrap();
    assert!(
        store(&text)
            .await
            .words
            .ends_with("is not an SQLite database")
    );
    let other = folder.path().join("other.db");
    let conn = rusqlite::Connection::open(&other).unwrap();
    conn.execute_batch("PRAGMA application_id = 7; CREATE TABLE t (x)")
        .unwrap();
    assert!(
        store(&other)
            .await
            .words
            .ends_with("is the database of another application")
    );
    std::fs::write(folder.path().join("file"), "").unwrap();
    let below = store(&folder.path().join("file/relay.db")).await;
    assert!(!below.ok, "{}", below.words);
    let relay = TestRelay::start(crate::harness::PLAIN).await;
    let used = store(&relay.file("relay.db")).await;
    assert!(
        used.ok && used.words.starts_with("can be written; "),
        "{}",
        used.words
    );
    assert_eq!(relay.post("jobmojito", "{}").await.status, 202);
}
