//! Pages of lists: how much is searched for one, and where the next begins.

use super::{DeliveryFilter, EventFilter};
use crate::model::{Cursor, DeliveryId, EventId, Limit, Page};

/// Up to so many rows it is cheaper to sort what a partial index holds than to walk all deliveries
/// from the newest until a page is full.
pub(in crate::store) const FEW: u64 = 5_000;

/// Revisions of a subject that are shown with an event.
pub(in crate::store) const REVISIONS: usize = 500;

/// Rows that one page looks at, at most. Reading so many takes tens of milliseconds; where what is asked
/// for is rarer, the page ends early and the next one goes on from there.
pub(in crate::store) const PAGE_LOOKS: usize = 20_000;

/// How much is searched for one page.
#[derive(Clone, Copy)]
pub(in crate::store) struct Search {
    pub(in crate::store) limit: Limit,
    pub(in crate::store) looks: usize,
}

/// What was found for a page so far: one more than goes on it, where there is one.
pub(in crate::store) struct Found<T> {
    items: Vec<T>,
    search: Search,
    looked: usize,
    last: Option<DeliveryId>,
}

/// Between which ids a page lies: ids sort by time.
pub(in crate::store) struct Bounds {
    /// This one and later.
    pub(in crate::store) from: EventId,
    /// Of events, those before this one; of deliveries, this one's too.
    pub(in crate::store) to: EventId,
    /// Where the last event's deliveries were not all shown yet: those beyond this number.
    pub(in crate::store) number: i64,
}

const FIRST: EventId = EventId::from_bytes([0; 16]);
const LAST: EventId = EventId::from_bytes([0xff; 16]);

impl Bounds {
    pub(in crate::store) fn of_events(filter: &EventFilter) -> Self {
        let since = filter.since.map(EventId::first_at);
        let until = filter.until.map(EventId::first_at);
        let last = filter.cursor.map(|cursor| cursor.0.event);
        let (above, before) = if filter.oldest_first {
            (last.map(EventId::next), None)
        } else {
            (None, last)
        };
        Self {
            from: since.into_iter().chain(above).max().unwrap_or(FIRST),
            to: until.into_iter().chain(before).min().unwrap_or(LAST),
            number: 0,
        }
    }

    /// A delivery is created with its event, so that times bound events' ids as well.
    pub(in crate::store) fn of_deliveries(filter: &DeliveryFilter) -> Self {
        let from = filter.since.map_or(FIRST, EventId::first_at);
        let to = filter.until.map_or(LAST, EventId::first_at);
        let cursor = filter.cursor.map(|cursor| cursor.0);
        let (from, to) = match cursor {
            Some(cursor) if filter.oldest_first => (from.max(cursor.event), to),
            Some(cursor) => (from, to.min(cursor.event)),
            None => (from, to),
        };
        let (from, to) = filter
            .event
            .map_or((from, to), |event| (from.max(event), to.min(event)));
        let (last, every) = if filter.oldest_first {
            (from, -1)
        } else {
            (to, i64::MAX)
        };
        let number = cursor.filter(|cursor| cursor.event == last);
        Self {
            from,
            to,
            number: number.map_or(every, |cursor| cursor.number.into()),
        }
    }

    /// Whether an event is between them.
    fn hold(&self, id: EventId) -> bool {
        self.from <= id && id < self.to
    }
}

impl Search {
    pub(in crate::store) fn of(limit: Limit) -> Self {
        Self {
            limit,
            looks: PAGE_LOOKS,
        }
    }

    fn most(self) -> usize {
        self.limit.get() as usize
    }
}

impl<T> Found<T> {
    pub(in crate::store) fn new(search: Search) -> Self {
        Self {
            items: Vec::new(),
            search,
            looked: 0,
            last: None,
        }
    }

    /// No further row needs to be read.
    pub(in crate::store) fn is_full(&self) -> bool {
        self.items.len() > self.search.most() || self.looked >= self.search.looks
    }

    /// Rows that are worth reading at once: a page of what is common, and more where it is rare.
    pub(in crate::store) fn size_of_step(&self) -> usize {
        (self.search.most() + 1).max(self.looked)
    }

    /// A row was looked at, and held this where it fits.
    pub(in crate::store) fn look(&mut self, id: DeliveryId, item: Option<T>) {
        self.looked += 1;
        self.last = Some(id);
        self.items.extend(item);
    }

    /// Takes events that were found otherwise, newest first, as far as they are asked for.
    pub(in crate::store) fn take_named(
        &mut self,
        mut named: Vec<T>,
        filter: &EventFilter,
        id: impl Fn(&T) -> EventId,
    ) {
        let bounds = Bounds::of_events(filter);
        if filter.oldest_first {
            named.reverse();
        }
        let held = named.into_iter().filter(|one| bounds.hold(id(one)));
        for one in held {
            if self.is_full() {
                break;
            }
            self.look(id(&one).delivery(0), Some(one));
        }
    }

    pub(in crate::store) fn page(mut self, id: impl Fn(&T) -> DeliveryId) -> Page<T> {
        let more = self.items.len() > self.search.most();
        self.items.truncate(self.search.most());
        let next = if more {
            self.items.last().map(id)
        } else {
            self.last.filter(|_| self.looked >= self.search.looks)
        };
        Page {
            items: self.items,
            next: next.map(Cursor),
        }
    }
}
