//! The relay that is asked: where its admin port is, its token, and what it answers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, HeaderName, Method, StatusCode, header};
use serde::Deserialize;
use url::Url;

use super::Global;
use crate::config::{self, Config, Finding, Secrets};
use crate::transport::{
    Answer, Connection, Failure, Incoming, NetworkTransport, Outgoing, Transport as _,
};

/// A relay's own answers are read whole: an event's has the payload in it.
const ANSWER_BYTES: usize = 256 << 20;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which relay to ask, as it is typed.
#[derive(Clone, Debug, Args)]
pub(super) struct AdminArgs {
    /// Address of the relay's admin port, instead of the one in relay.toml
    #[arg(long, value_name = "URL")]
    admin: Option<Url>,
    /// Token of the admin API, instead of `RELAY_ADMIN_TOKEN` or the one in relay.toml
    #[arg(long)]
    token: Option<String>,
}

/// A relay to ask.
pub(super) struct Office {
    pub(super) admin: Url,
    token: Option<String>,
    patience: Duration,
}

/// What is wrong with a request, as the relay says it (RFC 9457).
#[derive(Deserialize)]
struct Problem {
    detail: String,
}

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    #[error(
        "no relay answers at {at}: {failure}\n  hint: start one with `relay serve`, or say with --admin where it is"
    )]
    Unreachable { at: Url, failure: Failure },
    #[error(
        "the relay at {at} wants another token\n  hint: give it with --token, or in RELAY_ADMIN_TOKEN"
    )]
    Token { at: Url },
    #[error("the relay at {at} answers {status}: {detail}")]
    Refused {
        at: Url,
        status: StatusCode,
        detail: String,
    },
}

/// Nobody says where the relay is: findings about [admin] in relay.toml.
#[derive(Debug)]
pub(super) struct NoAddress(Vec<Finding>);

impl std::error::Error for NoAddress {}

impl std::fmt::Display for NoAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0
            .iter()
            .try_for_each(|finding| writeln!(f, "{finding}"))?;
        f.write_str("  hint: or say with --admin where the relay is")
    }
}

impl Office {
    /// The relay that is meant: by flag, else by relay.toml, of which nothing but [admin] is read.
    pub(super) fn of(global: &Global, args: &AdminArgs) -> anyhow::Result<Self> {
        let written = config::admin_alone(&global.inputs(Secrets::Read));
        let admin = match (&args.admin, &written) {
            (Some(admin), _) => admin.clone(),
            (None, Ok(written)) => url_of(written.listen)?,
            // The token may be out of reach here, and the address is not.
            (None, Err(_)) => match config::admin_alone(&global.inputs(Secrets::Skip)) {
                Ok(written) => url_of(written.listen)?,
                Err(findings) => return Err(NoAddress(findings).into()),
            },
        };
        if admin.cannot_be_a_base() {
            bail!("--admin is no address that can be asked; write http://127.0.0.1:8081");
        }
        if !admin.username().is_empty() || admin.password().is_some() {
            bail!(
                "--admin has a name or a password in it, which is not how the admin API is opened; give its token with --token or in RELAY_ADMIN_TOKEN"
            );
        }
        let environment = || {
            let mut variables = config::environment().into_iter();
            let (_, value) = variables.find(|(name, _)| name == "RELAY_ADMIN_TOKEN")?;
            Some(value).filter(|value| !value.is_empty())
        };
        let in_file = || {
            let token = written.ok()?.token?;
            Some(token.expose().to_owned())
        };
        let token = args.token.clone();
        let token = token.or_else(environment).or_else(in_file);
        Ok(Self {
            admin,
            token,
            patience: PATIENCE,
        })
    }

    /// For what is answered only once it is done.
    pub(super) fn patient(self) -> Self {
        Self {
            patience: Duration::from_mins(30),
            ..self
        }
    }

    /// The relay that a configuration is for.
    pub(super) fn meant_by(config: &Config) -> anyhow::Result<Self> {
        let token = config.admin.token.as_ref();
        Ok(Self {
            admin: url_of(config.admin.listen)?,
            token: token.map(|token| token.expose().to_owned()),
            patience: PATIENCE,
        })
    }

    /// The body of what is at `path`.
    pub(super) async fn get(&self, path: &str, query: &[(&str, String)]) -> anyhow::Result<Bytes> {
        Ok(self.ask(Method::GET, self.url(path, query), None).await?)
    }

    /// The answer to a POST of `body`, which is left out where it is null.
    pub(super) async fn post(&self, path: &str, body: &serde_json::Value) -> anyhow::Result<Bytes> {
        let body = (!body.is_null()).then(|| Bytes::from(body.to_string()));
        Ok(self.ask(Method::POST, self.url(path, &[]), body).await?)
    }

    /// An answer that goes on.
    pub(super) async fn open(&self, path: &str) -> Result<Incoming, NoAnswer> {
        let url = self.url(path, &[]);
        let request = outgoing(Method::GET, url, self.headers(false), Bytes::new());
        let opened = NetworkTransport::default().open(request).await;
        let incoming = opened.map_err(|failure| self.unreachable(failure))?;
        match incoming.status() {
            StatusCode::OK => Ok(incoming),
            status => Err(self.refused(status, &incoming.rest().await)),
        }
    }

    async fn ask(&self, method: Method, url: Url, body: Option<Bytes>) -> Result<Bytes, NoAnswer> {
        // Also without a body: no form of a web page can say this, so the relay knows that it is us.
        let headers = self.headers(method == Method::POST);
        let asked = Outgoing {
            timeout: self.patience,
            ..outgoing(method, url, headers, body.unwrap_or_default())
        };
        let network = NetworkTransport::reading(ANSWER_BYTES);
        let answer = network.send(asked).await;
        let answer = answer.map_err(|failure| self.unreachable(failure))?;
        match answer.status {
            StatusCode::OK => Ok(answer.body),
            status => Err(self.refused(status, &answer.body)),
        }
    }

    fn url(&self, path: &str, query: &[(&str, String)]) -> Url {
        let url = self.admin.join(path);
        let mut url = url.expect("a path of ours, and a base that can be one");
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    fn headers(&self, json: bool) -> Vec<(HeaderName, String)> {
        let token = self.token.iter();
        let token = token.map(|token| (header::AUTHORIZATION, format!("Bearer {token}")));
        let kind = (header::CONTENT_TYPE, "application/json".to_owned());
        token.chain(json.then_some(kind)).collect()
    }

    fn unreachable(&self, failure: Failure) -> NoAnswer {
        NoAnswer::Unreachable {
            at: self.admin.clone(),
            failure,
        }
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> NoAnswer {
        let at = self.admin.clone();
        if status == StatusCode::UNAUTHORIZED {
            return NoAnswer::Token { at };
        }
        let problem: Option<Problem> = serde_json::from_slice(body).ok();
        let detail = problem.map_or("is a relay there?".to_owned(), |problem| problem.detail);
        NoAnswer::Refused { at, status, detail }
    }
}

/// What an answer says, in our words for it.
pub(super) fn understood<T: for<'d> Deserialize<'d>>(body: &[u8]) -> anyhow::Result<T> {
    serde_json::from_slice(body).context("the relay's answer is not understood")
}

/// Sends one request over the real network.
pub(super) async fn request(
    method: Method,
    url: Url,
    headers: Vec<(HeaderName, String)>,
    body: Bytes,
) -> Result<Answer, Failure> {
    NetworkTransport::reading(ANSWER_BYTES)
        .send(outgoing(method, url, headers, body))
        .await
}

fn outgoing(method: Method, url: Url, headers: Vec<(HeaderName, String)>, body: Bytes) -> Outgoing {
    let headers: HeaderMap = headers
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.parse().ok()?)))
        .collect();
    Outgoing {
        method,
        url,
        headers,
        body,
        timeout: PATIENCE,
        // Whoever types an address has the network of this machine already.
        connection: Arc::new(Connection {
            allow_private: true,
            ..Connection::default()
        }),
    }
}

fn url_of(listen: SocketAddr) -> anyhow::Result<Url> {
    Ok(Url::parse(&format!("http://{}", reachable(listen)))?)
}

/// How to reach, from this machine, what listens on `address`.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
