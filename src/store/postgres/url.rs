//! `postgres://…` as an operator writes it: what of it is ours, what is the driver's, and what may be shown.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr as _;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

/// Connections that read, and a few beside them that write.
const POOL: usize = 8;
const MOST_POOL: usize = 100;

/// Longest a statement may take at the database.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a connection may take to be made, and how long a dead one may seem to live.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A database, and which schema of it.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    pub(super) config: Config,
    /// A name of small letters, digits and `_`, so that it needs no quoting.
    pub(super) schema: String,
    pub(super) pool: usize,
    pub(super) statement_timeout: Duration,
    /// None without TLS.
    pub(super) tls: Option<Authorities>,
}

/// Whose word counts for the database's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Authorities {
    System,
    /// A file of certificates in PEM.
    File(PathBuf),
}

/// Why a text is no such URL, in words that do not tell it: it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct BadUrl {
    pub problem: String,
    pub hint: &'static str,
}

const FORM: &str = "write \"postgres://user:password@host/database\"";
const MODES: &str = "write sslmode=verify-full, or sslmode=disable where nobody else is on the network; a certificate is always \
     judged by authorities and name";

impl PostgresUrl {
    pub fn parse(text: &str) -> Result<Self, BadUrl> {
        let (place, query) = text.split_once('?').unwrap_or((text, ""));
        let mut own = Own::default();
        let mut theirs = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            if !own.take(pair)? {
                theirs.push(pair);
            }
        }
        let rest = format!("{place}?{}", theirs.join("&"));
        let mut config = Config::from_str(&rest).map_err(|error| no_url(&error))?;
        if config.get_hosts().is_empty() {
            return Err(bad("it names no host", FORM));
        }
        if config.get_application_name().is_none() {
            config.application_name("mojito-relay");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        // Whoever vanished without a word must not hold up all writes for a quarter of an hour.
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(2 * CONNECT_TIMEOUT);
        }
        // The driver's own two hours would be as good as never.
        if config.get_keepalives_idle() > 2 * CONNECT_TIMEOUT {
            config.keepalives_idle(2 * CONNECT_TIMEOUT);
        }
        let tls = own.tls(&config)?;
        config.ssl_mode(match tls {
            Some(_) => SslMode::Require,
            None => SslMode::Disable,
        });
        Ok(Self {
            config,
            schema: own.schema.unwrap_or_else(|| "relay".to_owned()),
            pool: own.pool.unwrap_or(POOL),
            statement_timeout: own.statement_timeout.unwrap_or(STATEMENT_TIMEOUT),
            tls,
        })
    }
}

impl PostgresUrl {
    pub fn has_password(&self) -> bool {
        self.config.get_password().is_some()
    }
}

/// Parameters that the driver does not know.
#[derive(Default)]
struct Own {
    schema: Option<String>,
    pool: Option<usize>,
    statement_timeout: Option<Duration>,
    sslmode: Option<String>,
    sslrootcert: Option<PathBuf>,
}

impl Own {
    /// False where it is not one of ours.
    fn take(&mut self, pair: &str) -> Result<bool, BadUrl> {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = percent_decode_str(value).decode_utf8();
        let value = value.map_err(|_| bad("a parameter is not UTF-8", FORM))?;
        match key {
            "schema" => self.schema = Some(schema(&value)?),
            "pool" => {
                let pool = value.parse().ok();
                let pool = pool.filter(|pool| (1..=MOST_POOL).contains(pool));
                let pool = pool.ok_or_else(|| bad("pool is no number from 1 to 100", "pool=8"))?;
                self.pool = Some(pool);
            }
            "statement_timeout" => {
                let timeout = humantime::parse_duration(&value).ok();
                // A lease that is waited for takes half of it.
                let sound = |timeout: &Duration| *timeout >= Duration::from_secs(10);
                let timeout = timeout.filter(sound).ok_or_else(|| {
                    bad(
                        "statement_timeout is no time of ten seconds or more",
                        "write statement_timeout=30s",
                    )
                })?;
                self.statement_timeout = Some(timeout);
            }
            "sslmode" => self.sslmode = Some(value.into_owned()),
            "sslrootcert" => self.sslrootcert = Some(value.as_ref().into()),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// TLS wherever the database is not on this machine, unless told otherwise.
    fn tls(&self, config: &Config) -> Result<Option<Authorities>, BadUrl> {
        let secure = match self.sslmode.as_deref() {
            Some("disable") => false,
            Some("require" | "verify-ca" | "verify-full") => true,
            Some(_) => return Err(bad("its sslmode is none that is safe or plain", MODES)),
            None => self.sslrootcert.is_some() || !config.get_hosts().iter().all(is_here),
        };
        let authorities = match &self.sslrootcert {
            Some(file) => Authorities::File(file.clone()),
            None => Authorities::System,
        };
        Ok(secure.then_some(authorities))
    }
}

fn is_here(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            let name = name.trim_matches(['[', ']']);
            let address = name.parse::<std::net::IpAddr>();
            name == "localhost" || address.is_ok_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

fn schema(name: &str) -> Result<String, BadUrl> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
    if !begins || name.len() > 63 || !name.chars().all(fits) || name.starts_with("pg_") {
        return Err(bad(
            "schema is no name of small letters, digits and _",
            "write schema=relay",
        ));
    }
    Ok(name.to_owned())
}

/// The driver names keys, and no values.
fn no_url(error: &tokio_postgres::Error) -> BadUrl {
    let cause = std::error::Error::source(error);
    let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
    bad(
        &format!("it is no URL of a PostgreSQL database{cause}"),
        FORM,
    )
}

fn bad(problem: &str, hint: &'static str) -> BadUrl {
    BadUrl {
        problem: problem.to_owned(),
        hint,
    }
}

/// Without user and password.
impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports = self.config.get_ports();
        let hosts = self.config.get_hosts().iter().enumerate();
        let hosts: Vec<String> = hosts
            .map(|(at, host)| {
                let port = ports.get(at).or(ports.first()).copied().unwrap_or(5432);
                match host {
                    Host::Tcp(name) => format!("{name}:{port}"),
                    #[cfg(unix)]
                    Host::Unix(folder) => format!("{}:{port}", folder.display()),
                }
            })
            .collect();
        let database = self.config.get_dbname().unwrap_or_default();
        let (hosts, schema) = (hosts.join(","), &self.schema);
        write!(f, "postgres://{hosts}/{database}?schema={schema}")
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_shown_without_user_and_password() {
        let url = "postgres://somebody:p%40ss@db.example:5433/relay?schema=one&application_name=x";
        let url = PostgresUrl::parse(url).unwrap();
        assert_eq!(
            url.to_string(),
            "postgres://db.example:5433/relay?schema=one"
        );
        assert!(!format!("{url:?}").contains("ss"));
        assert_eq!(url.config.get_password(), Some(&b"p@ss"[..]));
    }

    #[test]
    fn what_is_wrong_is_told_without_the_url() {
        for text in [
            "postgres://u:sesame@h:port/d",
            "postgres://u:sesame@h/d?colour=sesame",
            "postgres://u:sesame@h/d?schema=Sesame",
            "postgres://u:sesame@h/d?pool=sesame",
            "postgres://u:sesame@h/d?sslmode=sesame",
            "postgres://u:sesame@h/d?sslmode=prefer",
            "postgres://u:sesame@h/d?statement_timeout=sesame",
            "postgres://",
        ] {
            let told = PostgresUrl::parse(text).unwrap_err();
            let told = format!("{told} {}", told.hint);
            assert!(!told.to_lowercase().contains("sesame"), "{told}");
        }
    }

    #[test]
    fn without_tls_only_on_this_machine_or_where_it_is_said() {
        let check = |text: &str, expect: Option<Authorities>| {
            assert_eq!(PostgresUrl::parse(text).unwrap().tls, expect, "{text}");
        };
        check("postgres://localhost/d", None);
        check("postgres://127.0.0.1/d", None);
        check("postgres:///d?host=/run/postgresql", None);
        check("postgres://db/d?sslmode=disable", None);
        check("postgres://db/d", Some(Authorities::System));
        check("postgres://localhost,db/d", Some(Authorities::System));
        check(
            "postgres://localhost/d?sslmode=require",
            Some(Authorities::System),
        );
        check(
            "postgres://db/d?sslrootcert=/etc/ca.pem",
            Some(Authorities::File("/etc/ca.pem".into())),
        );
    }
}
