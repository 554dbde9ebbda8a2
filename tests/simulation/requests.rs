//! What the relay promises about requests: which may arrive, and what follows from an answer.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use mojito_relay::model::{Cause, DeliveryId, State};
use mojito_relay::store::{Outcome, Settlement};

use crate::model::{Delivery, Model, must};
use crate::rules::{ATTEMPTS, RATES, Rules};

/// What a receiver said, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    Taken,
    /// A fault of its own, or no answer: try again, and this try counts.
    Failed,
    /// Not now.
    Hold,
    /// Not this one.
    Rejected,
    /// Nothing from us.
    Blocked,
}

/// One request, from when its lane let it go.
pub struct Try {
    /// Attempts that were charged before it.
    charged: u32,
    /// It waited then, and so did these older ones of its subject.
    waited: bool,
    before: Vec<DeliveryId>,
    /// Its lane was in trouble; None until the dust of its start has settled.
    probe: Option<bool>,
    arrived: bool,
    said: Option<Said>,
}

impl Model {
    /// A lane let a delivery go.
    pub fn begun(&mut self, id: DeliveryId) {
        let before = self.others(id, |other, one| {
            let older = self.events[&other.event].revision < self.events[&id.event].revision;
            older && one.state == State::Waiting
        });
        let delivery = self.deliveries.get(&id);
        let fresh = || Try {
            charged: delivery.map_or(0, |one| one.charged),
            waited: delivery.is_some_and(|one| one.state == State::Waiting),
            before,
            probe: None,
            arrived: false,
            said: None,
        };
        if self.tries.get(&id).is_none_or(|one| one.said.is_some()) {
            self.tries.insert(id, fresh());
        }
    }

    /// It did not come to a request.
    pub fn not_sent(&mut self, id: DeliveryId) {
        self.tries.remove(&id);
    }

    /// The dust has settled: whoever was let go in a lane in trouble is a probe.
    pub fn settled_down(&mut self, now: Timestamp) {
        self.latest = self.latest.max(now);
        for (id, one) in self.tries.iter_mut().filter(|(_, one)| one.probe.is_none()) {
            one.probe = Some(self.trouble.contains(&self.deliveries[id].destination));
        }
    }

    /// A request arrives: it was accepted, it is what was posted, it had not ended, nothing of its subject was
    /// before it or is under way, and the rate holds.
    pub fn arrives(&mut self, id: DeliveryId, (host, body): (&str, &Bytes), at: Duration) {
        let Some(delivery) = self.deliveries.get(&id) else {
            return must!(self, false, "{id} was never accepted");
        };
        let ordered = Rules::ordered(&delivery.destination);
        let same = self.events[&id.event].post.body() == *body;
        must!(self, same, "{id} is sent with another payload");
        self.begun(id);
        let beside = self.others(id, |other, _| {
            let other = self.tries.get(other);
            other.is_some_and(|one| one.arrived && one.said.is_none())
        });
        let own = self.tries.get_mut(&id).expect("just begun");
        own.arrived = true;
        let (waited, before) = (own.waited, own.before.clone());
        must!(self, waited, "{id} had ended when it was let go");
        must!(
            self,
            !ordered || before.is_empty(),
            "{id} overtakes {before:?}"
        );
        must!(
            self,
            !ordered || beside.is_empty(),
            "{id} is sent beside {beside:?}"
        );
        let arrivals = self.arrivals.entry(host.to_owned()).or_default();
        arrivals.push(at);
        for (_, count, period) in RATES.iter().filter(|(limited, ..)| *limited == host) {
            let newest = arrivals.iter().rev();
            let inside = newest.take_while(|one| at < **one + *period).count();
            must!(self, inside <= *count, "{inside} in {period:?} at {host}");
        }
    }

    /// A receiver answers.
    pub fn said(&mut self, id: DeliveryId, said: Said) {
        self.tries.get_mut(&id).expect("it arrived").said = Some(said);
    }

    /// An attempt is recorded: what follows fits what the receiver said, and only failures are charged, not of probes.
    pub fn settled(&mut self, settlement: &Settlement, state: State) {
        let (id, outcome) = (settlement.delivery, &settlement.outcome);
        let own = self.tries.get(&id);
        let Some((own, said)) = own.and_then(|own| Some((own, own.said?))) else {
            return must!(self, false, "{id} is settled without an answer");
        };
        let probe = own.probe == Some(true);
        let fails = said == Said::Failed && !probe;
        let charged = own.charged + u32::from(fails);
        let used_up = fails && charged == ATTEMPTS;
        let (fits, what) = match outcome {
            Outcome::Delivered { .. } => (said == Said::Taken, "delivered"),
            Outcome::Waiting { budget, .. } => {
                let what = if probe { "probed" } else { "tried again" };
                (
                    said != Said::Taken && budget.charged == charged && !used_up,
                    what,
                )
            }
            Outcome::Dead {
                cause: Cause::GaveUp,
                ..
            } => (used_up, "given up"),
            Outcome::Dead {
                cause: Cause::Rejected,
                ..
            } => (said == Said::Rejected, "rejected"),
            Outcome::Dead {
                cause: Cause::Refused,
                ..
            } => (said == Said::Blocked, "refused"),
            _ => (false, "nothing"),
        };
        self.reached.insert(what);
        must!(
            self,
            fits,
            "{id} ({said:?}, probe: {probe}, charged: {charged}): {outcome:?}"
        );
        let delivery = self.deliveries.get_mut(&id).expect("it arrived");
        let was = std::mem::replace(&mut delivery.state, state);
        delivery.charged = charged;
        let follows = match outcome {
            Outcome::Delivered { .. } => state == State::Delivered,
            Outcome::Dead { .. } => state == State::Dead || was == State::Delivered,
            _ => state == was || (was, state) == (State::Waiting, State::Superseded),
        };
        must!(self, follows, "{id} was {was} and is {state}");
    }

    /// Deliveries of the same subject at the same destination.
    fn others(
        &self,
        id: DeliveryId,
        which: impl Fn(&DeliveryId, &Delivery) -> bool,
    ) -> Vec<DeliveryId> {
        let Some(own) = self.deliveries.get(&id) else {
            return Vec::new();
        };
        let key = |id: &DeliveryId| self.events[&id.event].post.key();
        let others = self.deliveries.iter().filter(|(other, one)| {
            let same = one.destination == own.destination && key(other) == key(&id);
            same && **other != id && which(other, one)
        });
        others.map(|(other, _)| *other).collect()
    }
}
