//! Settling an attempt: what came of it is one statement, whatever happened to the delivery meanwhile.

use super::Shared;
use super::fault::Fault;
use super::rows::{self, get};
use super::writer::{Call, Param};
use crate::model::{EXCERPT_BYTES, EventId, FieldDigests};
use crate::store::plan::ATTEMPTS_KEPT;
use crate::store::{Outcome, Receipt, Settled, Settlement, StoreError};

const SETTLE: &str = "SELECT settle_1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";

/// Records a settlement.
pub(super) async fn settle(
    shared: &Shared,
    settlement: &Settlement,
) -> Result<Settled, StoreError> {
    let answer = shared.writer.call(call(settlement)).await?;
    let row = answer.first().ok_or(Fault::Unfit("there was no answer"))?;
    match get::<i16>(row, 0)? {
        -1 => Err(StoreError::Fenced),
        state => Ok(Settled {
            state: rows::state(state)?,
        }),
    }
}

fn call(settlement: &Settlement) -> Call {
    let id = settlement.delivery;
    let attempt = settlement.attempt.as_ref();
    let numbers = attempt.map(|attempt| {
        vec![
            Some(attempt.at.as_millisecond()),
            Some(rows::millis(attempt.duration)),
            attempt.status.map(i64::from),
            Some(rows::verdict_code(attempt.verdict).into()),
        ]
    });
    let said = attempt.map(|attempt| said_of(&attempt.reason));
    let excerpt = attempt.and_then(|attempt| attempt.excerpt.as_deref().map(said_of));
    let mut params: Vec<Param> = vec![
        Box::new(id.event.as_bytes().to_vec()),
        Box::new(i32::from(id.number)),
        Box::new(settlement.fence.0.cast_signed()),
        Box::new(numbers),
        Box::new(said),
        Box::new(excerpt),
        Box::new(settlement.gone.as_ref().map(receipt)),
    ];
    params.extend(outcome(&settlement.outcome));
    params.push(Box::new(ATTEMPTS_KEPT));
    Call {
        sql: SETTLE,
        params,
        order: (1, order(id.event)),
    }
}

/// Events are gone through by age.
fn order(event: EventId) -> u64 {
    let leading = event.as_bytes().first_chunk();
    leading.map_or(0, |chunk| u64::from_be_bytes(*chunk))
}

/// The outcome's code, reason, due time, budget, whether it is supersedable, and receipt.
fn outcome(outcome: &Outcome) -> Vec<Param> {
    let nothing = || -> (Option<i64>, Option<Vec<Option<i64>>>) { (None, None) };
    let (code, reason, (due, budget), supersedable, gave): (i16, _, _, _, _) = match outcome {
        Outcome::Delivered { receipt, warning } => {
            (0, warning.as_deref(), nothing(), false, receipt.as_ref())
        }
        Outcome::Waiting {
            due_at,
            reason,
            budget,
            supersedable,
        } => {
            let numbers = rows::budget_numbers(budget);
            let when = (Some(due_at.as_millisecond()), Some(numbers));
            (1, Some(reason.as_str()), when, *supersedable, None)
        }
        Outcome::Dead { reason, .. } => (2, Some(reason.as_str()), nothing(), false, None),
        Outcome::Skipped { reason } => (3, Some(reason.as_str()), nothing(), false, None),
    };
    vec![
        Box::new(code),
        Box::new(reason.map(said_of)),
        Box::new(due),
        Box::new(budget),
        Box::new(supersedable),
        Box::new(gave.map(receipt)),
    ]
}

/// What a receiver said, up to a limit.
fn said_of(text: &str) -> String {
    rows::words(rows::clip(text, EXCERPT_BYTES))
}

fn receipt(receipt: &Receipt) -> Vec<Vec<u8>> {
    [&receipt.value, &receipt.scope]
        .map(|text| text.as_bytes().to_vec())
        .into()
}

/// Marks an event as unconfirmed; one without a subject is never compared with anything.
pub(super) async fn mark(
    shared: &Shared,
    event: EventId,
    fields: &FieldDigests,
) -> Result<(), StoreError> {
    let call = Call {
        sql: "INSERT INTO unconfirmed (subject, event_seq, fields)
              SELECT subject, seq, $2 FROM event WHERE id = $1 AND subject IS NOT NULL
              ON CONFLICT (subject, event_seq) DO UPDATE SET fields = excluded.fields",
        params: vec![
            Box::new(event.as_bytes().to_vec()),
            Box::new(fields.to_bytes()),
        ],
        order: (2, order(event)),
    };
    shared.writer.call(call).await.map(drop)
}

/// Takes the mark away; true for the one that found it.
pub(super) async fn take(shared: &Shared, event: EventId) -> Result<bool, StoreError> {
    let call = Call {
        sql: "DELETE FROM unconfirmed WHERE (subject, event_seq) =
                  (SELECT subject, seq FROM event WHERE id = $1) RETURNING 1",
        params: vec![Box::new(event.as_bytes().to_vec())],
        order: (2, order(event)),
    };
    Ok(!shared.writer.call(call).await?.is_empty())
}

/// Writes something, so that the commit has to reach the disk.
pub(super) async fn probe(shared: &Shared) -> Result<(), StoreError> {
    let call = Call {
        sql: "UPDATE meta SET number = number + 1 WHERE key = 'probe'",
        params: Vec::new(),
        order: (3, 0),
    };
    shared.writer.call(call).await.map(drop)
}
