//! Events that a running relay has taken, asked from its API: what they said, what came before them,
//! and what became of them.

use std::collections::BTreeMap;

use anyhow::Context as _;
use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::client::{Office, understood};
use crate::app::{AsKept, Fate, Past};
use crate::model::{EventId, EventType, Kept, Name, RouteError, Subject};

/// An event as the API tells it.
#[derive(Debug, Deserialize)]
pub(super) struct StoredEvent {
    pub(super) id: String,
    pub(super) source: String,
    #[serde(rename = "type")]
    pub(super) event_type: String,
    pub(super) subject: Option<String>,
    pub(super) revision: u32,
    pub(super) changed: Vec<String>,
    pub(super) candidate: Option<String>,
    pub(super) received_at: Timestamp,
    #[serde(default)]
    pub(super) route_errors: Vec<RouteError>,
    #[serde(default)]
    pub(super) payload: Option<Box<RawValue>>,
    #[serde(default)]
    pub(super) payload_error: Option<String>,
    pub(super) kept_fields: Option<Vec<String>>,
    #[serde(default)]
    pub(super) deliveries: Vec<StoredDelivery>,
    #[serde(default)]
    pub(super) revisions: Vec<StoredRevision>,
}

/// A delivery as the API tells it; lists leave attempts out.
#[derive(Debug, Deserialize)]
pub(super) struct StoredDelivery {
    pub(super) id: String,
    pub(super) destination: String,
    pub(super) route: String,
    pub(super) state: String,
    pub(super) due_at: Option<Timestamp>,
    pub(super) last_error: Option<String>,
    pub(super) created_at: Timestamp,
    #[serde(default)]
    pub(super) attempts: Vec<StoredAttempt>,
}

#[derive(Debug, Deserialize)]
pub(super) struct StoredAttempt {
    pub(super) at: Timestamp,
    pub(super) duration_ms: u64,
    pub(super) status: Option<u16>,
    pub(super) verdict: String,
    pub(super) reason: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct StoredRevision {
    pub(super) id: String,
    pub(super) revision: u32,
    pub(super) changed: Vec<String>,
    pub(super) received_at: Timestamp,
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
        understood(&self.get(&format!("/api/v1/events/{id}"), &[]).await?)
    }

    /// The newest event of each subject of a candidate.
    pub(super) async fn newest_of(&self, candidate: &str) -> anyhow::Result<Vec<StoredEvent>> {
        let query = [
            ("candidate", candidate.to_owned()),
            ("limit", "500".to_owned()),
        ];
        let listed: Listed = understood(&self.get("/api/v1/events", &query).await?)?;
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

    /// The fields that were kept of its body; None for the whole.
    pub(super) fn kept(&self) -> Option<Kept> {
        let fields = self.kept_fields.as_ref()?;
        Some(fields.iter().cloned().collect())
    }

    /// What is known of it beside its payload, where that, or the one before, is not whole.
    pub(super) fn as_kept<'a>(
        &'a self,
        (payload, kept): (&'a Bytes, Option<&'a Kept>),
        history: &[Past],
    ) -> Option<AsKept<'a>> {
        let before = history.last().is_some_and(|past| past.kept.is_some());
        (kept.is_some() || before).then_some(AsKept {
            kept,
            payload,
            changed: &self.changed,
        })
    }

    /// The body as it is kept.
    pub(super) fn payload(&self) -> anyhow::Result<Bytes> {
        let kept = self.payload.as_ref().map(|raw| raw.get().to_owned().into());
        if let Some(error) = &self.payload_error {
            anyhow::bail!("{}: {error}", self.id);
        }
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
            kept: self.kept(),
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
