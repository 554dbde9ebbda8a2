//! What people ask about deliveries: lists and counts.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, params, params_from_iter, types::Value};

use super::events;
use super::fault::Fault;
use super::readers::View;
use super::rows;
use crate::model::{Delivery, Page, State};
use crate::store::codes;
use crate::store::paging::{Bounds, FEW, Found, Search};
use crate::store::{DeliveryFilter, StoreKey, Tally};

/// Deliveries, newest first unless told otherwise, without attempts.
pub(super) fn deliveries(
    view: &View<'_>,
    key: &StoreKey,
    filter: &DeliveryFilter,
    search: Search,
) -> Result<Page<Delivery>, Fault> {
    let mut found = Found::<Delivery>::new(search);
    let Some(asked) = Asked::of(view, filter)? else {
        return Ok(found.page(|delivery| delivery.id));
    };
    if filter.subject.is_none() && filter.candidate.is_none() {
        let few = filter.event.is_none() && asked.expected(view)? <= FEW;
        found.read(view, (&asked, filter), asked.state.filter(|_| few))?;
        return Ok(found.page(|delivery| delivery.id));
    }
    let named = filter.of_events();
    let mut events = events::of_subjects(view, key, &named)?;
    if filter.oldest_first {
        events.reverse();
    }
    for row in events {
        let id = row.event.id;
        if filter.event.is_none_or(|event| event == id) && !found.is_full() {
            let of_event = DeliveryFilter {
                event: Some(id),
                ..filter.clone()
            };
            found.read(view, (&asked, &of_event), None)?;
        }
    }
    Ok(found.page(|delivery| delivery.id))
}

impl Found<Delivery> {
    fn read(
        &mut self,
        view: &View<'_>,
        (asked, filter): (&Asked, &DeliveryFilter),
        few: Option<State>,
    ) -> Result<(), Fault> {
        let sql = list_sql(few, asked.destination.is_some(), filter.oldest_first);
        let mut statement = view.conn.prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(asked.values(filter)))?;
        while !self.is_full()
            && let Some(row) = rows.next()?
        {
            let id = rows::event_id(row, "id")?.delivery(row.get("number")?);
            let fits: bool = row.get("fits")?;
            let item = fits.then(|| rows::delivery(view, row)).transpose()?;
            self.look(id, item);
        }
        Ok(())
    }
}

/// How many deliveries each destination has in each state, from the counts that are kept.
pub(super) fn tallies(view: &View<'_>, now: Timestamp) -> Result<Vec<Tally>, Fault> {
    let mut statement = view.conn.prepare_cached(
        "SELECT destination, state, count FROM tally WHERE count > 0 ORDER BY destination, state",
    )?;
    let mut found = statement.query([])?;
    let mut all = Vec::new();
    while let Some(row) = found.next()? {
        let destination: i64 = row.get("destination")?;
        let state = rows::state(row.get("state")?)?;
        let (oldest_due, oldest_created) = match state {
            State::Waiting => oldest(view, destination)?,
            _ => (None, None),
        };
        all.push(Tally {
            destination: view.name(destination)?,
            state,
            count: codes::count(row.get("count")?)?,
            oldest_due: oldest_due.filter(|due| *due <= now),
            oldest_created,
        });
    }
    Ok(all)
}

pub(super) const OLDEST_DUE: &str =
    "SELECT min(due_at) FROM delivery WHERE state = 0 AND destination = ?1";

pub(super) const OLDEST_MOVED: &str = "SELECT min(created_at) FROM delivery \
     WHERE state = 0 AND destination = ?1 AND due_at > created_at";

/// The smallest due time and the smallest time of creation of what waits. What was not moved is due
/// when it was created, so the smaller of the two minima below is the latter.
fn oldest(
    view: &View<'_>,
    destination: i64,
) -> Result<(Option<Timestamp>, Option<Timestamp>), Fault> {
    let smallest = |sql: &str| -> Result<Option<Timestamp>, Fault> {
        view.conn
            .prepare_cached(sql)?
            .query_row([destination], |row| row.get::<_, Option<i64>>(0))?
            .map(rows::time)
            .transpose()
            .map_err(Fault::from)
    };
    let due = smallest(OLDEST_DUE)?;
    let moved = smallest(OLDEST_MOVED)?;
    Ok((due, due.into_iter().chain(moved).min()))
}

/// A filter in the store's numbers.
struct Asked {
    state: Option<State>,
    destination: Option<i64>,
    route: Option<i64>,
}

impl Asked {
    /// None where nothing can match: a name that was never heard, or a state that is never on disk.
    fn of(view: &View<'_>, filter: &DeliveryFilter) -> Result<Option<Self>, Fault> {
        if filter.state == Some(State::Sending) {
            return Ok(None);
        }
        let id = |name: &Option<String>| match name {
            Some(name) => Ok(view.name_id(name)?.map(Some)),
            None => Ok::<_, Fault>(Some(None)),
        };
        let (Some(destination), Some(route)) = (id(&filter.destination)?, id(&filter.route)?)
        else {
            return Ok(None);
        };
        Ok(Some(Self {
            state: filter.state,
            destination,
            route,
        }))
    }

    /// How many rows a partial index holds for this, by the counts that are kept.
    fn expected(&self, view: &View<'_>) -> Result<u64, Fault> {
        let Some(state @ (State::Waiting | State::Dead)) = self.state else {
            return Ok(u64::MAX);
        };
        let held: Option<i64> = view
            .conn
            .prepare_cached(
                "SELECT sum(count) FROM tally
                 WHERE state = ?1 AND (?2 IS NULL OR destination = ?2)",
            )?
            .query_row(params![rows::state_code(state), self.destination], |row| {
                row.get(0)
            })
            .optional()?
            .flatten();
        Ok(codes::count(held.unwrap_or(0))?)
    }

    fn values(&self, filter: &DeliveryFilter) -> Vec<Value> {
        let bounds = Bounds::of_deliveries(filter);
        vec![
            Value::Blob(bounds.from.as_bytes().to_vec()),
            Value::Blob(bounds.to.as_bytes().to_vec()),
            bounds.number.into(),
            self.destination.into(),
            self.route.into(),
            self.state
                .map(|state| i64::from(rows::state_code(state)))
                .into(),
            filter.since.map(Timestamp::as_millisecond).into(),
            filter.until.map(Timestamp::as_millisecond).into(),
            filter
                .event_type
                .as_ref()
                .map(|event_type| event_type.as_str().to_owned())
                .into(),
            filter.error.clone().into(),
        ]
    }
}

/// The list: by the partial index of the state in `few`, or from the newest event down. With
/// `destination`, the index is searched for it; as one of two alternatives it could not be. What else is
/// asked for comes as `fits`, so that a walk past rows that do not fit can be counted, and ended.
pub(super) fn list_sql(few: Option<State>, destination: bool, oldest_first: bool) -> String {
    let from = match few {
        Some(State::Waiting) => {
            "delivery AS d INDEXED BY delivery_due CROSS JOIN event AS e ON e.seq = d.event_seq
             WHERE d.state = 0"
        }
        Some(State::Dead) => {
            "delivery AS d INDEXED BY delivery_dead CROSS JOIN event AS e ON e.seq = d.event_seq
             WHERE d.state = 4"
        }
        _ => "event AS e CROSS JOIN delivery AS d ON d.event_seq = e.seq WHERE true",
    };
    let (at, of) = match (few, destination) {
        (Some(_), true) => ("d.destination = ?4", "true"),
        _ => ("true", "(?4 IS NULL OR d.destination = ?4)"),
    };
    let (further, order) = if oldest_first {
        ("e.id > ?1 OR d.number > ?3", "e.id, d.number")
    } else {
        ("e.id < ?2 OR d.number < ?3", "e.id DESC, d.number DESC")
    };
    format!(
        "SELECT {}, coalesce({of} AND (?5 IS NULL OR d.route = ?5) AND (?6 IS NULL OR d.state = ?6)
             AND (?9 IS NULL OR e.type = ?9)
             AND (?10 IS NULL OR instr(lower(d.last_error), lower(?10)) > 0), 0) AS fits
         FROM {from} AND {at}
             AND e.id >= ?1 AND e.id <= ?2 AND ({further})
             AND (?7 IS NULL OR d.created_at >= ?7) AND (?8 IS NULL OR d.created_at < ?8)
         ORDER BY {order}",
        rows::DELIVERY
    )
}
