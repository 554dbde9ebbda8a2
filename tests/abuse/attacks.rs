//! The attackers. Each function is the life of one connection, which ends when the relay cuts it off or has answered what was
//! asked; an attack is many of them, again and again.

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::frames::{
    END_HEADERS, END_STREAM, INITIAL_WINDOW, PREFACE, continuation, data, ping, request, reset,
    settings,
};
use crate::sender::exchange;

type Life = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One way of attacking.
#[derive(Clone, Copy)]
pub struct Attack {
    pub name: &'static str,
    /// Connections at once, in the long form and in the short one.
    pub connections: (usize, usize),
    pub life: fn(SocketAddr) -> Life,
}

/// Between two bytes of somebody slow.
const BYTE: Duration = Duration::from_millis(200);

macro_rules! attack {
    ($name:literal, $long:literal, $short:literal, $life:expr) => {
        Attack {
            name: $name,
            connections: ($long, $short),
            life: |relay| Box::pin($life(relay)),
        }
    };
}

pub const ATTACKS: [Attack; 15] = [
    attack!("idle connections", 5000, 300, idle),
    attack!("slow heads", 1000, 100, slow_head),
    attack!("slow bodies", 1000, 100, slow_body),
    attack!("huge heads", 16, 4, huge_head),
    attack!("large bodies", 16, 4, large_body),
    attack!("wrong credentials", 16, 4, wrong_credentials),
    attack!("deep JSON", 16, 4, deep_json),
    attack!("connections that come and go", 16, 4, come_and_go),
    attack!("HTTP/2 rapid reset", 16, 4, rapid_reset),
    attack!("HTTP/2 pings", 16, 2, pings),
    attack!("HTTP/2 settings", 16, 2, many_settings),
    attack!("HTTP/2 continuations", 16, 4, continuations),
    attack!("HTTP/2 empty frames", 16, 2, empty_frames),
    attack!("HTTP/2 closed windows", 100, 10, closed_window),
    attack!("HTTP/2 slow bodies", 100, 10, many_slow_streams),
];

/// Until the other side is done.
async fn until_cut(stream: &mut TcpStream) {
    let mut room = vec![0; 16 * 1024];
    while stream.read(&mut room).await.is_ok_and(|bytes| bytes > 0) {}
}

async fn idle(relay: SocketAddr) {
    if let Ok(mut stream) = TcpStream::connect(relay).await {
        until_cut(&mut stream).await;
    }
}

/// Sends one piece after another, slowly, for as long as the relay listens.
async fn trickle(relay: SocketAddr, first: &[u8], piece: &[u8]) {
    let Ok(mut stream) = TcpStream::connect(relay).await else {
        return;
    };
    if stream.write_all(first).await.is_err() {
        return;
    }
    let (mut from, mut to) = stream.into_split();
    let mut room = [0; 1024];
    let mut reading =
        Box::pin(async { while from.read(&mut room).await.is_ok_and(|bytes| bytes > 0) {} });
    loop {
        tokio::select! {
            () = &mut reading => return,
            () = sleep(BYTE) => {}
        }
        if to.write_all(piece).await.is_err() {
            return;
        }
    }
}

async fn slow_head(relay: SocketAddr) {
    trickle(
        relay,
        b"POST /hooks/open HTTP/1.1\r\nhost: relay\r\n",
        b"x: y\r\n",
    )
    .await;
}

async fn slow_body(relay: SocketAddr) {
    let head = b"POST /hooks/open HTTP/1.1\r\nhost: relay\r\ncontent-length: 100000\r\n\r\n";
    trickle(relay, head, b"[").await;
}

/// The same request so many times on one connection, or until it is cut.
async fn repeat(relay: SocketAddr, request: &[u8], times: usize, expect: u16) {
    let Ok(mut stream) = TcpStream::connect(relay).await else {
        return;
    };
    for _ in 0..times {
        match exchange(&mut stream, request).await {
            // On a busy machine a large body may be too slow.
            Some(status) => assert!(status == expect || status == 408, "{status}"),
            None => return,
        }
    }
}

fn post(source: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST /hooks/{source} HTTP/1.1\r\nhost: relay\r\ncontent-length: {length}\r\n{headers}\r\n{body}")
        .into_bytes()
}

async fn huge_head(relay: SocketAddr) {
    let fill = format!("x: {}\r\n", "a".repeat(64 * 1024));
    repeat(relay, &post("open", &fill, "{}"), 1, 431).await;
}

async fn large_body(relay: SocketAddr) {
    repeat(relay, &post("open", "", &"x".repeat(4 << 20)), 1, 413).await;
}

async fn wrong_credentials(relay: SocketAddr) {
    let guess = post("known", "x-relay-token: a guess\r\n", "{}");
    repeat(relay, &guess, 200, 401).await;
}

async fn deep_json(relay: SocketAddr) {
    repeat(relay, &post("open", "", &"[".repeat(1_000_000)), 10, 400).await;
}

async fn come_and_go(relay: SocketAddr) {
    for _ in 0..100 {
        drop(TcpStream::connect(relay).await);
    }
}

/// Sends what `frames` gives until it is cut, and reads along.
async fn flood(relay: SocketAddr, first: &[(u16, u32)], mut frames: impl FnMut(u32) -> Vec<u8>) {
    let Ok(mut stream) = TcpStream::connect(relay).await else {
        return;
    };
    let opening = [PREFACE, &settings(first)].concat();
    if stream.write_all(&opening).await.is_err() {
        return;
    }
    let (mut from, mut to) = stream.into_split();
    let mut room = vec![0; 16 * 1024];
    let sending = async {
        for round in 0.. {
            if to.write_all(&frames(round)).await.is_err() {
                return;
            }
        }
    };
    let cut = async { while from.read(&mut room).await.is_ok_and(|bytes| bytes > 0) {} };
    tokio::select! {
        () = sending => {}
        () = cut => {}
    }
}

async fn pings(relay: SocketAddr) {
    flood(relay, &[], |_| ping().repeat(256)).await;
}

async fn many_settings(relay: SocketAddr) {
    flood(relay, &[], |_| settings(&[]).repeat(256)).await;
}

async fn rapid_reset(relay: SocketAddr) {
    flood(relay, &[], |round| {
        let pairs = (0..32).map(|n| 2 * (32 * round + n) + 1);
        let pairs = pairs.map(|stream| {
            [
                request(stream, "/hooks/open", &[], END_HEADERS),
                reset(stream),
            ]
            .concat()
        });
        pairs.collect::<Vec<_>>().concat()
    })
    .await;
}

async fn continuations(relay: SocketAddr) {
    let field = [&[0x10, 1, b'x', 100][..], &[b'y'; 100]].concat();
    flood(relay, &[], |round| match round {
        0 => request(1, "/hooks/open", &[], 0),
        _ => continuation(1, &field.repeat(20)),
    })
    .await;
}

async fn empty_frames(relay: SocketAddr) {
    flood(relay, &[], |round| match round {
        0 => request(1, "/hooks/open", &[], END_HEADERS),
        _ => data(1, b"", 0).repeat(256),
    })
    .await;
}

/// Asks for answers that it never lets come, and pings to look alive.
async fn closed_window(relay: SocketAddr) {
    let asks = (0..64).map(|n| request(2 * n + 1, "/nowhere", &[], END_HEADERS | END_STREAM));
    let first = [PREFACE, &settings(&[(INITIAL_WINDOW, 0)])].concat();
    let first = [first, asks.collect::<Vec<_>>().concat()].concat();
    trickle(relay, &first, &ping()).await;
}

async fn many_slow_streams(relay: SocketAddr) {
    let asks = (0..64).map(|n| request(2 * n + 1, "/hooks/open", &[], END_HEADERS));
    let first = [PREFACE, &settings(&[])[..]].concat();
    let first = [first, asks.collect::<Vec<_>>().concat()].concat();
    trickle(relay, &first, &ping()).await;
}
