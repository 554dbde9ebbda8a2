//! What `relay check --online` looks at: hosts, certificates, the store's place, and whether Slack knows
//! a bot. Nothing is delivered, and no path or secret is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;
use serde::Serialize;
use url::Url;

use super::Ready;
use super::stores::look_at;
use crate::destination::Destination;
use crate::transport::{Connection, Names, Reached, Transport, probe};

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Look {
    /// A host with its port, the store's file, or a vendor's method.
    pub what: String,
    /// The destinations that it concerns.
    pub destinations: Vec<String>,
    pub ok: bool,
    /// How it is, or what is wrong with it.
    pub words: String,
}

/// Looks at everything that a configuration needs from the outside. `names` knows where hosts are.
pub async fn look_online(
    ready: &Ready,
    network: &dyn Transport,
    names: &Arc<dyn Names>,
) -> Vec<Look> {
    let mut destinations: Vec<&Arc<Destination>> =
        ready.compiled.rules.destinations.values().collect();
    destinations.sort_by(|a, b| a.name().cmp(b.name()));
    let mut looks = vec![look_at(&ready.config.store.url).await];
    let hosts = hosts(&destinations);
    looks.extend(join_all(hosts.iter().map(|host| host.look(names))).await);
    let asked = destinations.iter().filter_map(|one| identity(one, network));
    looks.extend(join_all(asked).await);
    looks
}

/// A host, and who needs it.
struct Host {
    url: Url,
    connection: Arc<Connection>,
    destinations: Vec<String>,
}

/// Every host once for each way to connect to it.
fn hosts(destinations: &[&Arc<Destination>]) -> Vec<Host> {
    let mut hosts: BTreeMap<String, Vec<Host>> = BTreeMap::new();
    for destination in destinations {
        let own = (destination.origin(), &destination.settings().connection);
        let client = destination.oauth2();
        let token = client.map(|client| {
            let origin = client.token_url.origin().ascii_serialization();
            (origin, &client.connection)
        });
        for (origin, connection) in [Some(own), token].into_iter().flatten() {
            let Ok(url) = Url::parse(&origin) else {
                continue;
            };
            let name = destination.name().to_string();
            let alike = hosts.entry(origin).or_default();
            match alike.iter_mut().find(|host| host.connection == *connection) {
                Some(host) if host.destinations.contains(&name) => {}
                Some(host) => host.destinations.push(name),
                None => alike.push(Host {
                    url,
                    connection: connection.clone(),
                    destinations: vec![name],
                }),
            }
        }
    }
    hosts.into_values().flatten().collect()
}

impl Host {
    async fn look(&self, names: &Arc<dyn Names>) -> Look {
        let reached = probe(&self.url, &self.connection, names).await;
        let port = self.url.port_or_known_default().unwrap_or_default();
        Look {
            what: format!("{}:{port}", self.url.host_str().unwrap_or_default()),
            destinations: self.destinations.clone(),
            ok: reached.is_ok(),
            words: match reached {
                Ok(Reached::Tls) => "connected, and its certificate is trusted".to_owned(),
                Ok(Reached::Plain) => "connected, without TLS".to_owned(),
                Ok(Reached::Proxy) => "its proxy is there; not looked at behind it".to_owned(),
                Ok(Reached::Unknown) => "not looked at: the environment's proxy is used".to_owned(),
                Err(failure) => failure.message,
            },
        }
    }
}

fn identity<'a>(
    destination: &'a Destination,
    network: &'a dyn Transport,
) -> Option<impl Future<Output = Look> + use<'a>> {
    let request = destination.identity_request()?;
    Some(async move {
        let what = request.url.path().to_owned();
        let known = destination.identity(&network.send(request).await);
        Look {
            what: what.trim_start_matches("/api/").to_owned(),
            destinations: vec![destination.name().to_string()],
            ok: known.is_ok(),
            words: known.unwrap_or_else(|words| words),
        }
    })
}
