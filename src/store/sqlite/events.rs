//! What people ask about events: one with all that is known of it, and lists.

use rusqlite::{OptionalExtension as _, params, params_from_iter, types::Value};

use super::fault::Fault;
use super::readers::View;
use super::rows::{self, EventRow};
use super::sealed::Stored;
use super::{kept, subjects};
use crate::model::{Attempt, Delivery, Event, EventId, Page};
use crate::store::paging::{Bounds, Found, REVISIONS, Search};
use crate::store::{EventDetail, EventFilter, Revision, StoreKey};

/// One event with its payload, revisions, deliveries and attempts.
pub(super) fn event(view: &View<'_>, id: EventId) -> Result<Option<EventDetail>, Fault> {
    let Some(row) = find(view, id)? else {
        return Ok(None);
    };
    let kept = view
        .conn
        .prepare_cached("SELECT body, sealed_by FROM payload WHERE seq = ?1")?
        .query_row([row.seq], |found| Stored::read(found, 0))
        .optional()?
        .flatten();
    let opened = kept.map(|kept| kept.open(view.seals, id)).transpose();
    Ok(Some(EventDetail {
        lost: opened.as_ref().err().copied(),
        payload: opened.unwrap_or_default(),
        kept: kept::of_event(view, row.seq)?,
        deliveries: deliveries(view, row.seq)?,
        revisions: revisions(view, &row)?,
        event: row.event,
    }))
}

/// Events, newest first unless told otherwise.
pub(super) fn events(
    view: &View<'_>,
    key: &StoreKey,
    filter: &EventFilter,
    search: Search,
) -> Result<Page<Event>, Fault> {
    let mut found = Found::new(search);
    if filter.subject.is_some() || filter.candidate.is_some() {
        let named = of_subjects(view, key, filter)?;
        let named = named.into_iter().map(|row| row.event).collect();
        found.take_named(named, filter, |event: &Event| event.id);
    } else {
        found.read(view, filter)?;
    }
    Ok(found.page(|event| event.id.delivery(0)))
}

fn find(view: &View<'_>, id: EventId) -> Result<Option<EventRow>, Fault> {
    let mut statement = view.conn.prepare_cached(&format!(
        "SELECT {} FROM event AS e LEFT JOIN subject AS s ON s.id = e.subject WHERE e.id = ?1",
        rows::EVENT
    ))?;
    let mut found = statement.query([id.as_bytes()])?;
    found.next()?.map(|row| rows::event(view, row)).transpose()
}

fn deliveries(view: &View<'_>, seq: i64) -> Result<Vec<Delivery>, Fault> {
    let mut statement = view.conn.prepare_cached(&format!(
        "SELECT {} FROM delivery AS d JOIN event AS e ON e.seq = d.event_seq
         WHERE d.event_seq = ?1 ORDER BY d.number",
        rows::DELIVERY
    ))?;
    let mut found = statement.query([seq])?;
    let mut all = Vec::new();
    while let Some(row) = found.next()? {
        let mut delivery = rows::delivery(view, row)?;
        delivery.attempts = attempts(view, seq, delivery.id.number)?;
        all.push(delivery);
    }
    Ok(all)
}

fn attempts(view: &View<'_>, seq: i64, number: u16) -> Result<Vec<Attempt>, Fault> {
    let mut statement = view.conn.prepare_cached(
        "SELECT at, duration, status, verdict, reason, excerpt FROM attempt
         WHERE event_seq = ?1 AND number = ?2 ORDER BY try",
    )?;
    let mut found = statement.query(params![seq, number])?;
    let mut all = Vec::new();
    while let Some(row) = found.next()? {
        all.push(rows::attempt(row)?);
    }
    Ok(all)
}

/// All revisions of an event's subject, oldest first; without a subject, the event alone.
fn revisions(view: &View<'_>, row: &EventRow) -> Result<Vec<Revision>, Fault> {
    let newest = match row.subject {
        Some(subject) => latest(view, subject)?,
        None => Some(row.seq),
    };
    let mut all = Vec::new();
    let mut next = newest;
    while let Some(link) = chained(view, next)? {
        all.push(Revision {
            event: link.event.id,
            revision: link.event.revision,
            event_type: link.event.event_type,
            changed: link.event.changed,
            received_at: link.event.received_at,
        });
        next = link.prev_seq.filter(|_| all.len() < REVISIONS);
    }
    all.reverse();
    Ok(all)
}

fn latest(view: &View<'_>, subject: i64) -> Result<Option<i64>, Fault> {
    let latest = view
        .conn
        .prepare_cached("SELECT latest_seq FROM subject WHERE id = ?1")?
        .query_row([subject], |row| row.get(0))
        .optional()?;
    Ok(latest)
}

fn chained(view: &View<'_>, seq: Option<i64>) -> Result<Option<EventRow>, Fault> {
    let mut statement = view.conn.prepare_cached(&format!(
        "SELECT {} FROM event AS e LEFT JOIN subject AS s ON s.id = e.subject WHERE e.seq = ?1",
        rows::EVENT
    ))?;
    let mut found = statement.query([seq])?;
    found.next()?.map(|row| rows::event(view, row)).transpose()
}

impl Found<Event> {
    fn read(&mut self, view: &View<'_>, filter: &EventFilter) -> Result<(), Fault> {
        let bounds = Bounds::of_events(filter);
        let source = match &filter.source {
            Some(source) => match view.name_id(source)? {
                Some(id) => Some(id),
                None => return Ok(()),
            },
            None => None,
        };
        let values = [
            Value::Blob(bounds.from.as_bytes().to_vec()),
            Value::Blob(bounds.to.as_bytes().to_vec()),
            filter
                .event_type
                .as_ref()
                .map(|event_type| event_type.as_str().to_owned())
                .into(),
            source.into(),
        ];
        let mut statement = view.conn.prepare_cached(&list_sql(filter.oldest_first))?;
        let mut rows = statement.query(params_from_iter(values))?;
        while !self.is_full()
            && let Some(row) = rows.next()?
        {
            let fits: bool = row.get("fits")?;
            let event = fits.then(|| rows::event(view, row)).transpose()?;
            let id = rows::event_id(row, "id")?;
            self.look(id.delivery(0), event.map(|row| row.event));
        }
        Ok(())
    }
}

pub(super) fn list_sql(oldest_first: bool) -> String {
    let order = if oldest_first { "ASC" } else { "DESC" };
    format!(
        "SELECT {}, (?3 IS NULL OR e.type = ?3) AND (?4 IS NULL OR e.source = ?4) AS fits
         FROM event AS e LEFT JOIN subject AS s ON s.id = e.subject
         WHERE e.id >= ?1 AND e.id < ?2
         ORDER BY e.id {order}",
        rows::EVENT
    )
}

/// Events of the subjects that a filter names, newest first, by their chains: they have no index of their
/// own. Times and cursor are not looked at.
pub(super) fn of_subjects(
    view: &View<'_>,
    key: &StoreKey,
    filter: &EventFilter,
) -> Result<Vec<EventRow>, Fault> {
    let mut items = Vec::new();
    for subject in named_subjects(view, key, filter)? {
        let mut next = latest(view, subject)?;
        while let Some(link) = chained(view, next)? {
            next = link.prev_seq;
            if filter.wants(&link.event) {
                items.push(link);
            }
        }
    }
    items.sort_unstable_by_key(|row| std::cmp::Reverse(row.event.id));
    Ok(items)
}

fn named_subjects(
    view: &View<'_>,
    key: &StoreKey,
    filter: &EventFilter,
) -> Result<Vec<i64>, Fault> {
    if let Some(candidate) = &filter.candidate {
        let mut statement = view
            .conn
            .prepare_cached("SELECT subject FROM candidate WHERE candidate = ?1")?;
        let found = statement.query_map([candidate], |row| row.get(0))?;
        return Ok(found.collect::<Result<_, _>>()?);
    }
    let Some(subject) = &filter.subject else {
        return Ok(Vec::new());
    };
    // Names are few, and a subject is found by source and text together.
    let mut statement = view.conn.prepare_cached("SELECT id, text FROM name")?;
    let names = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut ids = Vec::new();
    for name in names {
        let (source, text): (i64, String) = name?;
        let hash = subjects::hash(key, &text, subject);
        ids.extend(subjects::find(&view.conn, hash, source, subject)?.map(|known| known.id));
    }
    Ok(ids)
}
