//! What operators do to deliveries: put back to waiting, or ended; each alone or as part of a job.

use async_trait::async_trait;
use tokio_postgres::Row;

use super::change::{Change, Tx};
use super::fault::Fault;
use super::rows::{self, get};
use super::{create, jobs};
use crate::model::{DeliveryId, JobState, Name, Refusal, State};
use crate::store::plan::MOST_DELIVERIES;
use crate::store::{Act, Acted, Acts, Done, Replay, Turn, What};

#[async_trait]
impl Change for Act {
    type Answer = Acts;

    /// Does it, and goes on with the job that it is part of.
    async fn run(&self, tx: &Tx<'_>) -> Result<Acts, Fault> {
        let job = match &self.turn {
            Some(turn) => jobs::find(tx, turn.job).await?,
            None => None,
        };
        if self.turn.is_some() && !Turn::runs(job.as_ref()) {
            return Ok(Acts::over());
        }
        let mut acts = Acts::default();
        act(tx, self, &mut acts).await?;
        if let (Some(mut job), Some(turn)) = (job, &self.turn) {
            let creates = matches!(self.what, What::Create { .. });
            job.go_on(turn, (&acts.all, creates), self.now);
            acts.over = job.state != JobState::Running;
            jobs::save(tx, &job).await?;
        }
        Ok(acts)
    }
}

async fn act(tx: &Tx<'_>, act: &Act, acts: &mut Acts) -> Result<(), Fault> {
    match &act.what {
        What::Replay { deliveries, how } => {
            for id in deliveries {
                acts.all.push(replay(tx, *id, (act, how)).await?);
            }
        }
        What::Discard {
            deliveries,
            sending,
            reason,
        } => {
            for id in deliveries {
                let sending = sending.contains(id);
                acts.all
                    .push(discard(tx, *id, act, (sending, reason)).await?);
            }
        }
        What::Create { events, latest } => {
            for planned in events {
                create::create(tx, planned, (act, latest), acts).await?;
            }
        }
    }
    Ok(())
}

/// A delivery's row, and what speaks against sending it.
struct Facts {
    seq: i64,
    number: i32,
    destination: Name,
    state: State,
    unsendable: Option<Refusal>,
    late: Late,
}

/// What makes a delivery too late: the newest revision that its destination took, and the newest that it has one for.
pub(super) struct Late {
    sent: Option<u32>,
    newer: Option<u32>,
}

/// First the subject, then the delivery: as acceptance does, so that neither waits for the other.
pub(super) const LOCK: &str =
    "SELECT 1 FROM subject WHERE id = (SELECT subject FROM event WHERE id = $1) FOR UPDATE";

const FACTS: &str = "SELECT d.event_seq, d.number, n.text, d.state, \
         EXISTS (SELECT 1 FROM erased WHERE erased.subject = d.subject), \
         EXISTS (SELECT 1 FROM payload WHERE payload.seq = d.event_seq), \
         (SELECT revision FROM receipt AS r WHERE r.subject = d.subject AND r.destination = d.destination \
              AND r.revision > e.revision), \
         newer_1(d.subject, d.event_seq, d.destination) \
     FROM event AS e JOIN delivery AS d ON d.event_seq = e.seq AND d.number = $2 \
     LEFT JOIN name AS n ON n.id = d.destination WHERE e.id = $1 FOR UPDATE OF d";

impl Facts {
    async fn find(tx: &Tx<'_>, id: DeliveryId) -> Result<Option<Self>, Fault> {
        let event = id.event.as_bytes().as_slice();
        tx.rows(LOCK, &[&event]).await?;
        let found = tx.rows(FACTS, &[&event, &i32::from(id.number)]).await?;
        let Some(row) = found.first() else {
            return Ok(None);
        };
        Ok(Some(Self {
            seq: get(row, 0)?,
            number: get(row, 1)?,
            destination: rows::name(row, 2)?,
            state: rows::state(get(row, 3)?)?,
            unsendable: unsendable(get(row, 4)?, get(row, 5)?),
            late: Late::read(row, 6)?,
        }))
    }
}

/// What speaks against sending anything of an event: it was erased, or its payload is gone.
pub(super) fn unsendable(erased: bool, kept: bool) -> Option<Refusal> {
    if erased {
        return Some(Refusal::Erased);
    }
    (!kept).then_some(Refusal::NoPayload)
}

impl Late {
    pub(super) fn read(row: &Row, at: usize) -> Result<Self, Fault> {
        let sent = get::<Option<i32>>(row, at)?.map(rows::narrow);
        let newer = get::<Option<i32>>(row, at + 1)?.map(rows::narrow);
        Ok(Self {
            sent: sent.transpose()?,
            newer: newer.transpose()?,
        })
    }

    /// No later revision has a delivery there.
    pub(super) const fn is_newest(&self) -> bool {
        self.newer.is_none()
    }

    /// Whether a newer revision makes it too late: it was sent, or the destination wants it alone.
    pub(super) fn refusal(&self, latest: bool) -> Option<Refusal> {
        if let Some(sent) = self.sent {
            return Some(Refusal::Older { sent });
        }
        let latest = self.newer.filter(|_| latest)?;
        Some(Refusal::NotLatest { latest })
    }
}

/// Puts a final delivery back to waiting where nothing speaks against it. Its attempts stay on record.
async fn replay(tx: &Tx<'_>, id: DeliveryId, (act, how): (&Act, &Replay)) -> Result<Acted, Fault> {
    let Some(facts) = Facts::find(tx, id).await? else {
        return Ok(Acted::unknown(id));
    };
    let outcome = refusal(&facts, id, how).map_or(Ok(Done::Waiting), Err);
    if outcome.is_ok() && !act.dry_run {
        let first = i32::try_from(MOST_DELIVERIES).expect("it is small");
        tx.execute(
            "SELECT replay_1($1, $2, $3, $4, $5, $6)",
            &[
                &facts.seq,
                &facts.number,
                &act.now.as_millisecond(),
                &how.new_id,
                &first,
                &i32::from(u16::MAX),
            ],
        )
        .await?;
    }
    Ok(Acted {
        id,
        destination: Some(facts.destination),
        outcome,
    })
}

/// What speaks against a replay.
fn refusal(facts: &Facts, id: DeliveryId, how: &Replay) -> Option<Refusal> {
    if !facts.state.is_final() {
        return Some(Refusal::Waiting);
    }
    if how.sending.contains(&id) {
        return Some(Refusal::Sending);
    }
    if facts.unsendable.is_some() || how.force {
        return facts.unsendable;
    }
    facts.late.refusal(how.latest.contains(&facts.destination))
}

/// Ends a delivery that waits.
async fn discard(
    tx: &Tx<'_>,
    id: DeliveryId,
    act: &Act,
    (sending, reason): (bool, &str),
) -> Result<Acted, Fault> {
    let Some(facts) = Facts::find(tx, id).await? else {
        return Ok(Acted::unknown(id));
    };
    let outcome = if facts.state.is_final() {
        Err(Refusal::Ended(facts.state))
    } else if sending {
        Err(Refusal::Sending)
    } else {
        Ok(Done::Ended(State::Discarded))
    };
    if outcome.is_ok() && !act.dry_run {
        end(tx, (facts.seq, facts.number), reason).await?;
    }
    Ok(Acted {
        id,
        destination: Some(facts.destination),
        outcome,
    })
}

/// Discards a delivery that was not under way.
pub(super) async fn end(tx: &Tx<'_>, (seq, number): (i64, i32), reason: &str) -> Result<(), Fault> {
    let params: [&(dyn tokio_postgres::types::ToSql + Sync); 4] = [
        &seq,
        &number,
        &rows::code(State::Discarded),
        &rows::words(reason),
    ];
    tx.execute("SELECT end_1($1, $2, $3, $4)", &params).await?;
    Ok(())
}
