//! Deliveries for events that were accepted before: what rules of today ask for and the event does not have.

use std::collections::HashSet;

use rusqlite::{OptionalExtension as _, params};

use super::acts::{late, unsendable};
use super::batch::Batch;
use super::fan_out::{self, Place};
use super::fault::Fault;
use super::settle::{Row, newer_delivery};
use crate::model::{EventId, Name, State};
use crate::store::plan::MOST_DELIVERIES;
use crate::store::{Accepted, Act, Acted, Acts, NewDelivery, Planned};

/// Creates what an event lacks, where nothing speaks against it.
pub(super) fn create(
    batch: &mut Batch<'_>,
    planned: &Planned,
    (act, latest): (&Act, &HashSet<Name>),
    acts: &mut Acts,
) -> Result<(), Fault> {
    let Some(event) = Event::find(batch, planned.event)? else {
        acts.all.push(Acted::unknown(planned.event.delivery(0)));
        return Ok(());
    };
    let refusal = unsendable(batch, (event.place.seq, event.place.subject))?;
    let Some(deliveries) = acts.wanted(planned, refusal) else {
        return Ok(());
    };
    let mut number = event.next;
    for delivery in deliveries {
        let destination = batch.name(&delivery.destination)?;
        if has_one(batch, event.place.seq, destination)? {
            continue;
        }
        let mut acted = Acted::created(planned.event.delivery(number), delivery);
        let row = event.row(number, destination);
        if let Some(refusal) = late(batch, &row, latest.contains(&delivery.destination))? {
            acted.outcome = Err(refusal);
        } else if usize::from(number) >= MOST_DELIVERIES {
            return Err(Fault::Unfit("an event has at most 32768 deliveries"));
        } else if !act.dry_run {
            write(batch, &event, (number, delivery), acts)?;
            number += 1;
        }
        acts.all.push(acted);
    }
    Ok(())
}

/// An event that may get more deliveries.
struct Event {
    place: Place,
    /// The number of its next delivery.
    next: u16,
}

impl Event {
    fn find(batch: &Batch<'_>, id: EventId) -> Result<Option<Self>, Fault> {
        let found = batch
            .conn
            .prepare_cached(
                "SELECT e.seq, e.revision, e.received_at, e.subject,
                        (SELECT coalesce(max(number) + 1, 0) FROM delivery WHERE event_seq = e.seq)
                 FROM event AS e WHERE e.id = ?1",
            )?
            .query_row([id.as_bytes()], |row| {
                Ok(Self {
                    place: Place {
                        seq: row.get(0)?,
                        event: id,
                        revision: row.get(1)?,
                        created_at: row.get(2)?,
                        subject: row.get(3)?,
                        first: false,
                    },
                    next: row.get(4)?,
                })
            })
            .optional()?;
        Ok(found)
    }

    fn row(&self, number: u16, destination: i64) -> Row {
        Row {
            seq: self.place.seq,
            number,
            destination,
            subject: self.place.subject,
            revision: self.place.revision,
            state: State::Waiting,
        }
    }
}

/// One event reaches one destination at most once.
fn has_one(batch: &Batch<'_>, seq: i64, destination: i64) -> Result<bool, Fault> {
    let mut own = batch
        .conn
        .prepare_cached("SELECT 1 FROM delivery WHERE event_seq = ?1 AND destination = ?2")?;
    Ok(own.exists(params![seq, destination])?)
}

/// As at acceptance, but that what is newer than the event is not superseded by it.
fn write(
    batch: &mut Batch<'_>,
    event: &Event,
    (number, delivery): (u16, &NewDelivery),
    acts: &mut Acts,
) -> Result<(), Fault> {
    let destination = batch.name(&delivery.destination)?;
    let newer = match event.place.subject {
        Some(subject) => newer_delivery(batch.conn, subject, (event.place.seq, destination))?,
        None => None,
    };
    let delivery = NewDelivery {
        supersedes: delivery.supersedes && newer.is_none(),
        ..delivery.clone()
    };
    let mut accepted = Accepted::default();
    fan_out::write(
        batch,
        &event.place,
        [(number, &delivery)].into_iter(),
        &mut accepted,
    )?;
    acts.superseded.append(&mut accepted.superseded);
    Ok(())
}
