//! A vendor's server in a test: real HTTP on loopback. Each vendor answers as its pages say; a test may
//! have something else happen to the next requests.

#![expect(
    clippy::disallowed_methods,
    reason = "a server of a test ends with its runtime"
)]

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};

/// How a vendor answers.
pub trait Vendor: Send + Sync + 'static {
    /// `in_flight` counts this request, too.
    fn answer(&self, asked: &Asked, in_flight: usize) -> Reply;

    /// A request that is no delivery, such as one for a token: not counted, and nothing happens to it.
    fn is_aside(&self, _asked: &Asked) -> bool {
        false
    }
}

/// Something that happens instead of, or after, the vendor's answer.
#[derive(Clone, Debug)]
pub enum Twist {
    /// The vendor does as it is asked and does not answer.
    Slow,
    /// The vendor does as it is asked, and the connection is reset.
    Reset,
    /// Another answer.
    Say(Reply),
}

/// A request as the vendor reads it.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    /// Path segments, decoded.
    pub path: Vec<String>,
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

/// A fake at work.
pub struct Fake {
    pub address: SocketAddr,
    desk: Arc<Desk>,
}

struct Desk {
    vendor: Box<dyn Vendor>,
    twists: Mutex<VecDeque<Twist>>,
    seen: Mutex<Vec<Asked>>,
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
    arrived: Notify,
    /// Where a test holds answers back: one permit lets one go.
    gate: Option<Semaphore>,
}

impl Fake {
    /// Listens on a free port.
    pub async fn start(vendor: impl Vendor, twists: Vec<Twist>) -> Self {
        Self::listen(vendor, twists, None).await
    }

    /// One that answers a request only when the test lets it.
    pub async fn gated(vendor: impl Vendor) -> Self {
        Self::listen(vendor, Vec::new(), Some(Semaphore::new(0))).await
    }

    async fn listen(vendor: impl Vendor, twists: Vec<Twist>, gate: Option<Semaphore>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let desk = Arc::new(Desk {
            vendor: Box::new(vendor),
            twists: Mutex::new(twists.into()),
            seen: Mutex::default(),
            in_flight: AtomicUsize::new(0),
            most_in_flight: AtomicUsize::new(0),
            arrived: Notify::new(),
            gate,
        });
        let served = desk.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, served.clone()));
            }
        });
        Self { address, desk }
    }

    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Deliveries that arrived, whatever became of them.
    pub fn seen(&self) -> Vec<Asked> {
        self.desk.seen.lock().unwrap().clone()
    }

    /// Waits until so many deliveries have arrived in all.
    pub async fn arrived(&self, count: usize) {
        loop {
            let arrived = self.desk.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            if self.seen().len() >= count {
                return;
            }
            arrived.await;
        }
    }

    pub fn let_go(&self, count: usize) {
        self.desk.gate.as_ref().unwrap().add_permits(count);
    }

    pub fn most_in_flight(&self) -> usize {
        self.desk.most_in_flight.load(Ordering::SeqCst)
    }
}

async fn serve(socket: TcpStream, desk: Arc<Desk>) {
    // What is closed without an answer is reset, not ended.
    let _some_systems_cannot = socket.set_zero_linger();
    let service = service_fn(move |request| {
        let desk = desk.clone();
        async move { desk.answer(request).await }
    });
    let _peer_may_be_gone = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(socket), service)
        .await;
}

impl Desk {
    async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, std::io::Error> {
        let asked = Asked::read(request).await;
        if self.vendor.is_aside(&asked) {
            return Ok(self.vendor.answer(&asked, 1).response());
        }
        let in_flight = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_in_flight.fetch_max(in_flight, Ordering::SeqCst);
        self.seen.lock().unwrap().push(asked.clone());
        self.arrived.notify_waiters();
        if let Some(gate) = &self.gate {
            gate.acquire().await.expect("the gate stays").forget();
        }
        let twist = self.twists.lock().unwrap().pop_front();
        let reply = match &twist {
            Some(Twist::Say(reply)) => reply.clone(),
            _ => self.vendor.answer(&asked, in_flight),
        };
        if matches!(twist, Some(Twist::Slow)) {
            std::future::pending::<Infallible>().await;
        }
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        match twist {
            Some(Twist::Reset) => Err(std::io::ErrorKind::ConnectionReset.into()),
            _ => Ok(reply.response()),
        }
    }
}

impl Asked {
    async fn read(request: Request<Incoming>) -> Self {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.expect("the relay sends all of it");
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let query = url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
        Self {
            method: parts.method.to_string(),
            path: parts.uri.path().split('/').skip(1).map(decoded).collect(),
            query: query.into_owned().collect(),
            headers: parts.headers,
            body: body.to_bytes(),
        }
    }

    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default()
    }

    /// The body where it is JSON and says so.
    pub fn json(&self, content_type: &str) -> Option<Value> {
        let kind = self.header("content-type").split(';').next();
        (kind == Some(content_type)).then(|| serde_json::from_slice(&self.body).ok())?
    }

    /// User and password of Basic.
    pub fn basic(&self) -> Option<(String, String)> {
        let encoded = self.header("authorization").strip_prefix("Basic ")?;
        let text = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
        let (user, password) = text.split_once(':')?;
        Some((user.to_owned(), password.to_owned()))
    }

    /// The fields of a form that says that it is one.
    pub fn form(&self) -> Vec<(String, String)> {
        if self.header("content-type") != "application/x-www-form-urlencoded" {
            return Vec::new();
        }
        url::form_urlencoded::parse(&self.body)
            .into_owned()
            .collect()
    }

    pub fn bearer(&self) -> Option<&str> {
        self.header("authorization").strip_prefix("Bearer ")
    }

    /// Method and path segments; `*` stands for any one segment.
    pub fn is(&self, method: &str, path: &str) -> bool {
        let wanted: Vec<&str> = path.split('/').skip(1).collect();
        let pairs = || wanted.iter().zip(&self.path);
        self.method == method
            && wanted.len() == self.path.len()
            && pairs().all(|(wanted, found)| *wanted == "*" || wanted == found)
    }
}

impl Reply {
    pub fn json(status: u16, body: &Value) -> Self {
        Self::of(status, "application/json", body.to_string())
    }

    pub fn text(status: u16, body: &str) -> Self {
        Self::of(status, "text/plain", body.to_owned())
    }

    pub fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: String::new(),
        }
    }

    pub fn of(status: u16, content_type: &str, body: String) -> Self {
        Self {
            status,
            headers: vec![("content-type", content_type.to_owned())],
            body,
        }
    }

    pub fn header(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        let value = match value.into() {
            Value::String(text) => text,
            number => number.to_string(),
        };
        self.headers.push((name, value));
        self
    }

    fn response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from(self.body)));
        *response.status_mut() = StatusCode::from_u16(self.status).expect("a status");
        for (name, value) in self.headers {
            let value = HeaderValue::from_str(&value).expect("a header value");
            let name = HeaderName::from_static(name);
            response.headers_mut().append(name, value);
        }
        response
    }
}
