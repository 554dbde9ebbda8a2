//! Everything an attempt needs, read in one look.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{OptionalExtension as _, params};

use super::fault::Fault;
use super::kept;
use super::readers::View;
use super::rows::{self, EventRow};
use super::sealed::Stored;
use crate::model::{DeliveryId, EventId, Kept, State, TraceParent};
use crate::store::{Receipt, Since, Work};

/// Reads an attempt's work; None where the delivery does not wait.
pub(super) fn work(
    view: &View<'_>,
    delivery: DeliveryId,
    since: Since,
) -> Result<Option<Work>, Fault> {
    let mut statement = view.conn.prepare_cached(&sql())?;
    let mut found = statement.query(params![delivery.event.as_bytes(), delivery.number])?;
    let Some(row) = found.next()? else {
        return Ok(None);
    };
    if rows::state(row.get(12)?)? != State::Waiting {
        return Ok(None);
    }
    let kept = Stored::read(row, 16)?;
    let kept = kept.ok_or_else(|| Fault::Payload("its payload is gone from the store".into()))?;
    let payload = kept.open(view.seals, delivery.event);
    let payload = payload.map_err(|error| Fault::Payload(error.to_string()))?;
    let destination: i64 = row.get(13)?;
    let trace: Option<Vec<u8>> = row.get(18)?;
    let kept: Option<String> = row.get(19)?;
    let webhook: Option<u16> = row.get(15)?;
    let event = rows::event(view, row)?;
    let sent = sent(view, &event, destination)?;
    let from = match since {
        Since::PreviousRevision => before(&event),
        Since::LastSent => last_sent(view, &event, sent.as_ref())?,
    };
    let (previous, previous_kept) = payload_of(view, from.seq)?.unzip();
    let previous_kept = previous_kept.flatten();
    Ok(Some(Work {
        destination: view.name(destination)?,
        route: view.name(row.get(14)?)?,
        webhook_id: delivery.event.delivery(webhook.unwrap_or(delivery.number)),
        payload,
        kept: kept.as_deref().map(kept::read).transpose()?,
        previous,
        previous_kept,
        changed: from.changed,
        receipt: sent.and_then(|sent| sent.receipt),
        event: Arc::new(event.event),
        trace: trace.as_deref().and_then(TraceParent::from_bytes),
    }))
}

/// Reads the work of many, until their payloads have so many bytes; see [`Store::works`](crate::store::Store::works).
pub(super) fn works(
    view: &View<'_>,
    deliveries: &[DeliveryId],
    since: Since,
    bytes: usize,
) -> Result<HashMap<DeliveryId, Work>, Fault> {
    let mut works = HashMap::with_capacity(deliveries.len());
    let mut left = bytes;
    for delivery in deliveries {
        let work = match work(view, *delivery, since) {
            Ok(Some(work)) => work,
            // Whoever asks for this one alone is told.
            Ok(None) | Err(Fault::Payload(_)) => continue,
            Err(fault) => return Err(fault),
        };
        let Some(rest) = left.checked_sub(work.bytes()) else {
            break;
        };
        left = rest;
        works.insert(*delivery, work);
    }
    Ok(works)
}

/// The columns of an event, then those of the delivery and the payload from number 12 on.
pub(super) fn sql() -> String {
    format!(
        "SELECT {}, d.state, d.destination, d.route, d.webhook, p.body, p.sealed_by, e.trace, k.fields
         FROM event AS e JOIN delivery AS d ON d.event_seq = e.seq AND d.number = ?2
         LEFT JOIN subject AS s ON s.id = e.subject LEFT JOIN payload AS p ON p.seq = e.seq
         LEFT JOIN kept AS k ON k.id = e.kept
         WHERE e.id = ?1",
        rows::EVENT
    )
}

/// What a destination was sent of a subject.
struct Sent {
    revision: u32,
    receipt: Option<Receipt>,
}

/// What `previous` and `changed` are reckoned from.
struct From {
    seq: Option<i64>,
    changed: Vec<String>,
}

fn sent(view: &View<'_>, event: &EventRow, destination: i64) -> Result<Option<Sent>, Fault> {
    let Some(subject) = event.subject else {
        return Ok(None);
    };
    let sent = view
        .conn
        .prepare_cached(
            "SELECT revision, value, scope FROM receipt WHERE subject = ?1 AND destination = ?2",
        )?
        .query_row([subject, destination], |row| {
            let value: Option<String> = row.get("value")?;
            let scope: Option<String> = row.get("scope")?;
            Ok(Sent {
                revision: row.get("revision")?,
                receipt: value.map(|value| Receipt {
                    value,
                    scope: scope.unwrap_or_default(),
                }),
            })
        })
        .optional()?;
    Ok(sent)
}

fn before(event: &EventRow) -> From {
    From {
        seq: event.prev_seq,
        changed: event.event.changed.clone(),
    }
}

/// Walks the chain back to the revision that was sent last, collecting what changed on the way. A
/// replay of what was sent already, or of something older, says what it said against the revision
/// before it.
fn last_sent(view: &View<'_>, event: &EventRow, sent: Option<&Sent>) -> Result<From, Fault> {
    let Some(sent) = sent else {
        return Ok(From {
            seq: None,
            changed: Vec::new(),
        });
    };
    if sent.revision >= event.event.revision {
        return Ok(before(event));
    }
    let mut from = before(event);
    while let Some(seq) = from.seq {
        let link = view
            .conn
            .prepare_cached("SELECT revision, prev_seq, changed FROM event WHERE seq = ?1")?
            .query_row([seq], |row| {
                Ok((
                    row.get::<_, u32>("revision")?,
                    row.get::<_, Option<i64>>("prev_seq")?,
                    row.get::<_, Option<String>>("changed")?,
                ))
            })
            .optional()?;
        match link {
            Some((revision, prev_seq, changed)) if revision > sent.revision => {
                from.changed
                    .extend(rows::list::<String>(changed.as_deref())?);
                from.seq = prev_seq;
            }
            Some(_) => break,
            None => from.seq = None,
        }
    }
    from.changed.sort_unstable();
    from.changed.dedup();
    Ok(from)
}

/// An event's payload, and which fields were kept of it if it is not whole.
fn payload_of(view: &View<'_>, seq: Option<i64>) -> Result<Option<(Bytes, Option<Kept>)>, Fault> {
    let Some(seq) = seq else {
        return Ok(None);
    };
    let found: Option<(Option<Stored>, [u8; 16], Option<String>)> = view
        .conn
        .prepare_cached(
            "SELECT p.body, p.sealed_by, e.id, k.fields FROM payload AS p
             JOIN event AS e ON e.seq = p.seq LEFT JOIN kept AS k ON k.id = e.kept WHERE p.seq = ?1",
        )?
        .query_row([seq], |row| {
            Ok((Stored::read(row, 0)?, row.get(2)?, row.get(3)?))
        })
        .optional()?;
    let Some((Some(stored), event, fields)) = found else {
        return Ok(None);
    };
    let kept = fields.as_deref().map(kept::read).transpose()?;
    let payload = stored.open_or_gone(view.seals, EventId::from_bytes(event));
    Ok(payload.map(|payload| (payload, kept)))
}
