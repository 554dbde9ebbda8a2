//! Retention: takes away payloads, and later the ledger, of what is old enough. Each step looks at a few of the oldest
//! and is one short transaction among the others. The room that it makes is the database's to use again.

use async_trait::async_trait;
use jiff::Timestamp;

use super::change::{Change, Tx};
use super::fault::Fault;
use super::rows::{self, get};
use crate::model::{EventType, State, after};
use crate::store::keep::GONE;
use crate::store::{Keep, Sweep, Swept};

/// [`Sweep`] with terms of its own.
pub(super) struct Step {
    keep: Keep,
    now: Timestamp,
    after: Swept,
    limit: usize,
}

impl Step {
    pub(super) fn of(sweep: &Sweep<'_>) -> Self {
        Self {
            keep: sweep.keep.clone(),
            now: sweep.now,
            after: sweep.after,
            limit: sweep.limit,
        }
    }
}

#[async_trait]
impl Change for Step {
    type Answer = Swept;

    async fn run(&self, tx: &Tx<'_>) -> Result<Swept, Fault> {
        let mut swept = Swept {
            payloads: 0,
            events: 0,
            ..self.after
        };
        let payloads_done = payloads(tx, self, &mut swept).await?;
        let ledger_done = ledger(tx, self, &mut swept).await?;
        swept.done = payloads_done && ledger_done;
        Ok(swept)
    }
}

pub(super) const PAYLOADS: &str = "SELECT p.seq, e.type, e.received_at, \
         ARRAY (SELECT d.state FROM delivery AS d WHERE d.event_seq = p.seq) \
     FROM (SELECT seq FROM payload WHERE seq > $1 ORDER BY seq LIMIT $2) AS p \
     LEFT JOIN event AS e ON e.seq = p.seq ORDER BY p.seq";

async fn payloads(tx: &Tx<'_>, sweep: &Step, swept: &mut Swept) -> Result<bool, Fault> {
    let shortest = sweep.keep.shortest();
    let limit = i64::try_from(sweep.limit).unwrap_or(i64::MAX);
    let found = tx.rows(PAYLOADS, &[&swept.payload_place, &limit]).await?;
    for row in &found {
        let age = after(rows::time(get(row, 2)?)?, sweep.now);
        if age < shortest {
            return Ok(true);
        }
        let seq: i64 = get(row, 0)?;
        swept.payload_place = seq;
        let event_type = EventType::new(rows::text(get(row, 1)?)?);
        let states: Vec<i16> = get(row, 3)?;
        let states: Result<Vec<State>, Fault> = states.into_iter().map(rows::state).collect();
        let term = sweep.keep.payload(&event_type, &states?);
        if term.is_some_and(|term| age >= term) {
            let forget = "SELECT forget_payload_1($1, $2)";
            tx.execute(forget, &[&seq, &GONE]).await?;
            swept.payloads += 1;
        }
    }
    Ok(found.len() < sweep.limit)
}

pub(super) const EVENTS: &str = "SELECT e.seq, e.received_at, p.seq IS NOT NULL \
     FROM (SELECT seq, received_at FROM event WHERE seq > $1 ORDER BY seq LIMIT $2) AS e \
     LEFT JOIN payload AS p ON p.seq = e.seq ORDER BY e.seq";

async fn ledger(tx: &Tx<'_>, sweep: &Step, swept: &mut Swept) -> Result<bool, Fault> {
    let limit = i64::try_from(sweep.limit).unwrap_or(i64::MAX);
    let found = tx.rows(EVENTS, &[&swept.event_place, &limit]).await?;
    for row in &found {
        let age = after(rows::time(get(row, 1)?)?, sweep.now);
        if age < sweep.keep.ledger {
            return Ok(true);
        }
        let seq: i64 = get(row, 0)?;
        swept.event_place = seq;
        if !get::<bool>(row, 2)? {
            tx.execute("SELECT forget_event_1($1)", &[&seq]).await?;
            swept.events += 1;
        }
    }
    Ok(found.len() < sweep.limit)
}
