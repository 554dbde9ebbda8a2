//! Stands between a store and its database, and cuts a connection when the test says so.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

/// Cuts connections at their worst moment.
pub struct Proxy {
    pub address: SocketAddr,
    /// The next commit is carried out, and nobody hears of it.
    pub swallow: Arc<AtomicBool>,
}

impl Proxy {
    /// In front of this port.
    pub async fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let swallow = Arc::new(AtomicBool::new(false));
        let flag = swallow.clone();
        let tasks = TaskTracker::new();
        let carrying = tasks.clone();
        tasks.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", port)).await;
                carrying.spawn(carry(client, server.expect("it listens"), flag.clone()));
            }
        });
        Self { address, swallow }
    }
}

/// Until one of both hangs up, or a commit was swallowed.
async fn carry(mut client: TcpStream, mut server: TcpStream, swallow: Arc<AtomicBool>) {
    let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut swallowing = false;
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Some(bytes) = read.ok().and_then(|length| asked.get(..length)) else { return };
                if bytes.is_empty() || server.write_all(bytes).await.is_err() {
                    return;
                }
                swallowing |= holds(bytes, b"COMMIT\0") && swallow.swap(false, Ordering::SeqCst);
            }
            read = server.read(&mut answered) => {
                let Some(bytes) = read.ok().and_then(|length| answered.get(..length)) else { return };
                if swallowing {
                    if bytes.is_empty() || holds(bytes, b"COMMIT\0") {
                        return;
                    }
                } else if bytes.is_empty() || client.write_all(bytes).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
