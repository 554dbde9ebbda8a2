//! Receivers that misbehave on the wire.

#![expect(
    clippy::disallowed_methods,
    reason = "a server of a test ends with its runtime"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use mojito_relay::app;
use mojito_relay::model::State;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{TestRelay, attempts, delivered, submitted};

const EVENTS: usize = 12;

/// What a receiver does once it has read a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Well,
    /// Its status line comes byte by byte, and is not there in time.
    SlowHead,
    /// Its body comes byte by byte, and is not there in time.
    SlowBody,
    EndlessBody,
    /// Says more than it gives.
    ClosesAfterHead,
    ResetsAfterRequest,
    /// Answers, and then is rude.
    ResetsAfterAnswer,
}

impl Manner {
    /// A status came, so it was taken, whatever became of the rest.
    fn takes(self) -> bool {
        !matches!(self, Self::SlowHead | Self::ResetsAfterRequest)
    }
}

struct Misbehaving {
    manner: Manner,
    mended: AtomicBool,
    requests: AtomicUsize,
}

impl Misbehaving {
    async fn listen(manner: Manner) -> (SocketAddr, Arc<Self>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let this = Arc::new(Self {
            manner,
            mended: AtomicBool::new(false),
            requests: AtomicUsize::new(0),
        });
        let server = this.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(server.clone().serve(socket));
            }
        });
        (address, this)
    }

    async fn serve(self: Arc<Self>, mut socket: TcpStream) {
        if read_request(&mut socket).await.is_none() {
            return;
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        let manner = if self.mended.load(Ordering::Relaxed) {
            Manner::Well
        } else {
            self.manner
        };
        // Whatever goes wrong here is the relay hanging up.
        let _hung_up = answer(manner, &mut socket).await;
    }
}

async fn answer(manner: Manner, socket: &mut TcpStream) -> std::io::Result<()> {
    const WELL: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
    match manner {
        Manner::Well => socket.write_all(WELL).await,
        Manner::SlowHead => slowly(WELL, socket).await,
        Manner::SlowBody => {
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n";
            socket.write_all(head).await?;
            slowly(&[b'x'; 100], socket).await
        }
        Manner::EndlessBody => {
            socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            loop {
                socket.write_all(&[b'x'; 4096]).await?;
            }
        }
        Manner::ClosesAfterHead => {
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n";
            socket.write_all(head).await
        }
        Manner::ResetsAfterRequest => socket.set_zero_linger(),
        Manner::ResetsAfterAnswer => {
            socket.write_all(WELL).await?;
            // The end of the relay's side: it has read the answer.
            let _end = socket.read(&mut [0]).await;
            socket.set_zero_linger()
        }
    }
}

/// One byte a second.
async fn slowly(bytes: &[u8], socket: &mut TcpStream) -> std::io::Result<()> {
    let clock = app::system_clock();
    for byte in bytes {
        socket.write_all(&[*byte]).await?;
        clock.pause(Duration::from_secs(1)).await;
    }
    Ok(())
}

/// Reads a head and the body that it announces.
async fn read_request(socket: &mut TcpStream) -> Option<()> {
    let mut read = Vec::new();
    let end = loop {
        if let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if socket.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&read[..end]).to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length?.trim().parse().ok()?;
    while read.len() < end + length {
        if socket.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    }
    Some(())
}

async fn everything_arrives(manner: Manner) {
    let (address, bad) = Misbehaving::listen(manner).await;
    let (other, good) = Misbehaving::listen(Manner::Well).await;
    let toml = format!(
        "[sources.jobmojito]\nauth = \"none\"\n[destinations.app]\nurl = \"http://{address}/in\"\ntimeout = \"300ms\"\n\
         [destinations.other]\nurl = \"http://{other}/in\"\n[[routes]]\nto = [\"app\", \"other\"]\n"
    );
    let mut relay = TestRelay::start_on_the_network(&toml, &[]).await;
    for n in 0..EVENTS {
        let body = submitted(&format!("s-{n}"), 1.0);
        assert_eq!(relay.post("jobmojito", body).await.status, 202);
    }
    if manner.takes() {
        relay.drive("both lanes", delivered(2 * EVENTS)).await;
        assert_eq!(bad.requests.load(Ordering::Relaxed), EVENTS, "{manner:?}");
    } else {
        // Time stands still: the other lane waits for nothing.
        relay.until("the other lane", delivered(EVENTS)).await;
        relay
            .until("a failure", |log| {
                attempts(log).any(|one| one.state == State::Waiting)
            })
            .await;
        bad.mended.store(true, Ordering::Relaxed);
        relay.drive("both lanes", delivered(2 * EVENTS)).await;
    }
    assert_eq!(good.requests.load(Ordering::Relaxed), EVENTS);
    let lost = attempts(&relay.log).filter(|one| one.state == State::Dead);
    assert_eq!(lost.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_of_one_byte_a_second_is_no_answer() {
    everything_arrives(Manner::SlowHead).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_one_byte_a_second_was_an_answer() {
    everything_arrives(Manner::SlowBody).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_body_was_an_answer() {
    everything_arrives(Manner::EndlessBody).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_close_after_the_head_was_an_answer() {
    everything_arrives(Manner::ClosesAfterHead).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_after_the_request_is_no_answer() {
    everything_arrives(Manner::ResetsAfterRequest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_after_the_answer_takes_nothing_back() {
    everything_arrives(Manner::ResetsAfterAnswer).await;
}
