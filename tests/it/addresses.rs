//! Where requests may go: what a name leads to is judged when it is looked up, and what a URL says itself
//! before anything is sent. Nothing here leaves the machine: what is refused is refused before it is tried.

#![expect(
    clippy::disallowed_methods,
    reason = "a server of a test ends with its runtime"
)]

mod lanes;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Method};
use mojito_relay::model::Secret;
use mojito_relay::transport::{
    Answer, Connection, Failure, FailureKind, Names, NetworkTransport, Outgoing, Proxy,
    Transport as _,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Names whose addresses change: each look-up takes the next answer, and the last one stays.
#[derive(Default)]
pub struct Zone {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    asked: Mutex<Vec<String>>,
}

impl Zone {
    pub fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parsed = |one: &&[&str]| one.iter().map(|ip| ip.parse().unwrap()).collect();
        Arc::new(Self {
            answers: Mutex::new(answers.iter().map(parsed).collect()),
            asked: Mutex::default(),
        })
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl Names for Zone {
    async fn look_up(&self, name: &str) -> std::io::Result<Vec<IpAddr>> {
        self.asked.lock().unwrap().push(name.to_owned());
        let mut answers = self.answers.lock().unwrap();
        let next = answers.front().cloned().unwrap_or_default();
        if answers.len() > 1 {
            answers.pop_front();
        }
        Ok(next)
    }
}

/// A server that counts connections and answers every request, `per_connection` of them at most.
pub struct Place {
    pub address: SocketAddr,
    pub connections: Arc<AtomicUsize>,
}

pub async fn server(per_connection: usize) -> Place {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve(socket, per_connection));
        }
    });
    Place {
        address,
        connections,
    }
}

async fn serve(mut socket: TcpStream, requests: usize) {
    for left in (0..requests).rev() {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match socket.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        let length: usize = std::str::from_utf8(&head)
            .unwrap()
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        let _peer_may_be_gone = socket.read_exact(&mut body).await;
        let close = if left == 0 {
            "connection: close\r\n"
        } else {
            ""
        };
        let text = format!("HTTP/1.1 200 OK\r\n{close}content-length: 2\r\n\r\nok");
        let _peer_may_be_gone = socket.write_all(text.as_bytes()).await;
    }
}

async fn get(
    network: &NetworkTransport,
    url: &str,
    connection: Connection,
) -> Result<Answer, Failure> {
    let request = Outgoing {
        method: Method::GET,
        url: url.parse().unwrap_or_else(|error| panic!("{url}: {error}")),
        headers: HeaderMap::new(),
        body: Bytes::new(),
        timeout: Duration::from_secs(10),
        connection: Arc::new(connection),
    };
    network.send(request).await
}

fn private() -> Connection {
    Connection {
        allow_private: true,
        ..Connection::default()
    }
}

fn refusal(answer: Result<Answer, Failure>) -> String {
    let failure = answer.expect_err("it is refused");
    assert_eq!(failure.kind, FailureKind::Address, "{}", failure.message);
    failure.message
}

#[tokio::test]
async fn no_spelling_of_a_metadata_address_gets_through() {
    let zone = Zone::new(&[]);
    let network = NetworkTransport::knowing(zone.clone());
    for host in [
        "169.254.169.254",
        "169.254.169.254.",
        "2852039166",
        "0xa9fea9fe",
        "0xA9.0xFE.0xA9.0xFE",
        "0251.0376.0251.0376",
        "0251.254.0xa9fe",
        "169.254.43518",
        "169.16689662",
        "%31%36%39.254.169.254",
        "１６９.254.169.254",
        "①⑥⑨。254。169。254",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[0:0:0:0:0:ffff:a9fe:a9fe]",
        "[::169.254.169.254]",
        "[64:ff9b::169.254.169.254]",
        "[2002:a9fe:a9fe::1]",
        "[fd00:ec2::254]",
        "100.100.100.200",
    ] {
        let told = refusal(get(&network, &format!("http://{host}/"), Connection::default()).await);
        assert!(
            told.contains(" is the address of a cloud's metadata service: "),
            "{host}: {told}"
        );
        assert!(told.contains("allow_private"), "{host}: {told}");
    }
    assert!(zone.asked().is_empty(), "no address is looked up");
}

#[tokio::test]
async fn an_address_in_the_url_may_be_private_but_not_link_local_and_never_nowhere() {
    let here = server(1).await;
    let network = NetworkTransport::default();
    let port = here.address.port();
    let mapped = format!("http://[::ffff:127.0.0.1]:{port}/");
    assert_eq!(
        get(&network, &mapped, Connection::default())
            .await
            .unwrap()
            .status,
        200
    );
    for spelling in ["127.0.0.1", "0x7f.1", "2130706433", "localhost"] {
        let url = format!("http://{spelling}:{port}/");
        assert_eq!(
            get(&network, &url, Connection::default())
                .await
                .unwrap()
                .status,
            200,
            "{url}"
        );
    }
    for link_local in ["169.254.1.1", "[fe80::1]"] {
        let url = format!("http://{link_local}:1/");
        let told = refusal(get(&network, &url, Connection::default()).await);
        assert!(
            told.contains(" is a link-local address: set allow_private = true"),
            "{told}"
        );
        let tried = get(
            &network,
            &url,
            Connection {
                proxy: dead_proxy(),
                ..private()
            },
        )
        .await;
        assert_ne!(
            tried.expect_err("nobody is there").kind,
            FailureKind::Address
        );
    }
    for nowhere in [
        "0.0.0.0",
        "[::]",
        "255.255.255.255",
        "224.0.0.1",
        "192.0.2.1",
        "240.0.0.1",
    ] {
        let told = refusal(get(&network, &format!("http://{nowhere}/"), private()).await);
        assert!(
            told.ends_with(" address: nothing is ever sent there"),
            "{told}"
        );
    }
}

/// Something to be refused by in place of a network that might have the address.
fn dead_proxy() -> Proxy {
    Proxy::Url(Secret::new("http://127.0.0.1:1"))
}

#[tokio::test]
async fn a_name_that_leads_inside_is_refused_before_it_is_connected_to() {
    let here = server(1).await;
    let url = format!("http://app.internal:{}/in", here.address.port());
    for (at, what) in [
        ("10.0.0.5", "a private address"),
        ("172.16.0.1", "a private address"),
        ("192.168.1.1", "a private address"),
        ("100.64.0.1", "a private address"),
        ("fd12::1", "a private address"),
        ("::ffff:10.0.0.5", "a private address"),
        ("127.0.0.1", "an address of this machine itself"),
        ("::1", "an address of this machine itself"),
        ("169.254.7.7", "a link-local address"),
        ("fe80::1", "a link-local address"),
        (
            "169.254.169.254",
            "the address of a cloud's metadata service",
        ),
        (
            "64:ff9b::a9fe:a9fe",
            "the address of a cloud's metadata service",
        ),
        ("0.0.0.0", "the unspecified address"),
        ("224.0.0.1", "a multicast address"),
        ("2001:db8::1", "a documentation address"),
    ] {
        let network = NetworkTransport::knowing(Zone::new(&[&[at]]));
        let told = refusal(get(&network, &url, Connection::default()).await);
        let expected = format!("app.internal is at {at}, {what}: ");
        assert!(told.starts_with(&expected), "{told}");
        let by_consent = what == "a private address" || what.contains("this machine");
        assert_eq!(
            told.contains("set allow_private = true"),
            by_consent,
            "{told}"
        );
        if !by_consent {
            assert_eq!(
                refusal(get(&network, &url, private()).await),
                told,
                "not by a name"
            );
        }
    }
    assert_eq!(here.connections.load(Ordering::SeqCst), 0);
    let network = NetworkTransport::knowing(Zone::new(&[&["127.0.0.1"]]));
    assert_eq!(get(&network, &url, private()).await.unwrap().status, 200);
}

#[tokio::test]
async fn of_several_addresses_only_those_allowed_are_connected_to() {
    let here = server(1).await;
    let zone = Zone::new(&[&["169.254.169.254", "10.0.0.5", "127.0.0.1"]]);
    let network = NetworkTransport::knowing(zone);
    let url = format!("http://app.localhost:{}/", here.address.port());
    assert_eq!(
        get(&network, &url, Connection::default())
            .await
            .unwrap()
            .status,
        200
    );
    assert_eq!(here.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_name_that_changes_its_mind_is_judged_at_each_connection_and_a_kept_one_stays_where_it_was()
 {
    let here = server(2).await;
    let zone = Zone::new(&[&["127.0.0.1"], &["169.254.169.254"]]);
    let network = NetworkTransport::knowing(zone.clone());
    let url = format!("http://app.internal:{}/", here.address.port());
    for _ in 0..2 {
        assert_eq!(get(&network, &url, private()).await.unwrap().status, 200);
    }
    assert_eq!(
        (here.connections.load(Ordering::SeqCst), zone.asked().len()),
        (1, 1)
    );
    let told = refusal(get(&network, &url, private()).await);
    assert!(
        told.starts_with("app.internal is at 169.254.169.254, "),
        "{told}"
    );
    assert_eq!(
        (here.connections.load(Ordering::SeqCst), zone.asked().len()),
        (1, 2)
    );
}

#[tokio::test]
async fn connections_of_a_destination_that_may_go_inside_are_not_lent_to_one_that_may_not() {
    let here = server(9).await;
    let network = NetworkTransport::knowing(Zone::new(&[&["127.0.0.1"]]));
    let url = format!("http://app.internal:{}/", here.address.port());
    assert_eq!(get(&network, &url, private()).await.unwrap().status, 200);
    refusal(get(&network, &url, Connection::default()).await);
}

#[tokio::test]
async fn with_a_proxy_names_are_the_proxy_s_and_addresses_are_still_judged() {
    let proxy = server(9).await;
    let zone = Zone::new(&[&["127.0.0.1"]]);
    let network = NetworkTransport::knowing(zone.clone());
    let through = |scheme: &str| Connection {
        proxy: Proxy::Url(Secret::new(&format!(
            "{scheme}://proxy.internal:{}",
            proxy.address.port()
        ))),
        ..Connection::default()
    };
    let answer = get(&network, "http://ats.example/note", through("http")).await;
    assert_eq!(answer.unwrap().status, 200);
    assert_eq!(zone.asked(), ["proxy.internal"], "the operator named it");
    let seen = proxy.connections.load(Ordering::SeqCst);
    refusal(get(&network, "http://169.254.169.254/", through("http")).await);
    assert_eq!(proxy.connections.load(Ordering::SeqCst), seen);
}

#[tokio::test]
async fn a_name_that_is_looked_up_here_for_a_socks_proxy_is_judged_too() {
    let proxy = server(9).await;
    let zone = Zone::new(&[&["10.0.0.5"]]);
    let network = NetworkTransport::knowing(zone.clone());
    let connection = Connection {
        proxy: Proxy::Url(Secret::new(&format!("socks5://{}", proxy.address))),
        ..Connection::default()
    };
    let told = refusal(get(&network, "http://app.internal/", connection).await);
    assert!(
        told.starts_with("app.internal is at 10.0.0.5, a private address"),
        "{told}"
    );
    assert_eq!(proxy.connections.load(Ordering::SeqCst), 0);
}
