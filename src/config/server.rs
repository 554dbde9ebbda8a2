//! `[server]`, `[admin]`, `[store]` and `[log]`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::form::{ADDRESS, COUNT, DURATION, NETWORK, SIZE};
use super::reading::Table;
use super::secret::Kind;
use super::{Secrets, encrypt, schema};
use crate::http::{AdminSettings, ServerSettings, TlsFiles};
use crate::model::Secret;
use crate::store::Keyring;
use crate::store::postgres::PostgresUrl;

/// `[store]`: where events are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    pub url: StoreUrl,
    /// Deliveries waiting, over all destinations; above it new events are refused with 503.
    pub max_waiting: u64,
    /// What payloads are sealed by.
    pub encrypt: Keyring,
}

/// Which store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// A file, relative to the working directory.
    Sqlite(PathBuf),
    /// A schema of a database.
    Postgres(Box<PostgresUrl>),
}

impl std::fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

/// `[log]`: what is written to standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    pub format: LogFormat,
    pub level: tracing::Level,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Pretty on a terminal, JSON otherwise.
    Auto,
    Pretty,
    Json,
}

/// From so many characters on a token is beyond guessing, if chance has made it.
const SOUND_TOKEN: usize = 16;

/// Longest deadline of a request; longer ones only tie up connections.
const LONGEST_DEADLINE: Duration = Duration::from_mins(10);

pub(super) fn server(table: &Table<'_>) -> Option<ServerSettings> {
    let deadline = |key: &str| {
        let within = |time: &Duration| !time.is_zero() && *time <= LONGEST_DEADLINE;
        table.limited(
            key,
            DURATION,
            within,
            "more than nothing and at most 10 minutes",
        )
    };
    let listen = table.leaf("listen", ADDRESS);
    let max_body = table.limited("max_body", SIZE, |size| *size > 0, "more than nothing");
    let in_flight = table.leaf("max_body_in_flight", SIZE);
    let body_deadline = deadline("body_deadline");
    let header_deadline = deadline("header_deadline");
    let max_connections = table.leaf("max_connections", COUNT);
    let max_streams = table.leaf("max_streams", COUNT);
    let shutdown_grace = table.limited(
        "shutdown_grace",
        DURATION,
        |time| *time <= Duration::from_hours(1),
        "at most an hour",
    );
    let trusted_proxies = table.list("trusted_proxies", NETWORK);
    let tls = server_tls(table);
    if let (Some(one), Some(all)) = (max_body, in_flight)
        && all < one
    {
        table.error(
            "max_body_in_flight",
            "it is less than max_body, so that a body of that size could never be taken",
            "make it several times max_body",
        );
    }
    Some(ServerSettings {
        listen: listen?,
        max_body: max_body?,
        max_body_in_flight: in_flight?,
        body_deadline: body_deadline?,
        header_deadline: header_deadline?,
        max_connections: max_connections?.get() as usize,
        max_streams: max_streams?.get(),
        shutdown_grace: shutdown_grace?,
        tls,
        trusted_proxies: trusted_proxies?,
    })
}

fn server_tls(table: &Table<'_>) -> Option<TlsFiles> {
    let tls = table.table("tls", &schema::SERVER_TLS)?;
    for key in ["cert", "key"] {
        if !tls.has(key) {
            tls.missing(
                key,
                "TLS needs a certificate chain and its key, both as PEM files",
            );
        }
    }
    let (cert, key) = (tls.file("cert"), tls.file("key"));
    Some(TlsFiles {
        cert: cert?,
        key: key?,
    })
}

/// `served` is where senders post.
pub(super) fn admin(table: &Table<'_>, served: Option<SocketAddr>) -> Option<AdminSettings> {
    let listen = table.leaf("listen", ADDRESS);
    let token = table.secret("token", Kind::Token);
    let listen = listen?;
    if !listen.ip().is_loopback() && !table.has("token") {
        table.error(
            "listen",
            format!("{listen} can be reached from elsewhere, and there is no admin.token"),
            "write token = { env = \"RELAY_ADMIN_TOKEN\" } in [admin], or listen on 127.0.0.1",
        );
    }
    let short = |token: &Secret| token.expose().len() < SOUND_TOKEN;
    if table.reading.secrets == Secrets::Read && token.as_ref().is_some_and(short) {
        table.warn(
            "token",
            format!("it can be guessed: it has fewer than {SOUND_TOKEN} characters"),
            "take what `openssl rand -base64 32` prints",
        );
    }
    if served.is_some_and(|served| clash(served, listen)) {
        table.error(
            "listen",
            "server.listen has the same address",
            "give each a port of its own",
        );
    }
    Some(AdminSettings { listen, token })
}

/// Two listeners cannot have both. Port 0 is any free port.
fn clash(one: SocketAddr, other: SocketAddr) -> bool {
    let any = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && one.port() != 0 && (any || one.ip() == other.ip())
}

pub(super) fn store(table: &Table<'_>) -> Option<StoreSettings> {
    let url = store_url(table);
    let max_waiting = table.leaf("max_waiting", COUNT);
    let encrypt = encrypt::encrypt(table);
    Some(StoreSettings {
        url: url?,
        max_waiting: max_waiting?.get().into(),
        encrypt: encrypt?,
    })
}

pub(super) fn store_url(table: &Table<'_>) -> Option<StoreUrl> {
    let value = table.value("url")?;
    let Some(text) = value.as_str() else {
        let secret = table.secret("url", Kind::Store)?;
        return read_store_url(table, secret.expose());
    };
    let key = table.at("url");
    if table.reading.refuse_substitution(&key, text) {
        return None;
    }
    let url = read_store_url(table, text)?;
    if matches!(&url, StoreUrl::Postgres(url) if url.has_password()) {
        table.reading.warn_of_plain_text(&key);
    }
    Some(url)
}

/// None of its findings shows the text.
fn read_store_url(table: &Table<'_>, text: &str) -> Option<StoreUrl> {
    const EXAMPLE: &str =
        "write \"sqlite:data/relay.db\", or \"postgres://user:password@host/database\"";
    if text.starts_with("postgres:") || text.starts_with("postgresql:") {
        let url = PostgresUrl::parse(text);
        let url = url.map_err(|bad| table.error("url", bad.problem, bad.hint));
        return url.ok().map(Box::new).map(StoreUrl::Postgres);
    }
    let Some(path) = text.strip_prefix("sqlite:") else {
        table.error("url", "this is no store that there is", EXAMPLE);
        return None;
    };
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path.contains('?') {
        table.error("url", "expected the path of a file after sqlite:", EXAMPLE);
        return None;
    }
    if path == ":memory:" {
        table.error(
            "url",
            "a store in memory forgets what it has acknowledged",
            EXAMPLE,
        );
        return None;
    }
    Some(StoreUrl::Sqlite(path.into()))
}

pub(super) fn log(table: &Table<'_>) -> Option<LogSettings> {
    use tracing::Level;
    let format = table.choice(
        "format",
        &[
            ("auto", LogFormat::Auto),
            ("pretty", LogFormat::Pretty),
            ("json", LogFormat::Json),
        ],
    );
    let level = table.choice(
        "level",
        &[
            ("error", Level::ERROR),
            ("warn", Level::WARN),
            ("info", Level::INFO),
            ("debug", Level::DEBUG),
            ("trace", Level::TRACE),
        ],
    );
    Some(LogSettings {
        format: format?,
        level: level?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_clash_on_one_port_unless_their_addresses_differ() {
        let check = |one: &str, other: &str, expect: bool| {
            let [one, other] = [one, other].map(|text| text.parse().expect("an address"));
            assert_eq!(clash(one, other), expect, "{one} {other}");
        };
        check("127.0.0.1:80", "127.0.0.1:80", true);
        check("0.0.0.0:80", "127.0.0.1:80", true);
        check("127.0.0.1:80", "127.0.0.2:80", false);
        check("127.0.0.1:80", "127.0.0.1:81", false);
        check("127.0.0.1:0", "127.0.0.1:0", false);
    }
}
