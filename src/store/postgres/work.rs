//! Everything that attempts need, read in one look.

use std::collections::HashMap;
use std::sync::Arc;

use tokio_postgres::Row;

use super::Shared;
use super::fault::Fault;
use super::rows::{self, get};
use crate::model::{DeliveryId, TraceParent};
use crate::store::codes;
use crate::store::{Receipt, Since, StoreError, Work};

/// Reads an attempt's work; None where the delivery does not wait.
pub(super) async fn work(
    shared: &Shared,
    delivery: DeliveryId,
    since: Since,
) -> Result<Option<Work>, Fault> {
    let found = read(shared, &[delivery], since, usize::MAX).await?;
    found.first().map(|row| one(shared, row, since)).transpose()
}

/// Reads the work of many, until their payloads have so many bytes; see [`Store::works`](crate::store::Store::works).
pub(super) async fn works(
    shared: &Shared,
    deliveries: &[DeliveryId],
    since: Since,
    bytes: usize,
) -> Result<HashMap<DeliveryId, Work>, StoreError> {
    let mut works = HashMap::with_capacity(deliveries.len());
    let mut left = bytes;
    for row in &read(shared, deliveries, since, bytes).await? {
        let work = match one(shared, row, since) {
            Ok(work) => work,
            // Whoever asks for this one alone is told.
            Err(Fault::Payload(_)) => continue,
            Err(fault) => return Err(fault.into()),
        };
        let Some(rest) = left.checked_sub(work.bytes()) else {
            break;
        };
        left = rest;
        works.insert(rows::delivery_id_at(row, 1, 11)?, work);
    }
    Ok(works)
}

/// What is sealed is this much longer, at most: the database counts what it keeps.
const SEAL_BYTES: i64 = 40;

async fn read(
    shared: &Shared,
    deliveries: &[DeliveryId],
    since: Since,
    bytes: usize,
) -> Result<Vec<Row>, Fault> {
    let ids: Vec<&[u8]> = deliveries
        .iter()
        .map(|id| id.event.as_bytes().as_slice())
        .collect();
    let numbers: Vec<i32> = deliveries.iter().map(|id| id.number.into()).collect();
    let last_sent = since == Since::LastSent;
    let sealed = i64::try_from(deliveries.len()).unwrap_or(i64::MAX);
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    let bytes = bytes.saturating_add(sealed.saturating_mul(2 * SEAL_BYTES));
    let view = shared.pools.view().await?;
    view.rows(&sql(), &[&ids, &numbers, &last_sent, &bytes])
        .await
}

/// The columns of an event, then those of the delivery, the payload, what was sent, and what went before.
pub(super) fn sql() -> String {
    format!(
        "SELECT * FROM (
             SELECT {}, d.number, dn.text AS destination, rn.text AS route, d.webhook, p.body, p.sealed_by, e.trace, k.fields,
                 r.revision AS sent, r.value, r.scope, f.changed AS lists, pe.id AS before, pp.body AS before_body,
                 pp.sealed_by AS before_sealed_by, pk.fields AS before_fields, w.place,
                 sum(coalesce(octet_length(p.body), 0) + coalesce(octet_length(pp.body), 0)) OVER (ORDER BY w.place) AS bytes
             FROM unnest($1::bytea[], $2::integer[]) WITH ORDINALITY AS w (id, number, place)
             JOIN event AS e ON e.id = w.id LEFT JOIN name AS sn ON sn.id = e.source
             JOIN delivery AS d ON d.event_seq = e.seq AND d.number = w.number AND d.state = 0 {}
             LEFT JOIN subject AS s ON s.id = e.subject LEFT JOIN payload AS p ON p.seq = e.seq
             LEFT JOIN kept AS k ON k.id = e.kept
             LEFT JOIN receipt AS r ON r.subject = e.subject AND r.destination = d.destination
             LEFT JOIN LATERAL since_1(e.prev_seq, e.changed, e.revision, r.revision, $3) AS f ON true
             LEFT JOIN event AS pe ON pe.seq = f.seq LEFT JOIN payload AS pp ON pp.seq = f.seq
             LEFT JOIN kept AS pk ON pk.id = pe.kept
         ) AS found (seq, id, source, type, subject_id, revision, changed, candidate, received_at, route_errors, subject,
             number)
         WHERE bytes <= $4 OR place = 1 ORDER BY place",
        rows::EVENT,
        rows::DELIVERY_NAMES
    )
}

fn one(shared: &Shared, row: &Row, since: Since) -> Result<Work, Fault> {
    let seals = &shared.identity.seals;
    let event = rows::event(row)?;
    let delivery = rows::delivery_id_at(row, 1, 11)?;
    let stored = rows::stored(row, 15)?;
    let stored =
        stored.ok_or_else(|| Fault::Payload("its payload is gone from the store".into()))?;
    let payload = stored.open(seals, delivery.event);
    let payload = payload.map_err(|error| Fault::Payload(error.to_string()))?;
    let trace: Option<&[u8]> = get(row, 17)?;
    let kept: Option<&str> = get(row, 18)?;
    let webhook = get::<Option<i32>>(row, 14)?.map(rows::narrow).transpose()?;
    let before: Option<&[u8]> = get(row, 23)?;
    let before_fields: Option<&str> = get(row, 26)?;
    let previous = match (before, rows::stored(row, 24)?) {
        (Some(id), Some(stored)) => stored.open_or_gone(seals, rows::id_of(id)?),
        _ => None,
    };
    let previous_kept = before_fields.filter(|_| previous.is_some());
    Ok(Work {
        destination: rows::name(row, 12)?,
        route: rows::name(row, 13)?,
        webhook_id: delivery.event.delivery(webhook.unwrap_or(delivery.number)),
        payload,
        kept: kept.map(codes::kept).transpose()?,
        previous_kept: previous_kept.map(codes::kept).transpose()?,
        previous,
        changed: changed(row, since)?,
        receipt: receipt(row)?,
        event: Arc::new(event.event),
        trace: trace.and_then(TraceParent::from_bytes),
    })
}

fn changed(row: &Row, since: Since) -> Result<Vec<String>, Fault> {
    let lists: Vec<Option<&str>> = get(row, 22)?;
    let mut changed = Vec::new();
    for list in lists {
        changed.extend(rows::list::<String>(list)?);
    }
    let (own, sent): (i32, Option<i32>) = (get(row, 5)?, get(row, 19)?);
    if since == Since::LastSent && sent.is_some_and(|sent| sent < own) {
        changed.sort_unstable();
        changed.dedup();
    }
    Ok(changed)
}

fn receipt(row: &Row) -> Result<Option<Receipt>, Fault> {
    let value: Option<&[u8]> = get(row, 20)?;
    let scope: Option<&[u8]> = get(row, 21)?;
    let Some(value) = value else {
        return Ok(None);
    };
    Ok(Some(Receipt {
        value: rows::text(value)?.to_owned(),
        scope: rows::text(scope.unwrap_or_default())?.to_owned(),
    }))
}
