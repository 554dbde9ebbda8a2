//! What the relay is measured against, each as a process of its own like the relay: a bare server, the same with
//! one synced log, and a bare client loop.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::ValueEnum;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Contender {
    /// (a) hyper reads the body and answers 202
    Bare,
    /// (d) the same, after the body was appended to a file and synced, together with its neighbours'
    Log,
    /// (c) reqwest posts in a loop, as many at once as its standard input says
    Loop,
}

/// A contender at work. It is killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Server {
    pub(crate) fn start(contender: Contender) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let name = contender.to_possible_value().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .current_dir(folder.path())
            .args(["--as", name.get_name()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        said.read_line(&mut line).unwrap();
        Self {
            child,
            address: line.trim().parse().unwrap(),
            _folder: folder,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Requests a second that a bare client loop gets answered by `sink`, so many at once.
pub(crate) fn client_loop(sink: SocketAddr, at_once: usize, time: Duration) -> f64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--as", "loop", "--to", &sink.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{at_once} {}", time.as_secs_f64()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    said.trim().parse().unwrap()
}

impl Contender {
    /// Serves until it is killed, or sends for as long as it was told.
    pub(crate) fn run(self, to: Option<SocketAddr>) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            match self {
                Self::Bare => serve(None).await,
                Self::Log => serve(Some(log())).await,
                Self::Loop => send(to.expect("--to names the receiver")).await,
            }
        });
    }
}

/// A body, and who waits for it to be synced.
type Append = (Bytes, oneshot::Sender<()>);

async fn serve(log: Option<mpsc::Sender<Append>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let log = log.clone();
        let service = service_fn(move |request: Request<Incoming>| answer(request, log.clone()));
        tokio::spawn(
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service),
        );
    }
}

async fn answer(
    request: Request<Incoming>,
    log: Option<mpsc::Sender<Append>>,
) -> Result<Response<Empty<Bytes>>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    if let Some(log) = log {
        let (synced, wait) = oneshot::channel();
        log.send((body, synced)).await.unwrap();
        wait.await.unwrap();
    }
    let mut response = Response::new(Empty::new());
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}

/// One thread that appends whatever has queued and syncs once for all of it.
fn log() -> mpsc::Sender<Append> {
    let (queue, mut queued) = mpsc::channel::<Append>(1024);
    std::thread::spawn(move || {
        let mut file = std::fs::File::create("log").unwrap();
        let (mut batch, mut bytes) = (Vec::new(), Vec::new());
        while queued.blocking_recv_many(&mut batch, 512) > 0 {
            bytes.clear();
            for (body, _) in &batch {
                bytes.extend_from_slice(&body.len().to_le_bytes());
                bytes.extend_from_slice(body);
            }
            file.write_all(&bytes).unwrap();
            file.sync_data().unwrap();
            for (_, synced) in batch.drain(..) {
                let _gone = synced.send(());
            }
        }
    });
    queue
}

/// Posts as many at once, and for as many seconds, as standard input says; prints how many a second.
async fn send(to: SocketAddr) {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    let (at_once, seconds) = line.trim().split_once(' ').unwrap();
    let seconds = Duration::from_secs_f64(seconds.parse().unwrap());
    // Nothing here speaks TLS, but the client wants to know how it would.
    rustls::crypto::ring::default_provider()
        .install_default()
        .unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{to}/in");
    let body = Bytes::from(super::load::body(0));
    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..at_once.parse().unwrap() {
        let (client, url, body) = (client.clone(), url.clone(), body.clone());
        tasks.spawn(async move {
            let mut count = 0_u64;
            while started.elapsed() < seconds {
                let request = client.post(&url).header("content-type", "application/json");
                let response = request.body(body.clone()).send().await.unwrap();
                assert!(response.status().is_success());
                response.bytes().await.unwrap();
                count += 1;
            }
            count
        });
    }
    let count: u64 = tasks.join_all().await.into_iter().sum();
    println!("{}", count as f64 / started.elapsed().as_secs_f64());
}
