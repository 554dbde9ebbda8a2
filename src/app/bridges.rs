//! What a room asks of one beside it: neither names the other, and here they are brought together.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::clock::Clock;
use crate::destination::Action;
use crate::dispatch::{Handle, Terms, request};
use crate::intake::Intake;
use crate::model::{ALERTS, DeliveryId, Event, Name, Refusal, Verdict};
use crate::store::{Commons, Condemned, EventDetail, NewDelivery, Store, StoreError, Told, Work};
use crate::transport::Transport;
use crate::upkeep::{Direct, Lanes, Rulebook};

/// The lanes as upkeep needs them: those here, and what the store knows of those elsewhere.
pub(super) struct LanesOf {
    pub(super) lanes: Handle,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
}

/// Before the other relays are looked at again.
const PAUSE: Duration = Duration::from_millis(200);

impl LanesOf {
    /// Until every relay that is alive has nothing under way of what is condemned. False: the relay is shutting down.
    async fn cleared(&self, commons: &dyn Commons) -> bool {
        let mut asked = None;
        let mut told = false;
        loop {
            let number = match asked {
                Some(number) => Ok(number),
                None => self.ask(commons).await,
            };
            let left = match number {
                Ok(number) => {
                    asked = Some(number);
                    commons.uncleared(number).await
                }
                Err(error) => Err(error),
            };
            match left {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => {
                    if !told {
                        tracing::warn!(%error, "an erasure waits for the other relays");
                        told = true;
                    }
                }
            }
            if self.lanes.snapshot().await.is_err() {
                return false;
            }
            self.clock.pause(PAUSE).await;
        }
    }

    async fn ask(&self, commons: &dyn Commons) -> Result<u64, StoreError> {
        let number = commons.ask_to_clear().await?;
        // Who does not hear it finds it within a second.
        let _found_later = commons.cry(vec![Told::Leases]).await;
        Ok(number)
    }
}

#[async_trait]
impl Lanes for LanesOf {
    async fn forget(&self, condemned: &Condemned) -> bool {
        if self.lanes.forget(condemned.clone()).await.is_err() {
            return false;
        }
        match self.store.commons() {
            Some(commons) if !(condemned.subjects.is_empty() && condemned.events.is_empty()) => {
                self.cleared(commons).await
            }
            _ => true,
        }
    }

    async fn under_way(&self, destination: &Name) -> Option<HashSet<DeliveryId>> {
        let snapshot = self.lanes.snapshot().await.ok()?;
        if snapshot.elsewhere.contains(destination) {
            return None;
        }
        if let Some(commons) = self.store.commons() {
            // One whose configuration has it still keeps it for as long as it is alive.
            let taken = commons.take(std::slice::from_ref(destination)).await;
            taken.ok().filter(|taken| !taken.is_empty())?;
        }
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
        let lanes = self.lanes.snapshot().await.ok()?.lanes.into_iter();
        let blocked = lanes.filter(|lane| lane.blocked);
        Some(blocked.map(|lane| lane.destination).collect())
    }

    async fn sending(&self) -> Option<HashSet<DeliveryId>> {
        Some(self.lanes.snapshot().await.ok()?.sending)
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
