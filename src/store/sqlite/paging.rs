//! Pages of lists: how much is searched for one, and where the next begins.

use crate::model::{Cursor, DeliveryId, Limit, Page};

/// Rows that one page looks at, at most. Reading so many takes tens of milliseconds; where what is asked
/// for is rarer, the page ends early and the next one goes on from there.
const PAGE_LOOKS: usize = 20_000;

/// How much is searched for one page.
#[derive(Clone, Copy)]
pub(super) struct Search {
    pub(super) limit: Limit,
    pub(super) looks: usize,
}

/// What was found for a page so far: one more than goes on it, where there is one.
pub(super) struct Found<T> {
    items: Vec<T>,
    search: Search,
    looked: usize,
    last: Option<DeliveryId>,
}

impl Search {
    pub(super) fn of(limit: Limit) -> Self {
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
    pub(super) fn new(search: Search) -> Self {
        Self {
            items: Vec::new(),
            search,
            looked: 0,
            last: None,
        }
    }

    /// No further row needs to be read.
    pub(super) fn is_full(&self) -> bool {
        self.items.len() > self.search.most() || self.looked >= self.search.looks
    }

    /// A row was looked at, and held this where it fits.
    pub(super) fn look(&mut self, id: DeliveryId, item: Option<T>) {
        self.looked += 1;
        self.last = Some(id);
        self.items.extend(item);
    }

    pub(super) fn page(mut self, id: impl Fn(&T) -> DeliveryId) -> Page<T> {
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
