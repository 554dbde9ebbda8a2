//! What people ask about events: one with all that is known of it, and lists.

use std::collections::HashMap;

use deadpool_postgres::Transaction;
use tokio_postgres::types::ToSql;

use super::DIGEST;
use super::Shared;
use super::fault::Fault;
use super::pool::{View, Walk, look};
use super::rows::{self, EventRow, get};
use crate::model::{Attempt, Delivery, Event, EventId, Page};
use crate::store::codes;
use crate::store::paging::{Bounds, Found, PAGE_LOOKS, REVISIONS, Search};
use crate::store::{EventDetail, EventFilter, Revision};

/// One event with its payload, revisions, deliveries and attempts, as of one moment.
pub(super) async fn event(shared: &Shared, id: EventId) -> Result<Option<EventDetail>, Fault> {
    let mut client = shared.pools.snapshot().await?;
    let tx = look(&mut client).await?;
    let sql = format!(
        "SELECT {}, p.body, p.sealed_by, k.fields FROM {}
         LEFT JOIN payload AS p ON p.seq = e.seq LEFT JOIN kept AS k ON k.id = e.kept WHERE e.id = $1",
        rows::EVENT,
        rows::EVENT_TABLES
    );
    let found = tx.query_opt(&sql, &[&id.as_bytes().as_slice()]).await?;
    let Some(found) = found else {
        return Ok(None);
    };
    let row = rows::event(&found)?;
    let stored = rows::stored(&found, 11)?;
    let opened = stored
        .map(|stored| stored.open(&shared.identity.seals, id))
        .transpose();
    let kept: Option<&str> = get(&found, 13)?;
    Ok(Some(EventDetail {
        lost: opened.as_ref().err().copied(),
        payload: opened.unwrap_or_default(),
        kept: kept.map(codes::kept).transpose()?,
        deliveries: deliveries(&tx, row.seq).await?,
        revisions: revisions(&tx, &row).await?,
        event: row.event,
    }))
}

async fn deliveries(tx: &Transaction<'_>, seq: i64) -> Result<Vec<Delivery>, Fault> {
    let mut attempts: HashMap<i32, Vec<Attempt>> = HashMap::new();
    let sql = "SELECT number, at, duration, status, verdict, reason, excerpt FROM attempt
               WHERE event_seq = $1 ORDER BY number, try";
    for row in &tx.query(sql, &[&seq]).await? {
        let own = attempts.entry(get(row, 0)?).or_default();
        own.push(rows::attempt(row, 1)?);
    }
    let sql = format!(
        "SELECT {} FROM delivery AS d JOIN event AS e ON e.seq = d.event_seq {}
         WHERE d.event_seq = $1 ORDER BY d.number",
        rows::DELIVERY,
        rows::DELIVERY_NAMES
    );
    let mut all = Vec::new();
    for row in &tx.query(&sql, &[&seq]).await? {
        let mut delivery = rows::delivery(row)?;
        let own = attempts.remove(&delivery.id.number.into());
        delivery.attempts = own.unwrap_or_default();
        all.push(delivery);
    }
    Ok(all)
}

/// All revisions of an event's subject, oldest first; without a subject, the event alone.
async fn revisions(tx: &Transaction<'_>, row: &EventRow) -> Result<Vec<Revision>, Fault> {
    let limit = i64::try_from(REVISIONS).expect("it is small");
    let found = if let Some(subject) = row.subject {
        tx.query(&chain_sql(), &[&vec![subject], &limit]).await?
    } else {
        let sql = format!(
            "SELECT {} FROM {} WHERE e.seq = $1",
            rows::EVENT,
            rows::EVENT_TABLES
        );
        tx.query(&sql, &[&row.seq]).await?
    };
    let mut all = Vec::with_capacity(found.len());
    for row in &found {
        let event = rows::event(row)?.event;
        all.push(Revision {
            event: event.id,
            revision: event.revision,
            event_type: event.event_type,
            changed: event.changed,
            received_at: event.received_at,
        });
    }
    all.reverse();
    Ok(all)
}

/// The events of subjects by their chains, newest first: they have no index of their own.
pub(super) fn chain_sql() -> String {
    format!(
        "WITH RECURSIVE link (seq, prev_seq, depth) AS (
             SELECT e.seq, e.prev_seq, 1 FROM subject AS s JOIN event AS e ON e.seq = s.latest_seq WHERE s.id = ANY ($1)
             UNION ALL
             SELECT e.seq, e.prev_seq, link.depth + 1 FROM link JOIN event AS e ON e.seq = link.prev_seq
             WHERE link.depth < $2::bigint)
         SELECT {} FROM link LEFT JOIN event AS e ON e.seq = link.seq LEFT JOIN name AS sn ON sn.id = e.source
         LEFT JOIN subject AS s ON s.id = e.subject ORDER BY link.depth",
        rows::EVENT
    )
}

/// Events, newest first unless told otherwise.
pub(super) async fn events(
    shared: &Shared,
    filter: &EventFilter,
    search: Search,
) -> Result<Page<Event>, Fault> {
    let mut found = Found::new(search);
    if filter.subject.is_some() || filter.candidate.is_some() {
        let named = of_subjects(shared, filter).await?;
        found.take_named(named, filter, |event| event.id);
    } else {
        read(&mut found, shared, filter).await?;
    }
    Ok(found.page(|event| event.id.delivery(0)))
}

async fn read(
    found: &mut Found<Event>,
    shared: &Shared,
    filter: &EventFilter,
) -> Result<(), Fault> {
    let bounds = Bounds::of_events(filter);
    let source = match &filter.source {
        Some(source) => match shared.pools.name_id(source).await? {
            Some(id) => Some(id),
            None => return Ok(()),
        },
        None => None,
    };
    let event_type = filter.event_type.as_ref();
    let event_type = event_type.map(|one| one.as_str().as_bytes());
    let (from, to) = (bounds.from.as_bytes(), bounds.to.as_bytes());
    let params: [&(dyn ToSql + Sync); 4] = [&from.as_slice(), &to.as_slice(), &event_type, &source];
    let mut client = shared.pools.snapshot().await?;
    let tx = look(&mut client).await?;
    let mut walk = Walk::begin(&tx, &list_sql(filter.oldest_first), &params).await?;
    while !found.is_full() && walk.goes_on(found.size_of_step()).await? {
        for row in walk.rows() {
            if found.is_full() {
                break;
            }
            let fits: bool = get(row, 11)?;
            let event = fits.then(|| rows::event(row)).transpose()?;
            let id = rows::event_id(row, 1)?.delivery(0);
            found.look(id, event.map(|row| row.event));
        }
    }
    Ok(())
}

pub(super) fn list_sql(oldest_first: bool) -> String {
    let order = if oldest_first { "ASC" } else { "DESC" };
    format!(
        "SELECT {}, ($3::bytea IS NULL OR e.type = $3) AND ($4::integer IS NULL OR e.source = $4) AS fits
         FROM {} WHERE e.id >= $1 AND e.id < $2 ORDER BY e.id {order} LIMIT {PAGE_LOOKS}",
        rows::EVENT,
        rows::EVENT_TABLES
    )
}

/// Events of the subjects that a filter names, newest first. Times and cursor are not looked at.
pub(super) async fn of_subjects(
    shared: &Shared,
    filter: &EventFilter,
) -> Result<Vec<Event>, Fault> {
    let view = shared.pools.view().await?;
    let subjects = named_subjects(shared, &view, filter).await?;
    let mut items = Vec::new();
    for row in &view.rows(&chain_sql(), &[&subjects, &i64::MAX]).await? {
        let event = rows::event(row)?.event;
        if filter.wants(&event) {
            items.push(event);
        }
    }
    items.sort_unstable_by_key(|event| std::cmp::Reverse(event.id));
    Ok(items)
}

async fn named_subjects(
    shared: &Shared,
    view: &View,
    filter: &EventFilter,
) -> Result<Vec<i64>, Fault> {
    let found = if let Some(candidate) = &filter.candidate {
        let sql = "SELECT subject FROM candidate WHERE candidate = $1";
        view.rows(sql, &[&candidate.as_bytes()]).await?
    } else if let Some(subject) = &filter.subject {
        let digests = digests(shared, view, subject).await?;
        let sql = "SELECT id FROM subject WHERE digest = ANY ($1)";
        view.rows(sql, &[&digests]).await?
    } else {
        return Ok(Vec::new());
    };
    found.iter().map(|row| get(row, 0)).collect()
}

/// Names are few, and a subject is found by source and text together.
async fn digests(shared: &Shared, view: &View, subject: &str) -> Result<Vec<Vec<u8>>, Fault> {
    let key = &shared.identity.key;
    let names = view.rows("SELECT text FROM name", &[]).await?;
    let digest = |row| Ok(key.digest(get(row, 0)?, subject)[..DIGEST].to_vec());
    names.iter().map(digest).collect()
}
