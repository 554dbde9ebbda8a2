//! Deliveries for events that were accepted before: what rules of today ask for and the event does not have.

use std::collections::HashSet;

use super::accept::{Columns, superseded};
use super::acts::{Late, unsendable};
use super::change::Tx;
use super::fault::Fault;
use super::rows::{self, get};
use crate::model::{EventId, Name, Refusal};
use crate::store::plan::MOST_DELIVERIES;
use crate::store::{Act, Acted, Acts, NewDelivery, Planned};

/// Creates what an event lacks, where nothing speaks against it.
pub(super) async fn create(
    tx: &Tx<'_>,
    planned: &Planned,
    (act, latest): (&Act, &HashSet<Name>),
    acts: &mut Acts,
) -> Result<(), Fault> {
    let Some(mut event) = Event::find(tx, planned.event).await? else {
        acts.all.push(Acted::unknown(planned.event.delivery(0)));
        return Ok(());
    };
    let Some(deliveries) = acts.wanted(planned, event.unsendable) else {
        return Ok(());
    };
    for delivery in deliveries {
        let place = Place::find(tx, &event, &delivery.destination).await?;
        if place.has_one {
            continue;
        }
        let mut acted = Acted::created(planned.event.delivery(event.next), delivery);
        let wants_latest = latest.contains(&delivery.destination);
        if let Some(refusal) = place.late.refusal(wants_latest) {
            acted.outcome = Err(refusal);
        } else if usize::from(event.next) >= MOST_DELIVERIES {
            return Err(Fault::Unfit("an event has at most 32768 deliveries"));
        } else if !act.dry_run {
            write(tx, &event, (place.late.is_newest(), delivery), acts).await?;
            event.next += 1;
        }
        acts.all.push(acted);
    }
    Ok(())
}

/// An event that may get more deliveries.
struct Event {
    seq: i64,
    subject: Option<i64>,
    revision: i32,
    created_at: i64,
    /// The number of its next delivery.
    next: u16,
    unsendable: Option<Refusal>,
}

impl Event {
    async fn find(tx: &Tx<'_>, id: EventId) -> Result<Option<Self>, Fault> {
        let id = id.as_bytes().as_slice();
        tx.rows(super::acts::LOCK, &[&id]).await?;
        let found = tx
            .rows(
                "SELECT e.seq, e.subject, e.revision, e.received_at,
                        (SELECT coalesce(max(number) + 1, 0) FROM delivery WHERE event_seq = e.seq),
                        EXISTS (SELECT 1 FROM erased WHERE erased.subject = e.subject),
                        EXISTS (SELECT 1 FROM payload WHERE payload.seq = e.seq)
                 FROM event AS e WHERE e.id = $1 FOR UPDATE",
                &[&id],
            )
            .await?;
        let Some(row) = found.first() else {
            return Ok(None);
        };
        Ok(Some(Self {
            seq: get(row, 0)?,
            subject: get(row, 1)?,
            revision: get(row, 2)?,
            created_at: get(row, 3)?,
            next: rows::narrow(get::<i32>(row, 4)?)?,
            unsendable: unsendable(get(row, 5)?, get(row, 6)?),
        }))
    }
}

/// A destination, as far as an event has to do with it.
struct Place {
    /// One event reaches one destination at most once.
    has_one: bool,
    late: Late,
}

impl Place {
    async fn find(tx: &Tx<'_>, event: &Event, destination: &Name) -> Result<Self, Fault> {
        let destination = tx.pools.name(destination).await?;
        let found = tx
            .rows(
                "SELECT EXISTS (SELECT 1 FROM delivery WHERE event_seq = $1 AND destination = $2),
                        (SELECT revision FROM receipt WHERE subject = $3 AND destination = $2 AND revision > $4),
                        newer_1($3, $1, $2)",
                &[&event.seq, &destination, &event.subject, &event.revision],
            )
            .await?;
        let row = found.first().ok_or(Fault::Unfit("there was no answer"))?;
        Ok(Self {
            has_one: get(row, 0)?,
            late: Late::read(row, 1)?,
        })
    }
}

/// As at acceptance, but that what is newer than the event is not superseded by it.
async fn write(
    tx: &Tx<'_>,
    event: &Event,
    (newest, delivery): (bool, &NewDelivery),
    acts: &mut Acts,
) -> Result<(), Fault> {
    let delivery = NewDelivery {
        supersedes: delivery.supersedes && newest,
        ..delivery.clone()
    };
    let columns = Columns::of(tx.pools, &[delivery]).await?;
    let first = i32::from(event.next);
    let mut params: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> = vec![
        &event.seq,
        &event.subject,
        &event.revision,
        &event.created_at,
        &false,
        &first,
    ];
    params.extend(columns.params());
    let sql = "SELECT over_ids, over_numbers, over_destinations
               FROM fan_out_1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    for row in &tx.rows(sql, &params).await? {
        acts.superseded.extend(superseded(tx.pools, row, 0).await?);
    }
    Ok(())
}
