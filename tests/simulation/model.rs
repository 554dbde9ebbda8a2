//! What the relay promises about events and deliveries, as a model: it hears each step that became true, and notes
//! what must not have. What it promises about requests is in `requests`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use mojito_relay::intake::{NotTaken, Receipt};
use mojito_relay::model::{self as stored, DeliveryId, EventId, LaneState, Name, State};
use mojito_relay::store::{AcceptPlan, Accepted, Acted, Acts, Done, EventDetail};

use crate::requests::Try;
use crate::rules::{PAYLOADS_KEPT, Post, Rules};

/// An event that is on disk.
pub struct Event {
    pub post: Post,
    pub revision: u32,
    at: Timestamp,
    /// How many were there before it.
    place: usize,
}

/// A delivery of such an event.
pub struct Delivery {
    pub destination: Name,
    pub state: State,
    pub charged: u32,
}

/// Somebody posts, and what was so when he began.
struct Open {
    post: Post,
    rules: Rules,
    head: Option<EventId>,
    place: usize,
}

#[derive(Default)]
pub struct Model {
    /// In force, and what a reload brings.
    pub rules: Rules,
    pub next_rules: Rules,
    pub events: BTreeMap<EventId, Event>,
    pub deliveries: BTreeMap<DeliveryId, Delivery>,
    heads: BTreeMap<(Name, u8), EventId>,
    /// Their acknowledgement was lost: one later body may be their retry.
    pub unconfirmed: BTreeSet<EventId>,
    open: BTreeMap<usize, Open>,
    pub tries: BTreeMap<DeliveryId, Try>,
    /// Lanes that do nothing but probe.
    pub trouble: BTreeSet<Name>,
    /// Lanes that got into trouble or out of it since the dust settled.
    pub turned: BTreeSet<Name>,
    /// The newest revision that a host took, of each subject.
    taken: BTreeMap<(&'static str, (Name, u8)), u32>,
    /// When requests arrived, by host.
    pub arrivals: BTreeMap<String, Vec<Duration>>,
    /// The latest that it ever was.
    pub latest: Timestamp,
    /// What came about at least once.
    pub reached: BTreeSet<&'static str>,
    /// Promises that were broken.
    pub broken: Vec<String>,
}

/// A promise, and what to say where it does not hold.
macro_rules! must {
    ($model:ident, $holds:expr, $($words:tt)*) => {
        if !$holds {
            $model.broken.push(format!($($words)*));
        }
    };
}
pub(crate) use must;

impl Model {
    /// Somebody begins to post.
    pub fn posts(&mut self, number: usize, post: &Post) {
        let open = Open {
            post: post.clone(),
            rules: self.rules,
            head: self.heads.get(&post.key()).copied(),
            place: self.events.len(),
        };
        self.open.insert(number, open);
    }

    /// An event is on disk: somebody posts it, it goes where the rules say, and it is news.
    pub fn accepted(&mut self, plan: &AcceptPlan, accepted: &Accepted) {
        let (id, new) = (plan.event.id, plan.deliveries.iter());
        let planned: Vec<&str> = new.map(|one| &*one.destination).collect();
        let own = |Open { post, rules, .. }: &&Open| {
            let same = post.source == plan.event.source && post.body() == plan.payload;
            same && rules.wants(post) == planned
        };
        let Some(Open { post, .. }) = self.open.values().find(own) else {
            return must!(self, false, "{id} to {planned:?}: nobody posts that");
        };
        let (post, head) = (post.clone(), self.heads.insert(post.key(), id));
        let head = head.map(|head| &self.events[&head]);
        let revision = 1 + head.map_or(0, |head| head.revision);
        let news = head.is_none_or(|head| head.post != post);
        must!(self, news, "{id} is a duplicate");
        must!(
            self,
            plan.event.revision == revision,
            "{id} is not revision {revision}"
        );
        must!(
            self,
            accepted.placed.len() == planned.len(),
            "{id} is not placed whole"
        );
        for (new, placed) in plan.deliveries.iter().zip(&accepted.placed) {
            self.waits(placed.id, &new.destination);
        }
        for (_, old) in &accepted.superseded {
            self.ended(*old, State::Superseded);
        }
        let (at, place) = (plan.event.received_at, self.events.len());
        let event = Event {
            post,
            revision,
            at,
            place,
        };
        self.events.insert(id, event);
    }

    /// A sender was answered: what he was told is there, and is what he posted.
    pub fn answered(&mut self, number: usize, answer: &Result<Receipt, NotTaken>) {
        let open = self.open.remove(&number).expect("somebody posted");
        let receipt = match answer {
            Ok(receipt) => receipt,
            Err(NotTaken::Store(_)) => return,
            Err(error) => return must!(self, false, "refused: {error}"),
        };
        let id = receipt.id;
        let Some(event) = self.events.get(&id) else {
            return must!(self, false, "{id} was acknowledged and is not there");
        };
        let recent = event.place >= open.place || open.head == Some(id);
        let known = recent || receipt.duplicate && self.unconfirmed.contains(&id);
        let same = event.post == open.post && event.revision == receipt.revision;
        must!(
            self,
            same && known,
            "{id} was acknowledged for {:?}",
            open.post
        );
    }

    /// How a lane stands. A paused one starts nothing, and is in no trouble afterwards.
    pub fn stands(&mut self, lane: &Name, state: LaneState) {
        let turned = match state {
            LaneState::Open | LaneState::Blocked => self.trouble.insert(lane.clone()),
            _ => self.trouble.remove(lane),
        };
        self.turned.extend(turned.then(|| lane.clone()));
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
                    self.reached.insert("put back");
                    self.waits(*id, destination);
                }
                (Ok(Done::Ended(state)), _) => self.ended(*id, *state),
                _ => {}
            }
        }
        for (_, old) in &acts.superseded {
            self.ended(*old, State::Superseded);
        }
    }

    /// What waited for a destination that is gone was moved, or there was one already, or a newer one.
    pub fn moved(&mut self, id: DeliveryId, found: &stored::Delivery, to: &Name) {
        self.reached.insert("moved");
        if found.state == State::Waiting {
            must!(self, found.destination == *to, "{id} is left behind");
            self.deliveries.get_mut(&id).expect("it waits").destination = to.clone();
            return;
        }
        let own = &self.events[&id.event];
        let placed = self.deliveries.iter().any(|(other, one)| {
            let event = &self.events[&other.event];
            let same = one.destination == *to && event.post.key() == own.post.key();
            same && event.revision >= own.revision
        });
        let taken = self.taken.get(&(Rules::host(to), own.post.key()));
        let ahead = placed || taken.is_some_and(|taken| *taken > own.revision);
        must!(self, ahead, "{id} was not moved");
        self.ended(id, found.state);
    }

    /// A destination took it.
    pub fn took(&mut self, id: DeliveryId) {
        let event = &self.events[&id.event];
        let place = (
            Rules::host(&self.deliveries[&id].destination),
            event.post.key(),
        );
        let newest = self.taken.entry(place).or_default();
        *newest = event.revision.max(*newest);
    }

    fn waits(&mut self, id: DeliveryId, destination: &Name) {
        let (destination, state) = (destination.clone(), State::Waiting);
        let new = Delivery {
            destination,
            state,
            charged: 0,
        };
        let was = self.deliveries.insert(id, new).map(|one| one.state);
        must!(self, was != Some(State::Waiting), "{id} waits twice");
    }

    /// It ended without an attempt, which only what waits does.
    fn ended(&mut self, id: DeliveryId, state: State) {
        self.reached.insert(state.as_str());
        let delivery = self.deliveries.get_mut(&id).expect("it is known");
        let was = std::mem::replace(&mut delivery.state, state);
        must!(self, was == State::Waiting, "{id} was {was} and is {state}");
    }

    /// What was under way is forgotten, and so are the senders.
    pub fn crashed(&mut self) {
        self.tries.clear();
        self.trouble.clear();
        self.turned.clear();
        self.open.clear();
    }

    pub fn waiting(&self) -> impl Iterator<Item = (&DeliveryId, &Delivery)> {
        let all = self.deliveries.iter();
        all.filter(|(_, one)| one.state == State::Waiting)
    }

    /// The store holds what the model does. Payloads go when their time has come, and never of what waits.
    pub fn compare(&mut self, id: EventId, found: Option<EventDetail>) {
        let Some(EventDetail {
            payload,
            deliveries,
            ..
        }) = found
        else {
            return must!(self, false, "{id} is gone");
        };
        let own = self
            .deliveries
            .range(id.delivery(0)..=id.delivery(u16::MAX));
        let own: Vec<_> = own
            .map(|(id, one)| (*id, one.destination.clone(), one.state))
            .collect();
        let rows = deliveries.into_iter();
        let rows: Vec<_> = rows
            .map(|one| (one.id, one.destination, one.state))
            .collect();
        must!(self, rows == own, "stored is {rows:?} and not {own:?}");
        let event = &self.events[&id];
        let age = Duration::try_from(self.latest.duration_since(event.at)).unwrap_or_default();
        let over = own.iter().all(|(.., state)| state.is_final()) && age > PAYLOADS_KEPT;
        if payload.is_none() {
            self.reached.insert("payload gone");
        }
        let kept = payload.map_or(over, |payload| payload == event.post.body());
        must!(
            self,
            kept,
            "the payload of {id} is not there as it was posted"
        );
    }
}
