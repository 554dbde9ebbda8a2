//! Events that a running relay has taken, asked from its API: what they said, what came before them,
//! and what became of them.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{Method, StatusCode, header};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;

use super::client::request;
use crate::app::{Fate, Past};
use crate::model::{EventId, EventType, Name, Subject};

/// A relay to ask.
pub(super) struct Office {
    pub(super) admin: Url,
    pub(super) token: Option<String>,
}

/// An event as the API tells it.
#[derive(Debug, Deserialize)]
pub(super) struct StoredEvent {
    id: String,
    pub(super) source: String,
    #[serde(rename = "type")]
    pub(super) event_type: String,
    subject: Option<String>,
    revision: u32,
    changed: Vec<String>,
    pub(super) received_at: Timestamp,
    #[serde(default)]
    payload: Option<Box<RawValue>>,
    #[serde(default)]
    pub(super) deliveries: Vec<StoredDelivery>,
    #[serde(default)]
    revisions: Vec<StoredRevision>,
}

#[derive(Debug, Deserialize)]
pub(super) struct StoredDelivery {
    pub(super) destination: String,
    pub(super) route: String,
    pub(super) state: String,
    pub(super) last_error: Option<String>,
    #[serde(default)]
    pub(super) attempts: Vec<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct StoredRevision {
    id: String,
    revision: u32,
}

#[derive(Debug, Deserialize)]
struct Listed {
    items: Vec<StoredEvent>,
}

impl Office {
    /// An event with its payload and deliveries.
    pub(super) async fn event(&self, id: &str) -> anyhow::Result<StoredEvent> {
        let id: EventId = id.parse().with_context(|| {
            format!("`{id}` is no event's id: those are evt_ and 32 hex digits")
        })?;
        self.get(&format!("/api/v1/events/{id}"), &[]).await
    }

    /// The newest event of each subject of a candidate.
    pub(super) async fn newest_of(&self, candidate: &str) -> anyhow::Result<Vec<StoredEvent>> {
        let query = [("candidate", candidate), ("limit", "500")];
        let listed: Listed = self.get("/api/v1/events", &query).await?;
        let mut newest: BTreeMap<(String, Option<String>), StoredEvent> = BTreeMap::new();
        for event in listed.items {
            let alone = event.subject.is_none().then(|| event.id.clone());
            let key = (event.source.clone(), event.subject.clone().or(alone));
            let known = newest.get(&key);
            if known.is_none_or(|known| known.revision < event.revision) {
                newest.insert(key, event);
            }
        }
        let mut events = Vec::new();
        for event in newest.into_values() {
            events.push(self.event(&event.id).await?);
        }
        events.sort_by_key(|event| event.received_at);
        Ok(events)
    }

    /// The revisions before `event`, oldest first.
    pub(super) async fn history(&self, event: &StoredEvent) -> anyhow::Result<Vec<Past>> {
        let earlier = event.revisions.iter();
        let mut earlier: Vec<&StoredRevision> = earlier
            .filter(|known| known.revision < event.revision)
            .collect();
        earlier.sort_by_key(|known| known.revision);
        let mut history = Vec::with_capacity(earlier.len());
        for known in earlier {
            history.push(self.event(&known.id).await?.past()?);
        }
        Ok(history)
    }

    async fn get<T: for<'d> Deserialize<'d>>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> anyhow::Result<T> {
        let mut url = self
            .admin
            .join(path)
            .context("--admin is no address that can be asked")?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let token = self.token.iter();
        let headers = token.map(|token| (header::AUTHORIZATION, format!("Bearer {token}")));
        let answer = match request(Method::GET, url, headers.collect(), Bytes::new()).await {
            Ok(answer) => answer,
            Err(failure) => bail!(
                "no relay answers at {}: {failure}\n  hint: start one with `relay serve`, or say with --admin where it is",
                self.admin
            ),
        };
        match answer.status {
            StatusCode::OK => {
                serde_json::from_slice(&answer.body).context("the relay's answer is not understood")
            }
            StatusCode::UNAUTHORIZED => bail!(
                "the relay at {} wants another token\n  hint: give it with --token, or in RELAY_ADMIN_TOKEN",
                self.admin
            ),
            StatusCode::NOT_FOUND => bail!("the relay at {} has no such event", self.admin),
            status => bail!("the relay at {} answers {status}", self.admin),
        }
    }
}

impl StoredEvent {
    pub(super) fn id(&self) -> anyhow::Result<EventId> {
        self.id
            .parse()
            .context("the relay's answer has no event id")
    }

    pub(super) fn kind(&self) -> (EventType, Option<Subject>) {
        let subject = self.subject.as_deref();
        let subject = subject.and_then(|subject| Subject::new(subject).ok());
        (EventType::new(&self.event_type), subject)
    }

    /// The body as it was received.
    pub(super) fn payload(&self) -> anyhow::Result<Bytes> {
        let kept = self.payload.as_ref().map(|raw| raw.get().to_owned().into());
        kept.with_context(|| format!("what {} said is not kept any more", self.id))
    }

    fn past(&self) -> anyhow::Result<Past> {
        let fate = |delivery: &StoredDelivery| {
            let fate = match delivery.state.as_str() {
                "delivered" => Fate::Sent,
                "waiting" | "sending" => Fate::Waiting,
                "superseded" => Fate::Superseded {
                    by: revision_in(delivery.last_error.as_deref()),
                },
                "skipped" => Fate::Skipped,
                _ => Fate::Never,
            };
            let route = Name::from(delivery.route.as_str());
            (Name::from(delivery.destination.as_str()), (route, fate))
        };
        Ok(Past {
            revision: self.revision,
            payload: self.payload()?,
            changed: self.changed.clone(),
            fates: self.deliveries.iter().map(fate).collect(),
        })
    }
}

/// The number at the end of "superseded by revision 3"; 0 where there is none.
fn revision_in(reason: Option<&str>) -> u32 {
    let last = reason.and_then(|reason| reason.rsplit(' ').next());
    last.and_then(|word| word.parse().ok()).unwrap_or(0)
}
