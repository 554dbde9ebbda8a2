//! Whether senders still send, and whether what they began comes to an end: looked at once a minute, told
//! once for each change, and whenever somebody asks.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::{SignedDuration, Timestamp};

use crate::clock::Clock;
use crate::model::{Name, SourceState, after};
use crate::source::Source;
use crate::store::{Heard, Listen, Store, StoreError};
use crate::telemetry::{SourceGauges, Telemetry};

/// How the sources stood.
pub(super) type Known = HashMap<Name, SourceState>;

/// Watches the senders.
pub struct Senders {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    telemetry: Arc<Telemetry>,
    /// A source that was never heard is silent from here on.
    started: Timestamp,
    /// By name; swapped on reload.
    watched: ArcSwap<Vec<Watch>>,
}

/// What is expected of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    pub source: Name,
    pub silent_after: Option<Duration>,
    pub stuck_after: Option<Duration>,
}

/// How a source stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderHealth {
    pub source: Name,
    pub state: SourceState,
    pub last_event_at: Option<Timestamp>,
    /// Empty where it is healthy.
    pub reason: String,
    /// None where nothing is expected of it.
    silent: Option<bool>,
    stuck: Option<u64>,
}

impl Watch {
    /// What is expected of these sources, by name.
    pub fn all<'a>(sources: impl Iterator<Item = &'a Arc<Source>>) -> Vec<Self> {
        let watch = |source: &Arc<Source>| Self {
            source: source.name.clone(),
            silent_after: source.silent_after,
            stuck_after: source.stuck_after,
        };
        let mut all: Vec<Self> = sources.map(watch).collect();
        all.sort_by(|a, b| a.source.cmp(&b.source));
        all
    }
}

impl Senders {
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        telemetry: Arc<Telemetry>,
        watched: Vec<Watch>,
    ) -> Self {
        Self {
            started: clock.now(),
            store,
            clock,
            telemetry,
            watched: ArcSwap::from_pointee(watched),
        }
    }

    /// From now on this is expected.
    pub fn expect(&self, watched: Vec<Watch>) {
        self.watched.store(Arc::new(watched));
    }

    /// How each source stands now, by name.
    pub async fn look(&self) -> Result<Vec<SenderHealth>, StoreError> {
        let now = self.clock.now();
        let watched = self.watched.load_full();
        let ask = |watch: &Watch| Listen {
            source: watch.source.clone(),
            collected_by: watch.stuck_after.map(|limit| before(now, limit)),
        };
        let heard = self.store.heard(watched.iter().map(ask).collect()).await?;
        let judge = |(watch, heard)| judge(watch, heard, (self.started, now));
        Ok(watched.iter().zip(&heard).map(judge).collect())
    }

    /// Sets the metrics to how they stand now. Without a store they stay as they are.
    pub async fn measure(&self) {
        if let Ok(all) = self.look().await {
            let gauges: Vec<SourceGauges> = all.iter().map(SenderHealth::gauges).collect();
            self.telemetry.metrics.set_sources(&gauges);
        }
    }

    /// Looks, and tells what changed since this was done before.
    pub(super) async fn watch(&self, known: &mut Known) {
        match self.look().await {
            Ok(all) => *known = self.tell(known, all),
            Err(error) => tracing::warn!(%error, "the senders' health could not be read"),
        }
    }

    fn tell(&self, known: &Known, all: Vec<SenderHealth>) -> Known {
        let now = self.clock.now();
        let mut states = Known::new();
        for health in all {
            let before = known.get(&health.source).copied();
            if health.state != before.unwrap_or(SourceState::Healthy) {
                self.telemetry
                    .source(now, &health.source, health.state, &health.reason);
            }
            states.insert(health.source, health.state);
        }
        states
    }
}

impl SenderHealth {
    fn gauges(&self) -> SourceGauges {
        SourceGauges {
            source: self.source.clone(),
            silent: self.silent,
            last_event_at: self.last_event_at,
            stuck: self.stuck,
        }
    }
}

fn judge(watch: &Watch, heard: &Heard, (started, now): (Timestamp, Timestamp)) -> SenderHealth {
    let since = heard.last_event_at.unwrap_or(started);
    let silent = watch.silent_after.map(|limit| after(since, now) > limit);
    let stuck = watch.stuck_after.map(|_| heard.stuck);
    let mut reasons = Vec::new();
    if let Some(limit) = watch.silent_after.filter(|_| silent == Some(true)) {
        reasons.push(format!("no event for longer than {}", words(limit)));
    }
    if let Some(limit) = watch.stuck_after.filter(|_| heard.stuck > 0) {
        let (count, limit) = (heard.stuck, words(limit));
        let interviews = if count == 1 {
            "interview was"
        } else {
            "interviews were"
        };
        reasons.push(format!(
            "{count} {interviews} collected and not submitted within {limit}"
        ));
    }
    let state = match (silent, stuck) {
        (Some(true), _) => SourceState::Silent,
        (_, Some(1..)) => SourceState::Stuck,
        _ => SourceState::Healthy,
    };
    SenderHealth {
        source: watch.source.clone(),
        state,
        last_event_at: heard.last_event_at,
        reason: reasons.join("; "),
        silent,
        stuck,
    }
}

fn words(limit: Duration) -> String {
    humantime::format_duration(limit).to_string()
}

fn before(now: Timestamp, by: Duration) -> Timestamp {
    let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
    now.checked_sub(by).unwrap_or(Timestamp::MIN)
}
