//! The bounded part of a lane's backlog that is kept in memory: what may go out next, what is under
//! way, and whether the store may hold more. Without the store's backlog its size never grows.

use std::collections::{HashMap, HashSet, VecDeque};

use jiff::Timestamp;

use crate::model::DeliveryId;
use crate::store::{Due, Waiting, Work};

/// Deliveries kept in memory for one lane, at most.
pub(super) const WINDOW: usize = 256;
/// Payload bytes kept with them, at most; beyond that an attempt reads its payload from the store.
pub(super) const WINDOW_BYTES: usize = 4 * 1024 * 1024;

/// A delivery that may go out.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) waiting: Waiting,
    /// What its attempt needs, where it is at hand.
    pub(super) work: Option<Box<Work>>,
}

/// What a lane keeps in memory.
#[derive(Debug, Default)]
pub(super) struct Window {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// In `entries` or under way.
    known: HashSet<DeliveryId>,
    /// Subjects with a delivery under way.
    busy: HashSet<u64>,
    /// The store may hold something that is due and not known here.
    backlog: bool,
    /// The last read brought nothing new, because what is due waits behind its subject's first.
    stalled: bool,
    reading: Reading,
    /// Done since the reading began: the answer may have them as they were before.
    passed: HashSet<DeliveryId>,
    /// Something was ended since the reading began: work that was read with it may be of what was.
    distrusted: bool,
    next_due: Option<Timestamp>,
    /// After a failed read: not before this time.
    not_before: Option<Timestamp>,
}

/// Whether the store is being read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Reading {
    #[default]
    No,
    Yes,
    /// And something was written since it began: the answer may not have it.
    Outdated,
    /// And what waits is another since it began: the answer is worth nothing.
    Void,
}

impl Window {
    /// Nothing is known yet of what the store holds.
    pub(super) fn new() -> Self {
        Self {
            backlog: true,
            ..Self::default()
        }
    }

    /// Takes a delivery that was just written, unless older ones may still be in the store.
    pub(super) fn offer(&mut self, waiting: Waiting, work: Option<Box<Work>>) {
        self.rung();
        if self.backlog || self.is_reading() || self.entries.len() >= WINDOW {
            self.backlog = true;
        } else {
            self.push(waiting, work);
        }
    }

    /// Something waits in the store.
    pub(super) fn look(&mut self) {
        self.rung();
        self.backlog = true;
    }

    /// It waits until `due_at`.
    pub(super) fn wakes_at(&mut self, due_at: Timestamp) {
        self.next_due = Some(self.next_due.map_or(due_at, |next| next.min(due_at)));
    }

    /// Forgets a delivery that is not to go out any more; one under way is not touched. What waited behind it
    /// may be due now.
    pub(super) fn forget(&mut self, delivery: DeliveryId) {
        self.rung();
        self.distrusted = true;
        if let Some(at) = self
            .entries
            .iter()
            .position(|entry| entry.waiting.id == delivery)
        {
            let gone = self.remove(at);
            self.known.remove(&gone.waiting.id);
        }
    }

    /// How many deliveries to read from the store now, if any; they are expected from then on.
    pub(super) fn wants(&mut self, now: Timestamp) -> Option<usize> {
        let due = self.next_due.is_some_and(|next| next <= now);
        let later = self.not_before.is_some_and(|at| at > now);
        if self.is_reading()
            || later
            || !(self.backlog && !self.stalled || due)
            || self.entries.len() > WINDOW / 4
        {
            return None;
        }
        self.reading = Reading::Yes;
        self.distrusted = false;
        // What is known already comes along in the answer.
        Some(WINDOW - self.entries.len() + self.known.len())
    }

    /// What is here or under way.
    pub(super) fn known(&self) -> &HashSet<DeliveryId> {
        &self.known
    }

    /// The store is being read.
    pub(super) fn is_reading(&self) -> bool {
        self.reading != Reading::No
    }

    /// Takes what the store answered, and the work that was read with it. Without its work at hand, an attempt looks
    /// whether its delivery still waits.
    pub(super) fn refill(&mut self, due: Due, mut works: HashMap<DeliveryId, Work>) {
        let reading = std::mem::take(&mut self.reading);
        let passed = std::mem::take(&mut self.passed);
        self.not_before = None;
        if reading == Reading::Void {
            return;
        }
        let outdated = reading == Reading::Outdated;
        let before = self.entries.len();
        let mut left_out = false;
        for waiting in due.items {
            if self.known.contains(&waiting.id) || passed.contains(&waiting.id) {
                continue;
            }
            if self.entries.len() < WINDOW {
                let work = works.remove(&waiting.id).filter(|_| !self.distrusted);
                self.push(waiting, work.map(Box::new));
            } else {
                left_out = true;
            }
        }
        self.backlog = due.more || left_out || outdated;
        self.stalled = self.entries.len() == before && !outdated;
        self.next_due = due.next_due;
    }

    /// The store could not be read: try again at `at`.
    pub(super) fn unreadable(&mut self, at: Timestamp) {
        self.reading = Reading::No;
        self.passed.clear();
        self.backlog = true;
        self.not_before = Some(at);
    }

    /// A delivery that was taken could not be read: look again at `at`, or when what is being read is there.
    pub(super) fn failed(&mut self, at: Timestamp) {
        self.backlog = true;
        if !self.is_reading() {
            self.not_before = Some(at);
        }
    }

    /// When to look again without being rung.
    pub(super) fn wake(&self) -> Option<Timestamp> {
        if self.is_reading() || self.entries.len() > WINDOW / 4 {
            return None;
        }
        if self.backlog && !self.stalled {
            self.not_before
        } else {
            self.next_due.max(self.not_before)
        }
    }

    /// Takes the first delivery that `fits` and whose subject has none under way (if `ordered`).
    pub(super) fn take(&mut self, ordered: bool, fits: impl Fn(&Waiting) -> bool) -> Option<Entry> {
        let may_go = |entry: &Entry| {
            let free = !ordered
                || entry
                    .waiting
                    .subject
                    .is_none_or(|subject| !self.busy.contains(&subject));
            free && fits(&entry.waiting)
        };
        let at = self.entries.iter().position(may_go)?;
        let entry = self.remove(at);
        self.busy.extend(entry.waiting.subject);
        Some(entry)
    }

    /// Whether [`Self::take`] would find anything.
    pub(super) fn has_ready(&self, ordered: bool) -> bool {
        self.entries.iter().any(|entry| {
            !ordered
                || entry
                    .waiting
                    .subject
                    .is_none_or(|subject| !self.busy.contains(&subject))
        })
    }

    /// A delivery that was taken is recorded. What waited behind it may be due now.
    pub(super) fn done(&mut self, waiting: &Waiting) {
        self.rung();
        if self.is_reading() {
            self.passed.insert(waiting.id);
        }
        self.known.remove(&waiting.id);
        if let Some(subject) = waiting.subject {
            self.busy.remove(&subject);
        }
    }

    /// Drops what is not under way: it is read again from the store.
    pub(super) fn reread(&mut self) {
        for entry in self.entries.drain(..) {
            self.known.remove(&entry.waiting.id);
        }
        self.bytes = 0;
        self.look();
        if self.is_reading() {
            self.reading = Reading::Void;
        }
    }

    /// Something was written, or is done: reading again may bring something new.
    fn rung(&mut self) {
        self.stalled = false;
        if self.reading == Reading::Yes {
            self.reading = Reading::Outdated;
        }
    }

    fn push(&mut self, waiting: Waiting, work: Option<Box<Work>>) {
        if !self.known.insert(waiting.id) {
            return;
        }
        let work = work.filter(|work| self.bytes + work.bytes() <= WINDOW_BYTES);
        self.bytes += work.as_ref().map_or(0, |work| work.bytes());
        self.entries.push_back(Entry { waiting, work });
    }

    fn remove(&mut self, at: usize) -> Entry {
        let entry = self
            .entries
            .remove(at)
            .expect("the position was just found");
        self.bytes -= entry.work.as_ref().map_or(0, |work| work.bytes());
        entry
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::model::{Budget, Event, EventId, EventType};
    use crate::store::NewDelivery;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("in range")
    }

    fn waiting(n: i64, subject: Option<u64>) -> Waiting {
        Waiting {
            id: EventId::first_at(at(n)).delivery(0),
            subject,
            revision: 1,
            due_at: at(0),
            created_at: at(0),
            budget: Budget::default(),
        }
    }

    fn empty() -> Window {
        let mut window = Window::new();
        window.wants(at(0)).expect("nothing is known yet");
        window.refill(Due::default(), HashMap::new());
        window
    }

    fn due(items: Vec<Waiting>, more: bool) -> Due {
        Due {
            items,
            more,
            next_due: None,
        }
    }

    #[test]
    fn one_subject_is_under_way_at_most_once_and_the_oldest_goes_first() {
        let mut window = empty();
        for (n, subject) in [(1, Some(7)), (2, Some(7)), (3, None), (4, Some(8))] {
            window.offer(waiting(n, subject), None);
        }
        let mut took = |ordered| window.take(ordered, |_| true).map(|entry| entry.waiting);
        let first = took(true).expect("the oldest");
        assert_eq!(first.id, waiting(1, None).id);
        assert_eq!(took(true).expect("another subject").id, waiting(3, None).id);
        assert_eq!(took(true).expect("another subject").id, waiting(4, None).id);
        assert!(took(true).is_none());
        window.done(&first);
        assert!(window.take(true, |_| true).is_some());
    }

    #[test]
    fn nothing_that_is_written_while_the_store_is_read_is_overlooked() {
        let mut window = Window::new();
        assert!(window.wants(at(0)).is_some());
        assert!(window.wants(at(0)).is_none(), "one read at a time");
        window.offer(waiting(1, None), None);
        window.refill(due(Vec::new(), false), HashMap::new());
        assert!(
            window.wants(at(0)).is_some(),
            "the read may have missed what was offered meanwhile"
        );
        window.refill(due(vec![waiting(1, None)], false), HashMap::new());
        assert!(window.wants(at(0)).is_none());
        assert!(window.take(true, |_| true).is_some());
    }

    #[test]
    fn an_answer_from_before_what_waits_became_another_is_not_taken() {
        let mut window = empty();
        window.offer(waiting(2, Some(7)), None);
        window.look();
        assert!(window.wants(at(0)).is_some());
        window.reread();
        window.refill(due(vec![waiting(2, Some(7))], false), HashMap::new());
        assert!(window.take(true, |_| true).is_none());
        assert!(window.wants(at(0)).is_some(), "it is read again");
        window.refill(due(vec![waiting(1, Some(7))], true), HashMap::new());
        let first = window.take(true, |_| true).expect("what was put back");
        assert_eq!(first.waiting.id, waiting(1, None).id);
    }

    #[test]
    fn what_is_known_is_not_taken_twice_from_the_store() {
        let mut window = empty();
        window.offer(waiting(1, None), None);
        let entry = window.take(true, |_| true).expect("offered");
        window.look();
        assert!(window.wants(at(0)).is_some());
        window.refill(due(vec![waiting(1, None)], false), HashMap::new());
        assert!(window.take(true, |_| true).is_none(), "it is under way");
        window.done(&entry.waiting);
    }

    #[test]
    fn what_cannot_be_read_of_one_delivery_leaves_a_reading_under_way_alone() {
        let mut window = empty();
        window.offer(waiting(1, None), None);
        window.offer(waiting(2, None), None);
        let mut take = || window.take(false, |_| true).expect("offered").waiting;
        let (recorded, unread) = (take(), take());
        window.look();
        assert!(window.wants(at(0)).is_some());
        window.done(&recorded);
        window.done(&unread);
        window.failed(at(1));
        assert!(window.wants(at(1)).is_none(), "one read at a time");
        let before = due(vec![recorded, unread], false);
        window.refill(before, HashMap::new());
        let stale = window.take(false, |_| true);
        assert!(stale.is_none(), "it has another budget by now: {stale:?}");
        assert!(window.wants(at(0)).is_some(), "what could not be read");
    }

    #[test]
    fn a_full_window_leaves_the_rest_to_the_store() {
        let mut window = empty();
        for n in 0..1_000 {
            window.offer(waiting(n, None), None);
        }
        assert_eq!(window.entries.len(), WINDOW);
        assert!(window.wants(at(0)).is_none(), "not before it has drained");
        while window.entries.len() > WINDOW / 4 {
            let entry = window.take(true, |_| true).expect("an entry");
            window.done(&entry.waiting);
        }
        assert_eq!(window.wants(at(0)), Some(WINDOW));
    }

    #[test]
    fn what_waits_behind_its_subject_is_read_again_when_something_is_done_and_not_before() {
        let mut window = empty();
        window.offer(waiting(1, Some(7)), None);
        let first = window.take(true, |_| true).expect("offered").waiting;
        window.look();
        assert!(window.wants(at(0)).is_some());
        window.refill(due(Vec::new(), true), HashMap::new());
        assert!(
            window.wants(at(0)).is_none(),
            "reading again would bring the same"
        );
        window.done(&first);
        assert!(window.wants(at(0)).is_some());
    }

    #[test]
    fn what_waits_behind_a_retry_that_is_discarded_is_read_again() {
        let mut window = empty();
        window.look();
        assert!(window.wants(at(0)).is_some());
        window.refill(due(Vec::new(), true), HashMap::new());
        assert!(window.wants(at(0)).is_none());
        window.forget(waiting(1, None).id);
        assert!(window.wants(at(0)).is_some());
    }

    #[test]
    fn what_waits_behind_what_is_done_while_the_store_is_read_is_read_again() {
        let mut window = empty();
        window.offer(waiting(1, Some(7)), None);
        let first = window.take(true, |_| true).expect("offered").waiting;
        window.look();
        assert!(window.wants(at(0)).is_some());
        window.done(&first);
        window.refill(due(Vec::new(), true), HashMap::new());
        assert!(
            window.wants(at(0)).is_some(),
            "in the answer the first was still before it"
        );
    }

    #[test]
    fn what_is_done_while_the_store_is_read_is_not_taken_as_it_was_before() {
        let mut window = empty();
        window.offer(waiting(1, None), None);
        let first = window.take(true, |_| true).expect("offered").waiting;
        window.look();
        assert!(window.wants(at(0)).is_some());
        window.done(&first);
        window.refill(due(vec![first], false), HashMap::new());
        assert!(window.take(true, |_| true).is_none());
        assert!(window.wants(at(0)).is_some(), "it is read again");
    }

    #[test]
    fn it_wakes_when_the_next_delivery_is_due() {
        let mut window = empty();
        window.wakes_at(at(20));
        window.wakes_at(at(10));
        assert_eq!(window.wake(), Some(at(10)));
        assert!(window.wants(at(9)).is_none());
        assert!(window.wants(at(10)).is_some());
    }

    #[test]
    fn after_a_failed_read_it_waits() {
        let mut window = Window::new();
        window.wants(at(0));
        window.unreadable(at(5));
        assert!(window.wants(at(4)).is_none());
        assert_eq!(window.wake(), Some(at(5)));
        assert!(window.wants(at(5)).is_some());
    }

    fn work(delivery: &Waiting) -> HashMap<DeliveryId, Work> {
        let event = Event {
            id: delivery.id.event,
            source: "jobs".into(),
            event_type: EventType::new("interview.other"),
            subject: None,
            revision: 1,
            changed: Vec::new(),
            candidate: None,
            received_at: at(0),
            route_errors: Vec::new(),
        };
        let new = NewDelivery {
            destination: "app".into(),
            route: "all".into(),
            skipped: None,
            due_at: at(0),
            settle_by: None,
            supersedes: false,
            takes_up: false,
        };
        let payloads = (Bytes::from_static(b"{}"), None);
        let work = crate::intake::work(&Arc::new(event), &new, delivery.id, payloads);
        HashMap::from([(delivery.id, work)])
    }

    #[test]
    fn work_that_was_read_is_at_hand_unless_something_was_ended_meanwhile() {
        let read = |ended: Option<DeliveryId>| {
            let (mut window, one) = (Window::new(), waiting(1, None));
            window.wants(at(0)).expect("nothing is known yet");
            if let Some(id) = ended {
                window.forget(id);
            }
            window.refill(due(vec![one.clone()], false), work(&one));
            let entry = window.take(true, |_| true).expect("it waits");
            window.done(&entry.waiting);
            assert_eq!(window.bytes, 0);
            entry.work.is_some()
        };
        assert!(read(None));
        assert!(!read(Some(waiting(1, None).id)), "it may be what was ended");
    }

    #[test]
    fn a_superseded_delivery_is_forgotten_unless_it_is_under_way() {
        let mut window = empty();
        window.offer(waiting(1, None), None);
        window.offer(waiting(2, None), None);
        let under_way = window.take(true, |_| true).expect("the first").waiting;
        window.forget(under_way.id);
        window.forget(waiting(2, None).id);
        assert!(window.take(true, |_| true).is_none());
        assert!(window.known.contains(&under_way.id));
    }
}
