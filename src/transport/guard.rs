//! Which addresses a request may go to. A name is resolved once, what it resolves to is judged, and the
//! connection is made to what was judged: nothing is looked up between check and use.

use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::place::{Place, place};
use super::{Connection, Failure, FailureKind, Proxy};

/// Finds the addresses of names.
#[async_trait]
pub trait Names: Send + Sync {
    async fn look_up(&self, name: &str) -> std::io::Result<Vec<IpAddr>>;
}

/// What this machine knows of names.
pub struct SystemNames;

#[async_trait]
impl Names for SystemNames {
    async fn look_up(&self, name: &str) -> std::io::Result<Vec<IpAddr>> {
        let found = tokio::net::lookup_host((name, 0)).await?;
        Ok(found.map(|address| address.ip()).collect())
    }
}

/// The guard of one kind of connection.
pub(super) struct Guard {
    allow_private: bool,
    names: Arc<dyn Names>,
    /// Hosts of requests; None where every name that is looked up is one. A proxy's own name is the
    /// operator's business, and what it resolves for us is its own.
    targets: Option<Mutex<HashSet<String>>>,
}

/// Why an address is not gone to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub problem: String,
    pub advice: &'static str,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.problem, self.advice)
    }
}

impl std::error::Error for Refused {}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self {
            kind: FailureKind::Address,
            message: refused.to_string(),
        }
    }
}

impl Guard {
    pub(super) fn new(connection: &Connection, names: Arc<dyn Names>) -> Self {
        let proxied = connection.proxy != Proxy::Direct;
        Self {
            allow_private: connection.allow_private,
            names,
            targets: proxied.then(Mutex::default),
        }
    }

    /// Refuses an address that `url` names itself. Called before each request: such an address is never looked up.
    pub(super) fn admit(&self, url: &Url) -> Result<(), Refused> {
        let Some(host) = url.host() else {
            return Ok(());
        };
        if let (Host::Domain(name), Some(targets)) = (&host, &self.targets) {
            let mut targets = targets.lock().expect("nothing panics in here");
            if !targets.contains(*name) {
                targets.insert((*name).to_owned());
            }
        }
        judge_literal(&host, self.allow_private)
    }

    /// The addresses of a name that a request may go to.
    pub(super) async fn addresses(
        &self,
        name: &str,
    ) -> Result<Vec<IpAddr>, Box<dyn std::error::Error + Send + Sync>> {
        let found = self.names.look_up(name).await?;
        let judged = |ip: &IpAddr| by_name(name, *ip, self.allow_private);
        let allowed: Vec<IpAddr> = found
            .iter()
            .copied()
            .filter(|ip| judged(ip).is_ok())
            .collect();
        match found.iter().find_map(|ip| judged(ip).err()) {
            Some(refused) if allowed.is_empty() => Err(refused.into()),
            _ => Ok(allowed),
        }
    }

    fn is_target(&self, name: &str) -> bool {
        self.targets.as_ref().is_none_or(|targets| {
            let targets = targets.lock().expect("nothing panics in here");
            targets.contains(name)
        })
    }
}

/// A [`Guard`] in the form that reqwest asks.
pub(super) struct Guarded(pub(super) Arc<Guard>);

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.0.clone();
        Box::pin(async move {
            let name = name.as_str();
            let found = if guard.is_target(name) {
                guard.addresses(name).await?
            } else {
                guard.names.look_up(name).await?
            };
            let addresses = found.into_iter().map(|ip| SocketAddr::new(ip, 0));
            Ok(Box::new(addresses) as Addrs)
        })
    }
}

/// Refuses an address that nothing is sent to, where `host` is one: a name says nothing yet.
pub fn judge_literal<T>(host: &Host<T>, allow_private: bool) -> Result<(), Refused> {
    match host {
        Host::Domain(_) => Ok(()),
        Host::Ipv4(ip) => literal((*ip).into(), allow_private),
        Host::Ipv6(ip) => literal((*ip).into(), allow_private),
    }
}

const ALLOW: &str = "set allow_private = true for this destination if that is meant";
const NOT_BY_NAME: &str = "no name may lead there, with allow_private or without";
const NOWHERE: &str = "nothing is ever sent there";

/// What a URL names itself may be a private address: whoever wrote it down saw that.
fn literal(ip: IpAddr, allow_private: bool) -> Result<(), Refused> {
    let place = place(ip);
    let advice = match place {
        Place::Public | Place::Private | Place::Loopback => return Ok(()),
        Place::LinkLocal | Place::Metadata if allow_private => return Ok(()),
        Place::LinkLocal | Place::Metadata => ALLOW,
        Place::Nowhere(_) => NOWHERE,
    };
    let problem = format!("{ip} is {}", words(place));
    Err(Refused { problem, advice })
}

/// What a name leads to is whatever its zone says today.
fn by_name(name: &str, ip: IpAddr, allow_private: bool) -> Result<(), Refused> {
    let place = place(ip);
    let advice = match place {
        Place::Public => return Ok(()),
        Place::Loopback if is_localhost(name) => return Ok(()),
        Place::Private | Place::Loopback if allow_private => return Ok(()),
        Place::Private | Place::Loopback => ALLOW,
        Place::LinkLocal | Place::Metadata => NOT_BY_NAME,
        Place::Nowhere(_) => NOWHERE,
    };
    let problem = format!("{name} is at {ip}, {}", words(place));
    Err(Refused { problem, advice })
}

fn words(place: Place) -> &'static str {
    match place {
        Place::Public => "a public address",
        Place::Private => "a private address",
        Place::Loopback => "an address of this machine itself",
        Place::LinkLocal => "a link-local address",
        Place::Metadata => "the address of a cloud's metadata service",
        Place::Nowhere(words) => words,
    }
}

/// A name that stands for this machine by definition (RFC 6761, section 6.3).
fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let last = name.rsplit('.').next().unwrap_or(name);
    last.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Inside;

    #[async_trait]
    impl Names for Inside {
        async fn look_up(&self, _name: &str) -> std::io::Result<Vec<IpAddr>> {
            Ok(vec![IpAddr::from([10, 0, 0, 5])])
        }
    }

    async fn resolves(guard: &Arc<Guard>, name: &str) -> bool {
        let name: Name = name.parse().expect("a name");
        Guarded(guard.clone()).resolve(name).await.is_ok()
    }

    #[tokio::test]
    async fn behind_a_proxy_of_the_environment_only_names_of_requests_are_judged() {
        let connection = Connection {
            proxy: Proxy::Environment,
            ..Connection::default()
        };
        let guard = Arc::new(Guard::new(&connection, Arc::new(Inside)));
        let url = Url::parse("http://app.internal/in").expect("a URL");
        guard.admit(&url).expect("a name");
        // Where NO_PROXY has the app, its name is looked up here.
        assert!(!resolves(&guard, "app.internal").await);
        assert!(resolves(&guard, "proxy.internal").await);
        let direct = Arc::new(Guard::new(&Connection::default(), Arc::new(Inside)));
        assert!(!resolves(&direct, "whatever.internal").await);
    }
}
