//! What people ask about deliveries: lists and counts.

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use tokio_postgres::types::ToSql;

use super::Shared;
use super::events;
use super::fault::Fault;
use super::pool::{Walk, look};
use super::rows::{self, get};
use crate::model::{Delivery, Page, State};
use crate::store::paging::{Bounds, FEW, Found, PAGE_LOOKS, Search};
use crate::store::{DeliveryFilter, Tally};

/// Deliveries, newest first unless told otherwise, without attempts.
pub(super) async fn deliveries(
    shared: &Shared,
    filter: &DeliveryFilter,
    search: Search,
) -> Result<Page<Delivery>, Fault> {
    let mut found = Found::<Delivery>::new(search);
    let Some(asked) = Asked::of(shared, filter).await? else {
        return Ok(found.page(|delivery| delivery.id));
    };
    if filter.subject.is_none() && filter.candidate.is_none() {
        let mut client = shared.pools.snapshot().await?;
        let tx = look(&mut client).await?;
        let few = filter.event.is_none() && asked.expected(&tx).await? <= FEW;
        let few = asked.state.filter(|_| few);
        read(&mut found, &tx, (&asked, filter), few).await?;
        return Ok(found.page(|delivery| delivery.id));
    }
    let mut events = events::of_subjects(shared, &filter.of_events()).await?;
    if filter.oldest_first {
        events.reverse();
    }
    let mut client = shared.pools.snapshot().await?;
    let tx = look(&mut client).await?;
    for event in events {
        let wanted = filter.event.is_none_or(|wanted| wanted == event.id);
        if wanted && !found.is_full() {
            let of_event = DeliveryFilter {
                event: Some(event.id),
                ..filter.clone()
            };
            read(&mut found, &tx, (&asked, &of_event), None).await?;
        }
    }
    Ok(found.page(|delivery| delivery.id))
}

async fn read(
    found: &mut Found<Delivery>,
    tx: &Transaction<'_>,
    (asked, filter): (&Asked, &DeliveryFilter),
    few: Option<State>,
) -> Result<(), Fault> {
    let bounds = Bounds::of_deliveries(filter);
    let (from, to) = (bounds.from.as_bytes(), bounds.to.as_bytes());
    let event_type = filter.event_type.as_ref();
    let event_type = event_type.map(|one| one.as_str().as_bytes());
    let params: [&(dyn ToSql + Sync); 10] = [
        &from.as_slice(),
        &to.as_slice(),
        &bounds.number,
        &asked.destination,
        &asked.route,
        &asked.state.map(rows::code),
        &rows::millis_of(filter.since),
        &rows::millis_of(filter.until),
        &event_type,
        &filter.error.as_deref().map(rows::words),
    ];
    let sql = list_sql(few, asked.destination.is_some(), filter.oldest_first);
    let mut walk = Walk::begin(tx, &sql, &params).await?;
    while !found.is_full() && walk.goes_on(found.size_of_step()).await? {
        for row in walk.rows() {
            if found.is_full() {
                break;
            }
            let fits: bool = get(row, 8)?;
            let item = fits.then(|| rows::delivery(row)).transpose()?;
            found.look(rows::delivery_id(row, 0)?, item);
        }
    }
    Ok(())
}

/// How many deliveries each destination has in each state, from the counts that are kept.
pub(super) async fn tallies(shared: &Shared, now: Timestamp) -> Result<Vec<Tally>, Fault> {
    let view = shared.pools.view().await?;
    let mut all = Vec::new();
    let mut waiting = 0;
    for row in &view.rows(TALLIES, &[]).await? {
        let state = rows::state(get(row, 1)?)?;
        let count = rows::count(get(row, 2)?)?;
        if state == State::Waiting {
            waiting += count;
        }
        let due = rows::time_of(get(row, 3)?)?;
        let moved = rows::time_of(get(row, 4)?)?;
        all.push(Tally {
            destination: rows::name(row, 0)?,
            state,
            count,
            oldest_due: due.filter(|due| *due <= now),
            // What was not moved is due when it was created, so the smaller of the two is the latter.
            oldest_created: due.into_iter().chain(moved).min(),
        });
    }
    shared.note_waiting(waiting);
    Ok(all)
}

pub(super) const TALLIES: &str = "SELECT n.text, t.state, t.count, o.due, o.moved \
     FROM (SELECT destination, state, sum(count)::bigint AS count FROM tally GROUP BY destination, state) AS t \
     LEFT JOIN name AS n ON n.id = t.destination \
     LEFT JOIN LATERAL ( \
         SELECT (SELECT min(d.due_at) FROM delivery AS d WHERE d.state = 0 AND d.destination = t.destination) AS due, \
                (SELECT min(d.created_at) FROM delivery AS d \
                 WHERE d.state = 0 AND d.destination = t.destination AND d.due_at > d.created_at) AS moved \
     ) AS o ON t.state = 0 \
     WHERE t.count > 0 ORDER BY t.destination, t.state";

/// A filter in the store's numbers.
struct Asked {
    state: Option<State>,
    destination: Option<i32>,
    route: Option<i32>,
}

impl Asked {
    /// None where nothing can match: a name that was never heard, or a state that is never on disk.
    async fn of(shared: &Shared, filter: &DeliveryFilter) -> Result<Option<Self>, Fault> {
        if filter.state == Some(State::Sending) {
            return Ok(None);
        }
        let mut numbers = [None, None];
        for (number, name) in numbers.iter_mut().zip([&filter.destination, &filter.route]) {
            if let Some(name) = name {
                *number = shared.pools.name_id(name).await?;
                if number.is_none() {
                    return Ok(None);
                }
            }
        }
        let [destination, route] = numbers;
        Ok(Some(Self {
            state: filter.state,
            destination,
            route,
        }))
    }

    /// How many rows a partial index holds for this, by the counts that are kept.
    async fn expected(&self, tx: &Transaction<'_>) -> Result<u64, Fault> {
        let Some(state @ (State::Waiting | State::Dead)) = self.state else {
            return Ok(u64::MAX);
        };
        let sql = "SELECT coalesce(sum(count), 0)::bigint FROM tally
                   WHERE state = $1 AND ($2::integer IS NULL OR destination = $2)";
        let statement = tx.prepare_cached(sql).await?;
        let params: [&(dyn ToSql + Sync); 2] = [&rows::code(state), &self.destination];
        let row = tx.query_one(&statement, &params).await?;
        Ok(rows::count(get(&row, 0)?)?)
    }
}

/// The list: by the partial index of the state in `few`, or from the newest event down. With `destination`, the index is
/// searched for it. What else is asked for comes as `fits`, so that a walk past rows that do not fit can be counted, and
/// ended.
pub(super) fn list_sql(few: Option<State>, destination: bool, oldest_first: bool) -> String {
    // What is few is read first and sorted; else rows come in the order of an index.
    let held = match few {
        Some(State::Waiting) => Some("state = 0"),
        Some(State::Dead) => Some("state = 4"),
        _ => None,
    };
    let at = if destination {
        "d.destination = $4"
    } else {
        "true"
    };
    let (with, from) = match held {
        Some(held) => (
            format!(
                "WITH held AS MATERIALIZED (SELECT d.*, e.id, e.type FROM delivery AS d JOIN event AS e ON e.seq = d.event_seq \
                 WHERE d.{held} AND {at})"
            ),
            "held AS d CROSS JOIN LATERAL (SELECT d.id, d.type) AS e",
        ),
        None => (
            String::new(),
            "event AS e JOIN delivery AS d ON d.event_seq = e.seq",
        ),
    };
    let (further, order) = if oldest_first {
        ("e.id > $1 OR d.number > $3::bigint", "e.id, d.number")
    } else {
        (
            "e.id < $2 OR d.number < $3::bigint",
            "e.id DESC, d.number DESC",
        )
    };
    // The limit tells the planner that few of the rows will be wanted, so that it follows the index.
    format!(
        "{with} SELECT {}, coalesce(($4::integer IS NULL OR d.destination = $4) AND ($5::integer IS NULL OR d.route = $5) AND ($6::smallint IS NULL OR d.state = $6)
             AND ($9::bytea IS NULL OR e.type = $9)
             AND ($10::text IS NULL OR strpos(lower(d.last_error), lower($10)) > 0), false) AS fits
         FROM {from} {}
         WHERE e.id >= $1 AND e.id <= $2 AND ({further})
             AND ($7::bigint IS NULL OR d.created_at >= $7) AND ($8::bigint IS NULL OR d.created_at < $8)
         ORDER BY {order} LIMIT {PAGE_LOOKS}",
        rows::DELIVERY,
        rows::DELIVERY_NAMES
    )
}
