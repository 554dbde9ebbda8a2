//! The server loop over real sockets: protocols, limits, receipts, endings. A small desk answers.

#![expect(
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails the test that called it"
)]

mod bodies;
mod deadlines;
mod endings;
mod floods;
pub mod frames;
mod protocols;
mod receipts;
mod smuggling;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Body, Frame};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mojito_relay::clock::SystemClock;
use mojito_relay::http::body::{BodyBudget, BodyLimits, Inbound, read_body};
use mojito_relay::http::problem::{Problem, Refusal};
use mojito_relay::http::{Certificates, Handler, Peer, Reply, Server, ServerLimits, Stop};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio_util::task::TaskTracker;

const LIMIT: u64 = 1024 * 1024;

/// Long enough that no test meets it by accident.
const PATIENT: Duration = Duration::from_mins(1);

/// Short enough that a test may wait for it.
const BRIEF: Duration = Duration::from_millis(150);

/// What happened at the desk.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    /// A request for `/gate` is being handled.
    Entered,
    /// Its future was dropped before it answered.
    Dropped,
    /// An answer did not reach its sender.
    Lost,
    /// An answer did.
    Sent,
}

struct Desk {
    limits: BodyLimits,
    budget: Arc<BodyBudget>,
    gate: Semaphore,
    /// Into the body of `/stream`.
    feed: Mutex<Option<mpsc::Sender<Bytes>>>,
    told: mpsc::UnboundedSender<Told>,
}

struct Relay {
    port: u16,
    stop: Stop,
    tasks: TaskTracker,
    desk: Arc<Desk>,
    told: Mutex<mpsc::UnboundedReceiver<Told>>,
}

#[derive(Clone)]
struct Setup {
    server: ServerLimits,
    body: BodyLimits,
    budget: u64,
    certificates: Option<Arc<Certificates>>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            server: ServerLimits {
                header_deadline: PATIENT,
                max_connections: 100,
                max_streams: 16,
            },
            body: BodyLimits {
                max_body: LIMIT,
                deadline: PATIENT,
            },
            budget: 64 * LIMIT,
            certificates: None,
        }
    }
}

impl Setup {
    async fn start(self) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, told) = mpsc::unbounded_channel();
        let desk = Arc::new(Desk {
            limits: self.body,
            budget: BodyBudget::new(self.budget),
            gate: Semaphore::new(0),
            feed: Mutex::new(None),
            told: tell,
        });
        let (stop, tasks) = (Stop::default(), TaskTracker::new());
        let clock = Arc::new(SystemClock::default());
        let server = Server::new(self.server, self.certificates, clock);
        tasks.spawn(server.run(listener, desk.clone(), stop.clone(), tasks.clone()));
        tasks.close();
        Relay {
            port,
            stop,
            tasks,
            desk,
            told: Mutex::new(told),
        }
    }
}

impl Relay {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).await.unwrap()
    }

    async fn connect_http2(&self) -> http2::SendRequest<Full<Bytes>> {
        self.http2_over(self.connect().await).await
    }

    async fn http2_over<S>(&self, stream: S) -> http2::SendRequest<Full<Bytes>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let io = TokioIo::new(stream);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        self.tasks.spawn(connection);
        sender
    }

    /// What the desk tells next.
    async fn told(&self) -> Told {
        self.told.lock().await.recv().await.unwrap()
    }

    async fn feed(&self, text: &'static str) {
        let feed = self.desk.feed.lock().await.clone().unwrap();
        feed.send(Bytes::from_static(text.as_bytes()))
            .await
            .unwrap();
    }

    /// Lets one request through the gate.
    fn open_gate(&self) {
        self.desk.gate.add_permits(1);
    }
}

/// Tells what became of an answer: lost when its callback runs, sent when it is dropped unused.
struct Fate {
    told: mpsc::UnboundedSender<Told>,
    lost: bool,
}

impl Fate {
    fn receipt(told: &mpsc::UnboundedSender<Told>) -> Box<dyn FnOnce() + Send> {
        let told = told.clone();
        let mut fate = Fate { told, lost: false };
        Box::new(move || fate.lose())
    }

    fn lose(&mut self) {
        self.lost = true;
    }
}

impl Drop for Fate {
    fn drop(&mut self) {
        let fate = if self.lost { Told::Lost } else { Told::Sent };
        self.told.send(fate).ok();
    }
}

struct Visit<'a> {
    told: &'a mpsc::UnboundedSender<Told>,
    answered: bool,
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.told.send(Told::Dropped).ok();
        }
    }
}

#[async_trait]
impl Handler for Desk {
    async fn handle(&self, request: Request<Inbound>, peer: Peer) -> Response<Reply> {
        match request.uri().path() {
            "/hello" => Response::new(Reply::new("hello")),
            "/peer" => Response::new(Reply::new(format!("{} {}", peer.ip, peer.tls))),
            "/read" => self.read(request).await,
            "/gate" => self.gate(request).await,
            "/stream" => {
                let (feed, body) = mpsc::channel(1);
                *self.feed.lock().await = Some(feed);
                Response::new(Reply::stream(Box::pin(Fed(Some(body)))))
            }
            "/big" => {
                let bytes = vec![b'x'; 64 * 1024 * 1024];
                Response::new(Reply::with_receipt(bytes, Fate::receipt(&self.told)))
            }
            _ => Problem::from(Refusal::NotFound).into(),
        }
    }
}

impl Desk {
    async fn read(&self, request: Request<Inbound>) -> Response<Reply> {
        match read_body(request.into_body(), self.limits, &self.budget).await {
            Ok(body) => Response::new(Reply::new(format!("read {}", body.bytes.len()))),
            Err(error) => Problem::from(Refusal::from(error)).into(),
        }
    }

    async fn gate(&self, request: Request<Inbound>) -> Response<Reply> {
        let body = read_body(request.into_body(), self.limits, &self.budget).await;
        let mut visit = Visit {
            told: &self.told,
            answered: false,
        };
        self.told.send(Told::Entered).ok();
        self.gate.acquire().await.unwrap().forget();
        visit.answered = true;
        drop(body);
        Response::new(Reply::with_receipt("passed", Fate::receipt(&self.told)))
    }
}

/// An answer on HTTP/1, read as it came.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn says_close(&self) -> bool {
        self.head.contains("connection: close")
    }
}

/// Reads one answer that says how long it is.
async fn read_answer(stream: &mut (impl AsyncRead + Unpin)) -> Answer {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head,
        body: String::from_utf8(body).unwrap(),
    }
}

/// What comes until the other side is done, or cuts the connection.
async fn read_rest(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.ok();
    rest
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
}

async fn get(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), path: &str) -> Answer {
    send(
        stream,
        &format!("GET {path} HTTP/1.1\r\nhost: relay\r\n\r\n"),
    )
    .await;
    read_answer(stream).await
}

/// The head of a POST.
fn post(path: &str, headers: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: relay\r\n{headers}\r\n\r\n")
}

fn http2_request(path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post(format!("http://relay{path}"))
        .body(Full::new(body.into()))
        .unwrap()
}

/// A body that is fed by hand; None for one that is empty.
struct Fed(Option<mpsc::Receiver<Bytes>>);

impl Body for Fed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut self.0 {
            Some(feed) => feed
                .poll_recv(cx)
                .map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes)))),
            None => Poll::Ready(None),
        }
    }
}
