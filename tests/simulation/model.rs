//! What the relay promises, as a model: it is told each step that became true, and says what must not have been.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use mojito_relay::intake::{NotTaken, Receipt};
use mojito_relay::model::{self as stored, Cause, DeliveryId, EventId, LaneState, Name, State};
use mojito_relay::store::{
    AcceptPlan, Accepted, Acted, Acts, Done, EventDetail, Outcome, Settlement,
};

use crate::rules::{ATTEMPTS, PAYLOADS_KEPT, Post, RATES, Rules};

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

/// An event that is on disk.
pub struct Event {
    pub post: Post,
    pub revision: u32,
    at: Timestamp,
    /// The how manieth it is.
    place: usize,
}

/// A delivery of such an event.
pub struct Delivery {
    pub destination: Name,
    pub state: State,
    charged: u32,
}

/// One request, from when its lane let it go.
struct Try {
    /// Attempts that were charged before it.
    charged: u32,
    /// Its lane was in trouble; None until the dust of its start has settled.
    probe: Option<bool>,
    /// It waited when it was let go, and so did these older ones of its subject.
    waited: bool,
    before: Vec<DeliveryId>,
    arrived: bool,
    said: Option<Said>,
}

/// Somebody posts, and what was known when he began.
struct Open {
    post: Post,
    rules: Rules,
    head: Option<EventId>,
    since: usize,
}

#[derive(Default)]
pub struct Model {
    /// In force, and what a reload brings.
    pub rules: Rules,
    pub next_rules: Rules,
    pub events: BTreeMap<EventId, Event>,
    pub deliveries: BTreeMap<DeliveryId, Delivery>,
    heads: BTreeMap<(Name, String), EventId>,
    /// Their acknowledgement was lost: one later body may be their retry.
    pub unconfirmed: BTreeSet<EventId>,
    open: BTreeMap<usize, Open>,
    tries: BTreeMap<DeliveryId, Try>,
    /// Lanes that do nothing but probe.
    trouble: BTreeSet<Name>,
    arrivals: BTreeMap<String, Vec<Duration>>,
    /// The latest that it ever was.
    latest: Timestamp,
    /// Promises that were broken.
    pub broken: Vec<String>,
}

impl Model {
    fn must(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.broken.push(what());
        }
    }

    pub fn posts(&mut self, number: usize, post: &Post) {
        let head = self.heads.get(&post.key()).copied();
        let (post, rules, since) = (post.clone(), self.rules, self.events.len());
        self.open.insert(
            number,
            Open {
                post,
                rules,
                head,
                since,
            },
        );
    }

    /// An event is on disk: somebody posts it, it is news, and it goes where the rules say.
    pub fn accepted(&mut self, plan: &AcceptPlan, accepted: &Accepted) {
        let id = plan.event.id;
        let planned: Vec<&str> = plan
            .deliveries
            .iter()
            .map(|one| &*one.destination)
            .collect();
        let own = |Open { post, rules, .. }: &&Open| {
            let same = post.source == plan.event.source && post.body() == plan.payload;
            same && rules.wants(post) == planned
        };
        let Some(post) = self.open.values().find(own).map(|open| open.post.clone()) else {
            return self
                .broken
                .push(format!("{id} for {planned:?} is nothing that was posted"));
        };
        let head = self.heads.get(&post.key()).map(|head| &self.events[head]);
        let (revision, news) =
            head.map_or((1, true), |head| (head.revision + 1, head.post != post));
        self.must(news, || format!("{id} is a duplicate"));
        self.must(plan.event.revision == revision, || {
            format!("{id} is not revision {revision}")
        });
        let placed = accepted.placed.len() == planned.len();
        self.must(placed, || {
            format!("{id} is placed as {:?}", accepted.placed)
        });
        for (new, placed) in plan.deliveries.iter().zip(&accepted.placed) {
            let (destination, state) = (new.destination.clone(), State::Waiting);
            let delivery = Delivery {
                destination,
                state,
                charged: 0,
            };
            self.deliveries.insert(placed.id, delivery);
        }
        for (_, old) in &accepted.superseded {
            self.ended(*old, State::Superseded);
        }
        self.heads.insert(post.key(), id);
        let (at, place) = (plan.event.received_at, self.events.len());
        self.events.insert(
            id,
            Event {
                post,
                revision,
                at,
                place,
            },
        );
    }

    /// A sender was answered: what he was told is true.
    pub fn answered(&mut self, number: usize, answer: &Result<Receipt, NotTaken>) {
        let open = self.open.remove(&number).expect("somebody posted");
        let receipt = match answer {
            Ok(receipt) => receipt,
            Err(NotTaken::Store(_)) => return,
            Err(error) => return self.broken.push(format!("refused: {error}")),
        };
        let Some(event) = self.events.get(&receipt.id) else {
            return self
                .broken
                .push(format!("acknowledged and not there: {}", receipt.id));
        };
        let recent = event.place >= open.since || open.head == Some(receipt.id);
        let known = recent || receipt.duplicate && self.unconfirmed.contains(&receipt.id);
        let same = event.post == open.post && event.revision == receipt.revision;
        self.must(same && known, || {
            format!("acknowledged as another: {}", receipt.id)
        });
    }

    /// How a lane stands. A paused one starts nothing, and is in no trouble afterwards.
    pub fn stands(&mut self, lane: &Name, state: LaneState) {
        match state {
            LaneState::Open | LaneState::Blocked => _ = self.trouble.insert(lane.clone()),
            _ => _ = self.trouble.remove(lane),
        }
    }

    /// A lane let a delivery go.
    pub fn begun(&mut self, id: DeliveryId) {
        let delivery = self.deliveries.get(&id);
        let before = self.others(id, |other, one| {
            let older =
                |event: &EventId| self.events[event].revision < self.events[&id.event].revision;
            one.state == State::Waiting && older(&other.event)
        });
        let fresh = || Try {
            before: before.clone(),
            charged: delivery.map_or(0, |one| one.charged),
            waited: delivery.is_some_and(|one| one.state == State::Waiting),
            probe: None,
            arrived: false,
            said: None,
        };
        let under_way = self.tries.entry(id).or_insert_with(fresh);
        if under_way.said.is_some() {
            *under_way = fresh();
        }
    }

    /// Deliveries of the same subject at the same destination.
    fn others(
        &self,
        id: DeliveryId,
        which: impl Fn(&DeliveryId, &Delivery) -> bool,
    ) -> Vec<DeliveryId> {
        let key = |id: &DeliveryId| self.events[&id.event].post.key();
        let Some(own) = self.deliveries.get(&id) else {
            return Vec::new();
        };
        let same = |other: &DeliveryId, one: &Delivery| {
            *other != id && one.destination == own.destination && key(other) == key(&id)
        };
        let all = self.deliveries.iter();
        let others = all.filter(|(other, one)| same(other, one) && which(other, one));
        others.map(|(other, _)| *other).collect()
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

    /// A request arrives: it was accepted, it waits, nothing of its subject is before it, and the rate holds.
    pub fn arrives(&mut self, id: DeliveryId, (host, body): (&str, &Bytes), at: Duration) {
        let Some(delivery) = self.deliveries.get(&id) else {
            return self.broken.push(format!("{id} was never accepted"));
        };
        let (destination, event) = (delivery.destination.clone(), &self.events[&id.event]);
        let equal = event.post.body() == *body;
        self.must(equal, || format!("{id} is sent with another payload"));
        self.begun(id);
        let at_once = self.others(id, |other, _| {
            let other = self.tries.get(other);
            other.is_some_and(|one| one.arrived && one.said.is_none())
        });
        let own = self.tries.get_mut(&id).expect("just begun");
        own.arrived = true;
        let (waited, mut before) = (own.waited, std::mem::take(&mut own.before));
        self.must(waited, || format!("{id} had ended when it was let go"));
        before.extend(at_once);
        let ordered = Rules::ordered(&destination);
        self.must(!ordered || before.is_empty(), || {
            format!("{id} overtakes {before:?}")
        });
        let arrivals = self.arrivals.entry(host.to_owned()).or_default();
        arrivals.push(at);
        if let Some((_, count, period)) = RATES.iter().find(|(limited, ..)| *limited == host) {
            let inside = arrivals
                .iter()
                .rev()
                .take_while(|one| at - **one < *period)
                .count();
            self.must(inside <= *count, || {
                format!("{inside} in {period:?} at {host}")
            });
        }
    }

    pub fn said(&mut self, id: DeliveryId, said: Said) {
        self.tries.get_mut(&id).expect("it arrived").said = Some(said);
    }

    /// An attempt is recorded: what follows fits what the receiver said, and only a failure is charged.
    pub fn settled(&mut self, settlement: &Settlement, state: State) {
        let id = settlement.delivery;
        let Some((said, before, probe)) = self.tries.get(&id).and_then(|one| {
            one.said
                .map(|said| (said, one.charged, one.probe == Some(true)))
        }) else {
            return self
                .broken
                .push(format!("{id} is settled without an answer"));
        };
        let charged = before + u32::from(said == Said::Failed && !probe);
        let used_up = charged == ATTEMPTS && charged > before;
        let fits = match (&settlement.outcome, said) {
            (Outcome::Delivered { .. }, Said::Taken) => true,
            (
                Outcome::Dead {
                    cause: Cause::Rejected,
                    ..
                },
                Said::Rejected,
            ) => true,
            (
                Outcome::Dead {
                    cause: Cause::Refused,
                    ..
                },
                Said::Blocked,
            ) => true,
            (
                Outcome::Dead {
                    cause: Cause::GaveUp,
                    ..
                },
                Said::Failed,
            ) => used_up,
            (
                Outcome::Waiting { budget, .. },
                Said::Failed | Said::Hold | Said::Blocked | Said::Rejected,
            ) => budget.charged == charged && !used_up,
            _ => false,
        };
        self.must(fits, || {
            format!(
                "{id}: {said:?} (probe: {probe}, {charged} charged) became {:?}",
                settlement.outcome
            )
        });
        let delivery = self.deliveries.get_mut(&id).expect("it arrived");
        let was = std::mem::replace(&mut delivery.state, state);
        delivery.charged = charged;
        let follows = match settlement.outcome {
            Outcome::Delivered { .. } => state == State::Delivered,
            Outcome::Dead { .. } => state == State::Dead || was == State::Delivered,
            _ => state == was || (was, state) == (State::Waiting, State::Superseded),
        };
        self.must(follows, || format!("{id} went from {was} to {state}"));
    }

    /// An operator did something.
    pub fn acted(&mut self, acts: &Acts) {
        for Acted {
            id,
            outcome,
            destination,
        } in &acts.all
        {
            match (outcome, destination) {
                (Ok(Done::Waiting), Some(destination)) => {
                    let (destination, state) = (destination.clone(), State::Waiting);
                    let delivery = Delivery {
                        destination,
                        state,
                        charged: 0,
                    };
                    let was = self.deliveries.insert(*id, delivery).map(|one| one.state);
                    self.must(was != Some(State::Waiting), || {
                        format!("{id} waits already")
                    });
                }
                (Ok(Done::Ended(state)), _) => self.ended(*id, *state),
                _ => {}
            }
        }
        for (_, old) in &acts.superseded {
            self.ended(*old, State::Superseded);
        }
    }

    /// A delivery that waited for what is gone was moved to `to`, or there is one already, or a newer one.
    pub fn moved(&mut self, id: DeliveryId, found: Option<&stored::Delivery>, to: &Name) {
        let Some(found) = found else {
            return self.broken.push(format!("{id} is gone"));
        };
        let delivery = self.deliveries.get_mut(&id).expect("it waits");
        if found.state == State::Waiting {
            delivery.destination = to.clone();
            let there = found.destination == *to;
            return self.must(there, || format!("{id} is left at {}", found.destination));
        }
        let (key, revision) = (
            self.events[&id.event].post.key(),
            self.events[&id.event].revision,
        );
        let ahead = |(other, one): (&DeliveryId, &Delivery)| {
            let event = &self.events[&other.event];
            one.destination == *to && event.post.key() == key && event.revision >= revision
        };
        let ahead = self.deliveries.iter().any(ahead);
        self.must(ahead, || format!("{id} was not moved"));
        self.ended(id, found.state);
    }

    /// It ended without an attempt, which only what waits does.
    pub fn ended(&mut self, id: DeliveryId, state: State) {
        let delivery = self
            .deliveries
            .get_mut(&id)
            .expect("only what is known ends");
        let was = std::mem::replace(&mut delivery.state, state);
        self.must(was == State::Waiting, || {
            format!("{id} was {was} and is {state}")
        });
    }

    /// A crash: what was under way is forgotten, and so are the senders.
    pub fn crashed(&mut self) {
        self.tries.clear();
        self.trouble.clear();
        self.open.clear();
    }

    pub fn waiting(&self) -> impl Iterator<Item = (&DeliveryId, &Delivery)> {
        self.deliveries
            .iter()
            .filter(|(_, one)| one.state == State::Waiting)
    }

    /// The store holds what the model does, and nothing less. Payloads go when their time has come, and never
    /// of what waits.
    pub fn compare(&mut self, id: EventId, found: Option<&EventDetail>) {
        let Some(detail) = found else {
            return self.broken.push(format!("{id} is gone"));
        };
        let event = &self.events[&id];
        let own = self
            .deliveries
            .range(id.delivery(0)..=id.delivery(u16::MAX));
        let expected: Vec<_> = own
            .map(|(id, one)| (*id, one.destination.clone(), one.state))
            .collect();
        let rows = detail.deliveries.iter();
        let stored: Vec<_> = rows
            .map(|one| (one.id, one.destination.clone(), one.state))
            .collect();
        let waits = expected.iter().any(|(.., state)| !state.is_final());
        let age = Duration::try_from(self.latest.duration_since(event.at)).unwrap_or_default();
        let payload = match &detail.payload {
            Some(payload) => *payload == event.post.body(),
            None => !waits && age > PAYLOADS_KEPT,
        };
        self.must(payload, || {
            format!("the payload of {id} is not what was posted")
        });
        self.must(expected == stored, || {
            format!("stored is {stored:?} and not {expected:?}")
        });
    }
}
