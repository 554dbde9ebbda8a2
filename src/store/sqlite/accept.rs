//! Accepting an event: one plan becomes rows, if it was made against the latest revision.

use rusqlite::params;

use super::batch::Batch;
use super::fan_out::{self, Place};
use super::fault::Fault;
use super::rows;
use super::senders;
use super::subjects::{self, Known};
use crate::store::plan::MOST_DELIVERIES;
use crate::store::{AcceptOutcome, AcceptPlan, Accepted};

/// Writes all that follows from an event, or nothing where the plan is stale.
pub(super) fn accept(batch: &mut Batch<'_>, plan: &AcceptPlan) -> Result<AcceptOutcome, Fault> {
    if plan.deliveries.len() > MOST_DELIVERIES {
        return Err(Fault::Unfit("an event has at most 32768 deliveries"));
    }
    let source = batch.name(&plan.event.source)?;
    let subject = match subject_of(batch, plan, source)? {
        Fit::Stale(known) => {
            return Ok(AcceptOutcome::Stale(subjects::head(batch, known)?));
        }
        Fit::Erased => return Ok(AcceptOutcome::Erased),
        Fit::None => None,
        Fit::Subject(subject) => Some(subject),
    };
    let kept = plan.kept.as_ref().map(|kept| batch.kept(kept));
    let kept = kept.transpose()?;
    let seq = batch.next_seq();
    if let Some(subject) = &subject {
        write_subject(batch, plan, source, subject, seq)?;
    }
    write_event(batch, plan, (source, kept), subject.as_ref(), seq)?;
    let id = subject.as_ref().map(|subject| subject.id);
    senders::note(batch, &plan.event, source, id)?;
    let place = Place {
        seq,
        event: plan.event.id,
        revision: plan.event.revision,
        created_at: plan.event.received_at.as_millisecond(),
        subject: id,
        first: subject
            .as_ref()
            .is_none_or(|subject| subject.before.is_none()),
    };
    let mut accepted = Accepted {
        placed: Vec::with_capacity(plan.deliveries.len()),
        superseded: Vec::new(),
        subject: place.subject.map(rows::subject_number).transpose()?,
    };
    fan_out::write(batch, &place, (0..).zip(&plan.deliveries), &mut accepted)?;
    Ok(AcceptOutcome::Accepted(accepted))
}

/// Whether a plan fits the latest revision of its subject.
enum Fit {
    None,
    Subject(Subject),
    Stale(Known),
    Erased,
}

struct Subject {
    id: i64,
    hash: i64,
    /// The revision before, if there is one.
    before: Option<Known>,
}

fn subject_of(batch: &mut Batch<'_>, plan: &AcceptPlan, source: i64) -> Result<Fit, Fault> {
    let Some(subject) = &plan.event.subject else {
        return Ok(Fit::None);
    };
    let key = &batch.identity().key;
    if batch.is_anybody_erased() {
        let digest = key.digest(&plan.event.source, subject.as_str());
        if subjects::is_erased(batch.conn, &digest)? {
            return Ok(Fit::Erased);
        }
    }
    let hash = subjects::hash(key, &plan.event.source, subject.as_str());
    let before = subjects::find(batch.conn, hash, source, subject.as_str())?;
    let latest = before.map_or(0, |known| known.revision);
    if latest.checked_add(1) == Some(plan.event.revision) {
        let id = before.map_or_else(|| batch.next_subject(), |known| known.id);
        return Ok(Fit::Subject(Subject { id, hash, before }));
    }
    before.map(Fit::Stale).ok_or(Fault::Unfit(
        "the revision that the event was compared with is gone; it must be compared again",
    ))
}

fn write_subject(
    batch: &Batch<'_>,
    plan: &AcceptPlan,
    source: i64,
    subject: &Subject,
    seq: i64,
) -> Result<(), Fault> {
    let fields = plan.fields.to_bytes();
    let revision = plan.event.revision;
    if subject.before.is_some() {
        batch
            .conn
            .prepare_cached(
                "UPDATE subject SET revision = ?2, latest_seq = ?3, fields = ?4 WHERE id = ?1",
            )?
            .execute(params![subject.id, revision, seq, fields])?;
    } else {
        let text = plan
            .event
            .subject
            .as_ref()
            .map(crate::model::Subject::as_str);
        batch
            .conn
            .prepare_cached(
                "INSERT INTO subject (id, hash, source, subject, revision, latest_seq, fields)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                subject.id,
                subject.hash,
                source,
                text,
                revision,
                seq,
                fields
            ])?;
    }
    if let Some(candidate) = &plan.event.candidate {
        batch
            .conn
            .prepare_cached("INSERT OR IGNORE INTO candidate (candidate, subject) VALUES (?1, ?2)")?
            .execute(params![candidate, subject.id])?;
    }
    Ok(())
}

fn write_event(
    batch: &Batch<'_>,
    plan: &AcceptPlan,
    (source, kept): (i64, Option<i64>),
    subject: Option<&Subject>,
    seq: i64,
) -> Result<(), Fault> {
    let event = &plan.event;
    batch
        .conn
        .prepare_cached(
            "INSERT INTO event (seq, id, source, type, subject, revision, prev_seq, changed,
                                candidate, received_at, route_errors, trace, kept)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?
        .execute(params![
            seq,
            event.id.as_bytes(),
            source,
            event.event_type.as_str(),
            subject.map(|subject| subject.id),
            event.revision,
            subject
                .and_then(|subject| subject.before)
                .map(|known| known.latest_seq),
            rows::list_text(&event.changed),
            event.candidate,
            event.received_at.as_millisecond(),
            rows::list_text(&event.route_errors),
            plan.trace.map(crate::model::TraceParent::to_bytes),
            kept,
        ])?;
    write_payload(batch, plan, seq)
}

fn write_payload(batch: &Batch<'_>, plan: &AcceptPlan, seq: i64) -> Result<(), Fault> {
    let seals = &batch.identity().seals;
    let (body, by) = seals.written(plan.event.id, &plan.payload);
    batch
        .conn
        .prepare_cached("INSERT INTO payload (seq, body, sealed_by) VALUES (?1, ?2, ?3)")?
        .execute(params![seq, &*body, by])?;
    Ok(())
}
