//! What a room asks of one beside it: neither names the other, and here they are brought together.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::clock::Clock;
use crate::destination::Action;
use crate::dispatch::{Handle, Terms, request};
use crate::intake::Intake;
use crate::model::{ALERTS, DeliveryId, Event, Name, Refusal, Verdict};
use crate::store::{Condemned, EventDetail, NewDelivery, Store, Work};
use crate::transport::Transport;
use crate::upkeep::{Direct, Lanes, Rulebook};

/// The lanes as upkeep needs them.
pub(super) struct LanesOf(pub(super) Handle);

#[async_trait]
impl Lanes for LanesOf {
    async fn forget(&self, condemned: &Condemned) -> bool {
        self.0.forget(condemned.clone()).await.is_ok()
    }

    async fn under_way(&self, destination: &Name) -> Option<HashSet<DeliveryId>> {
        let snapshot = self.0.snapshot().await.ok()?;
        let served = snapshot
            .lanes
            .iter()
            .any(|lane| lane.destination == *destination);
        let under_way = if snapshot.retiring.contains(destination) {
            snapshot.sending
        } else {
            HashSet::new()
        };
        (!served).then_some(under_way)
    }

    async fn blocked(&self) -> Option<HashSet<Name>> {
        let lanes = self.0.snapshot().await.ok()?.lanes.into_iter();
        let blocked = lanes.filter(|lane| lane.blocked);
        Some(blocked.map(|lane| lane.destination).collect())
    }

    async fn sending(&self) -> Option<HashSet<DeliveryId>> {
        Some(self.0.snapshot().await.ok()?.sending)
    }
}

/// The way past the store.
pub(super) struct Past {
    pub(super) intake: Arc<Intake>,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) transport: Arc<dyn Transport>,
}

#[async_trait]
impl Direct for Past {
    async fn send(&self, to: &Name, event: Arc<Event>, payload: Bytes) -> bool {
        let Some(destination) = self.intake.destination(to) else {
            return false;
        };
        let now = self.clock.now();
        let terms = Terms {
            destination: &destination,
            with: None,
            attempt: 1,
            now,
            key: self.store.key(),
        };
        let work = Work {
            webhook_id: event.id.delivery(0),
            event,
            destination: to.clone(),
            route: ALERTS.into(),
            payload,
            kept: None,
            previous: None,
            previous_kept: None,
            changed: Vec::new(),
            receipt: None,
            trace: None,
        };
        let Ok(request) = request(&terms, &work) else {
            return false;
        };
        let reply = self.transport.send(request).await;
        let judgement = destination.judge(&reply, self.clock.now(), (Action::Create, None));
        judgement.verdict == Verdict::Accepted
    }
}

/// The rules as jobs need them.
pub(super) struct RulesOf(pub(super) Arc<Intake>);

impl Rulebook for RulesOf {
    fn latest(&self) -> HashSet<Name> {
        self.0.latest()
    }

    fn reroute(
        &self,
        kept: &EventDetail,
        previous: Option<&EventDetail>,
    ) -> Result<Vec<NewDelivery>, Refusal> {
        self.0.reroute(kept, previous)
    }
}
