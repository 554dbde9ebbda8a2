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
    /// Whether its lane was in trouble: both where that changed as it started, and none until the dust has settled.
    probe: Vec<bool>,
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
            probe: Vec::new(),
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
        let turned = std::mem::take(&mut self.turned);
        let new = self
            .tries
            .iter_mut()
            .filter(|(_, one)| one.probe.is_empty());
        for (id, one) in new {
            let lane = &self.deliveries[id].destination;
            let probe = self.trouble.contains(lane);
            one.probe = if turned.contains(lane) {
                vec![probe, !probe]
            } else {
                vec![probe]
            };
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
        let fitting = own.probe.iter().find_map(|probe| {
            let charged = own.charged + u32::from(said == Said::Failed && !probe);
            fits(outcome, said, *probe, charged).map(|what| (charged, what))
        });
        let Some((charged, what)) = fitting else {
            let (probe, charged) = (&own.probe, own.charged);
            let case = format!("{said:?}, probe: {probe:?}, charged: {charged}");
            return must!(self, false, "{id} ({case}): {outcome:?}");
        };
        self.reached.insert(what);
        if what == "delivered" {
            self.took(id);
        }
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

/// What an outcome is called, where it may follow from what was said.
fn fits(outcome: &Outcome, said: Said, probe: bool, charged: u32) -> Option<&'static str> {
    let used_up = said == Said::Failed && !probe && charged == ATTEMPTS;
    let (fits, what) = match outcome {
        Outcome::Delivered { .. } => (said == Said::Taken, "delivered"),
        Outcome::Waiting { budget, .. } => {
            let what = if probe { "probed" } else { "tried again" };
            let goes_on = said != Said::Taken && !used_up;
            (goes_on && budget.charged == charged, what)
        }
        Outcome::Dead { cause, .. } => match cause {
            Cause::GaveUp => (used_up, "given up"),
            Cause::Rejected => (said == Said::Rejected, "rejected"),
            Cause::Refused => (said == Said::Blocked, "refused"),
            _ => (false, "nothing"),
        },
        Outcome::Skipped { .. } => (false, "nothing"),
    };
    fits.then_some(what)
}
