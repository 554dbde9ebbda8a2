//! Whether a host can be reached: its name, a connection, its certificate. Nothing is asked of it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::client;
use super::guard::{Guard, Names, Refused};
use super::{Connection, Failure, FailureKind, Proxy};

/// Each step takes so long at most.
const STEP: Duration = Duration::from_secs(5);

/// How far it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// A connection without TLS.
    Plain,
    /// A TLS handshake with a certificate that is trusted.
    Tls,
    /// The proxy that is in between: what is behind it was not looked at.
    Proxy,
    /// Nothing was looked at: the environment names the proxy.
    Unknown,
}

/// Connects to the host of `url`, whose address `names` knows, and closes the connection again.
pub async fn probe(
    url: &Url,
    connection: &Connection,
    names: &Arc<dyn Names>,
) -> Result<Reached, Failure> {
    let guard = Guard::new(connection, names.clone());
    guard.admit(url)?;
    match &connection.proxy {
        Proxy::Direct => {}
        Proxy::Environment => return Ok(Reached::Unknown),
        Proxy::Url(proxy) => {
            let unusable = |_| failure(FailureKind::Settings, "proxy is no URL that can be used");
            let proxy = Url::parse(proxy.expose()).map_err(unusable)?;
            let lookup = async |name: String| Ok(names.look_up(&name).await?);
            connect(&proxy, lookup).await?;
            return Ok(Reached::Proxy);
        }
    }
    let lookup = async |name: String| guard.addresses(&name).await;
    let socket = connect(url, lookup).await?;
    if url.scheme() != "https" {
        return Ok(Reached::Plain);
    }
    let tls = TlsConnector::from(Arc::new(client::tls(connection)?));
    let name = match url.host() {
        Some(Host::Domain(name)) => ServerName::try_from(name.to_owned()).ok(),
        Some(Host::Ipv4(ip)) => Some(ServerName::from(IpAddr::from(ip))),
        Some(Host::Ipv6(ip)) => Some(ServerName::from(IpAddr::from(ip))),
        None => None,
    };
    let name = name.ok_or_else(|| failure(FailureKind::Tls, "TLS: the host has no usable name"))?;
    match tokio::time::timeout(STEP, tls.connect(name, socket)).await {
        Ok(Ok(_)) => Ok(Reached::Tls),
        Ok(Err(error)) => Err(failure(FailureKind::Tls, format!("TLS: {error}"))),
        Err(_) => Err(failure(FailureKind::Timeout, "TLS: no answer in time")),
    }
}

type Found = Result<Vec<IpAddr>, Box<dyn std::error::Error + Send + Sync>>;

async fn connect(url: &Url, lookup: impl AsyncFn(String) -> Found) -> Result<TcpStream, Failure> {
    let found = match url.host() {
        Some(Host::Domain(name)) => resolve(lookup(name.to_owned())).await?,
        Some(Host::Ipv4(ip)) => vec![IpAddr::from(ip)],
        Some(Host::Ipv6(ip)) => vec![IpAddr::from(ip)],
        None => Vec::new(),
    };
    let port = url.port_or_known_default().unwrap_or(443);
    let addresses: Vec<SocketAddr> = found
        .into_iter()
        .map(|ip| SocketAddr::new(ip, port))
        .collect();
    match tokio::time::timeout(STEP, TcpStream::connect(&addresses[..])).await {
        Ok(Ok(socket)) => Ok(socket),
        Ok(Err(error)) => Err(failure(
            FailureKind::Connect,
            format!("cannot connect: {error}"),
        )),
        Err(_) => Err(failure(FailureKind::Timeout, "no connection in time")),
    }
}

async fn resolve(lookup: impl Future<Output = Found>) -> Result<Vec<IpAddr>, Failure> {
    let unknown = |why: String| failure(FailureKind::Connect, format!("DNS: {why}"));
    match tokio::time::timeout(STEP, lookup).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(match error.downcast::<Refused>() {
            Ok(refused) => (*refused).into(),
            Err(error) => unknown(error.to_string()),
        }),
        Err(_) => Err(unknown("no answer in time".to_owned())),
    }
}

fn failure(kind: FailureKind, message: impl Into<String>) -> Failure {
    Failure {
        kind,
        message: message.into(),
    }
}
