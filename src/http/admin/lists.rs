//! Lists of events and deliveries: from the store, and what only the lanes know.

use super::{Admin, Answer, json, views};
use crate::dispatch::Snapshot;
use crate::model::{Cursor, Delivery, DeliveryId, Limit, Page, State};
use crate::store::{DeliveryFilter, EventFilter, StoreError};

impl Admin {
    /// Events, each with its deliveries: those are few, and found by the event's own id.
    pub(super) async fn events(&self, filter: EventFilter, limit: Limit) -> Answer {
        let page = self.store.events(filter, limit).await?;
        let sending = self.lanes.snapshot().await?.sending;
        let mut items = Vec::with_capacity(page.items.len());
        for event in page.items {
            let of_it = DeliveryFilter {
                event: Some(event.id),
                oldest_first: true,
                ..DeliveryFilter::default()
            };
            let deliveries = self.store.deliveries(of_it, Limit::MOST).await?;
            items.push(views::listed_event(event, deliveries.items, &sending));
        }
        let listed = Page {
            items,
            next: page.next,
        };
        Ok(json(&views::page(listed, |item| item)))
    }

    pub(super) async fn deliveries(&self, filter: DeliveryFilter, limit: Limit) -> Answer {
        let snapshot = self.lanes.snapshot().await?;
        let page = if filter.state == Some(State::Sending) {
            self.sending(&filter, limit, &snapshot).await?
        } else {
            self.store.deliveries(filter, limit).await?
        };
        Ok(json(&views::page(page, |delivery| {
            views::delivery(delivery, &snapshot.sending)
        })))
    }

    /// What is being sent is known here and not to the store.
    async fn sending(
        &self,
        filter: &DeliveryFilter,
        limit: Limit,
        snapshot: &Snapshot,
    ) -> Result<Page<Delivery>, StoreError> {
        let mut ids: Vec<DeliveryId> = snapshot.sending.iter().copied().collect();
        ids.retain(|id| filter.cursor.is_none_or(|Cursor(last)| *id < last));
        ids.sort_unstable_by(|a, b| b.cmp(a));
        let mut page = Page {
            items: Vec::new(),
            next: None,
        };
        for id in ids {
            let wanted = filter.event.is_none_or(|event| event == id.event);
            if !wanted {
                continue;
            }
            let one = self.store.deliveries(filter.only(id), Limit::ONE).await?;
            let Some(delivery) = one.items.into_iter().find(|found| found.id == id) else {
                continue;
            };
            if page.items.len() == limit.get() as usize {
                page.next = page.items.last().map(|last: &Delivery| Cursor(last.id));
                break;
            }
            page.items.push(delivery);
        }
        Ok(page)
    }
}
