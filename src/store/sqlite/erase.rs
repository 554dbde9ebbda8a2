//! Erasure in two transactions: the first lets nothing more in or out, the second takes everything away.
//! A crash between them is noticed at the next start, because the first leaves a note.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, params};

use super::batch::Batch;
use super::fault::Fault;
use super::readers::View;
use super::{jobs, rows, subjects, sweep};
use crate::model::{EventId, Name, State};
use crate::store::erase::{REASON, Sent};
use crate::store::{Condemned, Erasure, WORDS_ERASED, Whose};

/// Events of a candidate that have no subject: found by looking at all of those, which are few.
pub(super) fn without_subject(view: &View<'_>, candidate: &str) -> Result<Vec<i64>, Fault> {
    let mut statement = view
        .conn
        .prepare_cached("SELECT seq FROM event WHERE subject IS NULL AND candidate = ?1")?;
    let found = statement.query_map([candidate], |row| row.get(0))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// The first transaction.
pub(super) fn condemn(
    batch: &mut Batch<'_>,
    whose: &Whose,
    events: Vec<i64>,
    now: Timestamp,
) -> Result<Condemned, Fault> {
    let mut condemned = Condemned {
        subjects: whom(batch, whose)?,
        events,
        ..Condemned::default()
    };
    for subject in condemned.subjects.clone() {
        note(batch, subject, now)?;
        discard(batch, "d.subject = ?1", subject, &mut condemned)?;
        for event in chain(batch, subject)? {
            asked(batch, event, &mut condemned)?;
        }
    }
    for event in condemned.events.clone() {
        discard(batch, "d.event_seq = ?1", event, &mut condemned)?;
        asked(batch, event, &mut condemned)?;
    }
    Ok(condemned)
}

fn whom(batch: &Batch<'_>, whose: &Whose) -> Result<Vec<i64>, Fault> {
    let numbers = |sql: &str, params: &[&dyn rusqlite::ToSql]| -> Result<Vec<i64>, Fault> {
        let mut statement = batch.conn.prepare_cached(sql)?;
        let found = statement.query_map(params, |row| row.get(0))?;
        Ok(found.collect::<Result<_, _>>()?)
    };
    match whose {
        Whose::Unfinished => numbers("SELECT subject FROM erased WHERE subject IS NOT NULL", &[]),
        Whose::Candidate(candidate) => numbers(
            "SELECT subject FROM candidate WHERE candidate = ?1",
            &[candidate],
        ),
        Whose::Subject { subject, source } => {
            let sources = match source {
                Some(source) => vec![source.clone()],
                None => all_names(batch)?,
            };
            let key = &batch.identity().key;
            let mut found = Vec::new();
            for source in sources {
                let hash = subjects::hash(key, &source, subject);
                found.extend(numbers(
                    "SELECT s.id FROM subject AS s JOIN name AS n ON n.id = s.source
                     WHERE s.hash = ?1 AND n.text = ?2 AND s.subject = ?3",
                    &[&hash, &&*source, subject],
                )?);
            }
            Ok(found)
        }
    }
}

/// Names of sources are among them.
fn all_names(batch: &Batch<'_>) -> Result<Vec<Name>, Fault> {
    let mut statement = batch.conn.prepare_cached("SELECT text FROM name")?;
    let found = statement.query_map([], |row| row.get(0))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// From here on no body of the subject is taken.
fn note(batch: &mut Batch<'_>, subject: i64, now: Timestamp) -> Result<(), Fault> {
    let named: Option<(Name, String)> = batch
        .conn
        .prepare_cached(
            "SELECT n.text, s.subject FROM subject AS s JOIN name AS n ON n.id = s.source
             WHERE s.id = ?1",
        )?
        .query_row([subject], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((source, text)) = named else {
        return Ok(());
    };
    let digest = batch.identity().key.digest(&source, &text);
    batch
        .conn
        .prepare_cached("INSERT OR REPLACE INTO erased (hash, at, subject) VALUES (?1, ?2, ?3)")?
        .execute(params![digest, now.as_millisecond(), subject])?;
    batch.somebody_is_erased();
    Ok(())
}

/// The events of a subject, newest first.
fn chain(batch: &Batch<'_>, subject: i64) -> Result<Vec<i64>, Fault> {
    let mut events = Vec::new();
    let mut next: Option<i64> = batch
        .conn
        .prepare_cached("SELECT latest_seq FROM subject WHERE id = ?1")?
        .query_row([subject], |row| row.get(0))
        .optional()?;
    while let Some(seq) = next {
        events.push(seq);
        next = batch
            .conn
            .prepare_cached("SELECT prev_seq FROM event WHERE seq = ?1")?
            .query_row([seq], |row| row.get(0))
            .optional()?
            .flatten();
    }
    Ok(events)
}

/// Who is sent this event, or was.
fn asked(batch: &Batch<'_>, seq: i64, condemned: &mut Condemned) -> Result<(), Fault> {
    let mut statement = batch.conn.prepare_cached(
        "SELECT n.text FROM delivery AS d JOIN name AS n ON n.id = d.destination
         WHERE d.event_seq = ?1",
    )?;
    for name in statement.query_map([seq], |row| row.get::<_, Name>(0))? {
        let name = name?;
        if !condemned.destinations.contains(&name) {
            condemned.destinations.push(name);
        }
    }
    Ok(())
}

/// Ends what waits, so that no lane starts it.
fn discard(
    batch: &mut Batch<'_>,
    which: &str,
    number: i64,
    condemned: &mut Condemned,
) -> Result<(), Fault> {
    let waiting: Vec<(i64, u16, i64, Name, [u8; 16])> = batch
        .conn
        .prepare_cached(&format!(
            "SELECT d.event_seq, d.number, d.destination, n.text, e.id FROM delivery AS d
             JOIN event AS e ON e.seq = d.event_seq JOIN name AS n ON n.id = d.destination
             WHERE d.state = 0 AND {which}"
        ))?
        .query_map([number], |row| {
            Ok((
                row.get(0)?,
                row.get(1)?,
                row.get(2)?,
                row.get(3)?,
                row.get(4)?,
            ))
        })?
        .collect::<Result<_, _>>()?;
    for (seq, number, destination, name, event) in waiting {
        let states = (State::Waiting, State::Discarded);
        batch.end((seq, number), destination, states, REASON)?;
        let id = EventId::from_bytes(event).delivery(number);
        condemned.deliveries.push((name, id));
    }
    Ok(())
}

/// The second transaction.
pub(super) fn erase(
    batch: &mut Batch<'_>,
    condemned: &Condemned,
    now: Timestamp,
) -> Result<Erasure, Fault> {
    let mut erasure = Erasure {
        erased_at: Some(now),
        ..Erasure::default()
    };
    jobs::forget(batch, &named(batch, condemned)?, now)?;
    let mut sent = Sent::default();
    for subject in &condemned.subjects {
        erase_subject(batch, *subject, &mut erasure, &mut sent)?;
    }
    for event in &condemned.events {
        erase_event(batch, *event, &mut erasure, &mut sent)?;
    }
    for destination in &condemned.destinations {
        let destination = batch.name(destination)?;
        batch
            .conn
            .prepare_cached("UPDATE lane SET reason = ?2 WHERE destination = ?1 AND reason <> ''")?
            .execute(params![destination, WORDS_ERASED])?;
    }
    erasure.sent_to = sent.told();
    Ok(erasure)
}

/// Ids of the subjects and candidates.
fn named(batch: &Batch<'_>, condemned: &Condemned) -> Result<Vec<String>, Fault> {
    let mut named = Vec::new();
    let texts = [
        (
            "SELECT subject FROM subject WHERE id = ?1",
            &condemned.subjects,
        ),
        (
            "SELECT candidate FROM candidate WHERE subject = ?1",
            &condemned.subjects,
        ),
        (
            "SELECT candidate FROM event WHERE seq = ?1 AND candidate IS NOT NULL",
            &condemned.events,
        ),
    ];
    for (sql, numbers) in texts {
        let mut statement = batch.conn.prepare_cached(sql)?;
        for number in numbers {
            for text in statement.query_map([number], |row| row.get(0))? {
                named.push(text?);
            }
        }
    }
    Ok(named)
}

fn erase_subject(
    batch: &mut Batch<'_>,
    subject: i64,
    erasure: &mut Erasure,
    sent: &mut Sent,
) -> Result<(), Fault> {
    for seq in chain(batch, subject)? {
        forget_candidate(batch, seq, subject)?;
        erase_event(batch, seq, erasure, sent)?;
    }
    name_receipts(batch, subject, sent)?;
    let gone = batch
        .conn
        .prepare_cached("DELETE FROM subject WHERE id = ?1")?
        .execute([subject])?;
    erasure.subjects += gone as u64;
    batch
        .conn
        .prepare_cached("UPDATE erased SET subject = NULL WHERE subject = ?1")?
        .execute([subject])?;
    Ok(())
}

fn forget_candidate(batch: &Batch<'_>, seq: i64, subject: i64) -> Result<(), Fault> {
    batch
        .conn
        .prepare_cached(
            "DELETE FROM candidate WHERE subject = ?2
             AND candidate = (SELECT candidate FROM event WHERE seq = ?1)",
        )?
        .execute([seq, subject])?;
    Ok(())
}

fn erase_event(
    batch: &mut Batch<'_>,
    seq: i64,
    erasure: &mut Erasure,
    sent: &mut Sent,
) -> Result<(), Fault> {
    name_attempts(batch, seq, erasure, sent)?;
    sweep::uncount(batch, seq)?;
    let count = |sql: &str| -> Result<u64, Fault> {
        let gone = batch.conn.prepare_cached(sql)?.execute([seq])?;
        Ok(gone as u64)
    };
    erasure.payloads += count("DELETE FROM payload WHERE seq = ?1")?;
    count("DELETE FROM attempt WHERE event_seq = ?1")?;
    erasure.deliveries += count("DELETE FROM delivery WHERE event_seq = ?1")?;
    erasure.events += count("DELETE FROM event WHERE seq = ?1")?;
    Ok(())
}

fn name_attempts(
    batch: &Batch<'_>,
    seq: i64,
    erasure: &mut Erasure,
    sent: &mut Sent,
) -> Result<(), Fault> {
    let mut statement = batch.conn.prepare_cached(
        "SELECT n.text, count(*), min(a.at), max(a.at) FROM attempt AS a
         JOIN delivery AS d ON d.event_seq = a.event_seq AND d.number = a.number
         JOIN name AS n ON n.id = d.destination WHERE a.event_seq = ?1 GROUP BY n.text",
    )?;
    let mut found = statement.query([seq])?;
    while let Some(row) = found.next()? {
        let destination: Name = row.get(0)?;
        let attempts = u64::from(row.get::<_, u32>(1)?);
        let (first, last): (i64, i64) = (row.get(2)?, row.get(3)?);
        erasure.attempts += attempts;
        let between = (rows::time(first)?, rows::time(last)?);
        sent.attempts(destination, attempts, between);
    }
    Ok(())
}

fn name_receipts(batch: &Batch<'_>, subject: i64, sent: &mut Sent) -> Result<(), Fault> {
    let mut statement = batch.conn.prepare_cached(
        "SELECT n.text, r.value FROM receipt AS r JOIN name AS n ON n.id = r.destination
         WHERE r.subject = ?1 AND r.value IS NOT NULL",
    )?;
    let mut found = statement.query([subject])?;
    while let Some(row) = found.next()? {
        sent.receipt(&row.get(0)?, row.get(1)?);
    }
    Ok(())
}
