//! The real transport: reqwest over rustls. Connections are shared by destinations with equal settings.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use reqwest::{Client, ClientBuilder};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;

use super::guard::{Guard, Guarded, Names, Refused, SystemNames};
use super::{
    Answer, Connection, Failure, FailureKind, Incoming, Outgoing, Proxy, RESPONSE_BYTES, Transport,
};

/// Waiting for a connection and its handshake takes so long at most.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends over the network.
pub struct NetworkTransport {
    clients: Mutex<HashMap<Arc<Connection>, Line>>,
    names: Arc<dyn Names>,
    /// So much of an answer is read, in bytes.
    reads: usize,
}

/// What requests with equal settings go out by.
#[derive(Clone)]
struct Line {
    client: Client,
    guard: Arc<Guard>,
}

impl Default for NetworkTransport {
    fn default() -> Self {
        Self::reading(RESPONSE_BYTES)
    }
}

#[async_trait]
impl Transport for NetworkTransport {
    async fn send(&self, request: Outgoing) -> Result<Answer, Failure> {
        let client = self.client(&request)?;
        let timeout = request.timeout;
        let sent = client
            .request(request.method, request.url)
            .headers(request.headers)
            .body(request.body)
            .timeout(timeout)
            .send()
            .await;
        let mut response = sent.map_err(|error| failure(&error, timeout))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = BytesMut::new();
        let complete = loop {
            match response.chunk().await {
                Ok(None) => break true,
                Ok(Some(chunk)) if body.len() + chunk.len() <= self.reads => {
                    body.extend_from_slice(&chunk);
                }
                Ok(Some(chunk)) => {
                    body.extend_from_slice(&chunk.slice(..self.reads - body.len()));
                    break false;
                }
                Err(_) => break false,
            }
        };
        Ok(Answer {
            status,
            headers,
            body: Bytes::from(body),
            complete,
        })
    }

    fn reload(&self) {
        self.clients
            .lock()
            .expect("no client is built while another panics")
            .clear();
    }
}

impl NetworkTransport {
    /// One that reads so many bytes of an answer, for answers that are wanted whole.
    pub fn reading(bytes: usize) -> Self {
        Self {
            clients: Mutex::default(),
            names: Arc::new(SystemNames),
            reads: bytes,
        }
    }

    /// One that asks `names` where a host is.
    pub fn knowing(names: Arc<dyn Names>) -> Self {
        Self {
            names,
            ..Self::default()
        }
    }

    /// Begins a request whose answer comes bit by bit and has no end of its own: `request.timeout` is not
    /// looked at, and waiting is bounded by whoever reads.
    pub async fn open(&self, request: Outgoing) -> Result<Incoming, Failure> {
        let client = self.client(&request)?;
        let sent = client
            .request(request.method, request.url)
            .headers(request.headers)
            .body(request.body)
            .send()
            .await;
        let response = sent.map_err(|error| failure(&error, request.timeout))?;
        Ok(Incoming::new(response))
    }

    /// Whether requests can be made with these settings: files are there, a proxy's URL is one.
    pub fn check(connection: &Connection) -> Result<(), Failure> {
        built(build(connection)?).map(drop)
    }

    /// What `request` goes out by, if it may go where it says.
    fn client(&self, request: &Outgoing) -> Result<Client, Failure> {
        let Line { client, guard } = self.line(&request.connection)?;
        guard.admit(&request.url)?;
        Ok(client)
    }

    fn line(&self, connection: &Arc<Connection>) -> Result<Line, Failure> {
        let mut clients = self
            .clients
            .lock()
            .expect("no client is built while another panics");
        if let Some(line) = clients.get(connection) {
            return Ok(line.clone());
        }
        let guard = Arc::new(Guard::new(connection, self.names.clone()));
        let builder = build(connection)?.dns_resolver(Guarded(guard.clone()));
        let client = built(builder)?;
        let line = Line { client, guard };
        clients.insert(connection.clone(), line.clone());
        Ok(line)
    }
}

fn build(connection: &Connection) -> Result<ClientBuilder, Failure> {
    let builder = Client::builder()
        .tls_backend_preconfigured(tls(connection)?)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(Duration::from_mins(1))
        .tcp_keepalive(Duration::from_secs(30));
    Ok(match &connection.proxy {
        Proxy::Direct => builder.no_proxy(),
        Proxy::Environment => builder,
        Proxy::Url(url) => {
            let proxy = reqwest::Proxy::all(url.expose())
                .map_err(|_| settings("proxy is no URL that can be used"))?;
            builder.no_proxy().proxy(proxy)
        }
    })
}

fn built(builder: ClientBuilder) -> Result<Client, Failure> {
    builder
        .build()
        .map_err(|_| settings("the HTTP client cannot be built from these settings"))
}

pub(super) fn tls(connection: &Connection) -> Result<ClientConfig, Failure> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| settings(&error.to_string()))?;
    let verified = match &connection.ca {
        Some(path) => versions.with_root_certificates(roots(path)?),
        None => versions
            .with_platform_verifier()
            .map_err(|error| settings(&format!("no system certificates: {error}")))?,
    };
    let mut config = match &connection.identity {
        None => verified.with_no_client_auth(),
        Some((cert, key)) => {
            let chain = certificates(cert)?;
            let key = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| settings(&format!("tls.key {}: {error}", key.display())))?;
            verified
                .with_client_auth_cert(chain, key)
                .map_err(|error| settings(&format!("tls.cert and tls.key: {error}")))?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn roots(path: &Path) -> Result<RootCertStore, Failure> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path)? {
        store
            .add(certificate)
            .map_err(|error| settings(&format!("tls.ca {}: {error}", path.display())))?;
    }
    Ok(store)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let read = || CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>();
    let found = read().map_err(|error| settings(&format!("{}: {error}", path.display())))?;
    if found.is_empty() {
        return Err(settings(&format!(
            "{} holds no certificate",
            path.display()
        )));
    }
    Ok(found)
}

fn settings(message: &str) -> Failure {
    Failure {
        kind: FailureKind::Settings,
        message: message.to_owned(),
    }
}

/// Words for why no answer came. The library's own would quote the URL.
fn failure(error: &reqwest::Error, timeout: Duration) -> Failure {
    let mut cause: &dyn std::error::Error = error;
    let mut is_tls = false;
    while let Some(source) = cause.source() {
        if let Some(refused) = source.downcast_ref::<Refused>() {
            return refused.clone().into();
        }
        is_tls |= is_of_tls(source);
        cause = source;
    }
    let (kind, what) = if error.is_timeout() && error.is_connect() {
        (FailureKind::Timeout, "no connection in time".to_owned())
    } else if error.is_timeout() {
        (
            FailureKind::Timeout,
            format!("no answer within {}", humantime::format_duration(timeout)),
        )
    } else if is_tls {
        (FailureKind::Tls, format!("TLS: {cause}"))
    } else if error.is_connect() {
        (FailureKind::Connect, format!("cannot connect: {cause}"))
    } else {
        (
            FailureKind::Broken,
            format!("the connection broke: {cause}"),
        )
    };
    Failure {
        kind,
        message: what,
    }
}

/// An I/O error wraps what rustls said without naming it as its source.
fn is_of_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    let wrapped = error
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref);
    error.is::<rustls::Error>() || wrapped.is_some_and(|inner| is_of_tls(inner))
}
