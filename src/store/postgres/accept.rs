//! Accepting an event: one plan becomes one statement, and its answer says whether the plan fitted.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::Shared;
use super::fault::Fault;
use super::pool::Pools;
use super::rows::{self, get};
use super::writer::{Call, Param};
use crate::model::{Name, Stage, TraceParent};
use crate::store::plan::MOST_DELIVERIES;
use crate::store::{
    AcceptOutcome, AcceptPlan, Accepted, Head, NewDelivery, Placed, Skipped, StoreError,
    Unconfirmed,
};

const ACCEPT: &str = "SELECT * FROM accept_1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, \
     $17, $18, $19, $20, $21, $22, $23)";

/// Writes all that follows from an event, or nothing where the plan is stale.
pub(super) async fn accept(
    shared: &Shared,
    plan: &AcceptPlan,
) -> Result<AcceptOutcome, StoreError> {
    let call = call(shared, plan).await?;
    let answer = shared.writer.call(call).await?;
    let row = answer.first().ok_or(Fault::Unfit("there was no answer"))?;
    Ok(match get::<i16>(row, 0)? {
        0 => AcceptOutcome::Accepted(accepted(shared, plan, row).await?),
        1 => AcceptOutcome::Stale(head(shared, row).await?),
        2 => AcceptOutcome::Erased,
        _ => Err(Fault::Unfit(
            "the revision that the event was compared with is gone; it must be compared again",
        ))?,
    })
}

async fn call(shared: &Shared, plan: &AcceptPlan) -> Result<Call, Fault> {
    if plan.deliveries.len() > MOST_DELIVERIES {
        return Err(Fault::Unfit("an event has at most 32768 deliveries"));
    }
    let event = &plan.event;
    let subject = event.subject.as_ref().map(crate::model::Subject::as_str);
    let key = &shared.identity.key;
    let digest = subject.map(|subject| key.digest(&event.source, subject));
    let kept = match &plan.kept {
        Some(kept) => Some(shared.pools.kept(kept).await?),
        None => None,
    };
    let stage: i16 = match event.event_type.stage() {
        Stage::Collected => 1,
        Stage::Ended => 2,
        Stage::Unsaid => 0,
    };
    let (body, by) = shared.identity.seals.written(event.id, &plan.payload);
    let bytes = |text: &str| text.as_bytes().to_vec();
    let mut call = Call {
        sql: ACCEPT,
        params: vec![
            Box::new(digest.map(Vec::from)),
            Box::new(subject.map(bytes)),
            Box::new(shared.pools.name(&event.source).await?),
            Box::new(event.id.as_bytes().to_vec()),
            Box::new(bytes(event.event_type.as_str())),
            Box::new(rows::wide(event.revision)?),
            Box::new(rows::list_text(&event.changed)),
            Box::new(event.candidate.as_deref().map(bytes)),
            Box::new(event.received_at.as_millisecond()),
            Box::new(rows::list_text(&event.route_errors)),
            Box::new(plan.trace.map(TraceParent::to_bytes).map(Vec::from)),
            Box::new(kept),
            Box::new(stage),
            Box::new(plan.fields.to_bytes()),
            Box::new(body.into_owned()),
            Box::new(by),
        ],
        // Every relay goes through subjects in this order.
        order: (0, digest.map_or(0, |digest| leading(&digest))),
    };
    let columns = Columns::of(&shared.pools, &plan.deliveries).await?;
    call.params.extend(columns.into_params());
    Ok(call)
}

fn leading(bytes: &[u8]) -> u64 {
    bytes
        .first_chunk()
        .map_or(0, |chunk| u64::from_be_bytes(*chunk))
}

/// Deliveries, a column each.
#[derive(Default)]
pub(super) struct Columns {
    destinations: Vec<i32>,
    routes: Vec<i32>,
    skipped: Vec<Option<String>>,
    due: Vec<i64>,
    settle: Vec<Option<i64>>,
    supersedes: Vec<bool>,
    takes_up: Vec<bool>,
}

impl Columns {
    pub(super) async fn of(pools: &Pools, all: &[NewDelivery]) -> Result<Self, Fault> {
        let mut columns = Self::default();
        for one in all {
            let destination = pools.name(&one.destination).await?;
            columns.destinations.push(destination);
            columns.routes.push(pools.name(&one.route).await?);
            columns
                .skipped
                .push(one.skipped.as_deref().map(rows::words));
            columns.due.push(one.due_at.as_millisecond());
            columns.settle.push(rows::millis_of(one.settle_by));
            columns.supersedes.push(one.supersedes);
            columns.takes_up.push(one.takes_up);
        }
        Ok(columns)
    }

    fn into_params(self) -> [Param; 7] {
        [
            Box::new(self.destinations),
            Box::new(self.routes),
            Box::new(self.skipped),
            Box::new(self.due),
            Box::new(self.settle),
            Box::new(self.supersedes),
            Box::new(self.takes_up),
        ]
    }

    pub(super) fn params(&self) -> [&(dyn ToSql + Sync); 7] {
        [
            &self.destinations,
            &self.routes,
            &self.skipped,
            &self.due,
            &self.settle,
            &self.supersedes,
            &self.takes_up,
        ]
    }
}

async fn accepted(shared: &Shared, plan: &AcceptPlan, row: &Row) -> Result<Accepted, Fault> {
    let subject: Option<i64> = get(row, 1)?;
    let ready: Vec<bool> = get(row, 2)?;
    let placed = (0..).zip(ready).map(|(number, ready)| Placed {
        id: plan.event.id.delivery(number),
        ready,
    });
    Ok(Accepted {
        placed: placed.collect(),
        superseded: superseded(&shared.pools, row, 3).await?,
        subject: subject.map(rows::subject_number).transpose()?,
    })
}

/// Reads events, numbers and destinations of what was superseded, from a position on.
pub(super) async fn superseded(
    pools: &Pools,
    row: &Row,
    at: usize,
) -> Result<Vec<(Name, crate::model::DeliveryId)>, Fault> {
    let ids: Vec<&[u8]> = get(row, at)?;
    let numbers: Vec<i32> = get(row, at + 1)?;
    let destinations: Vec<i32> = get(row, at + 2)?;
    let mut all = Vec::with_capacity(ids.len());
    for ((id, number), destination) in ids.into_iter().zip(numbers).zip(destinations) {
        let id = rows::id_of(id)?.delivery(rows::narrow(number)?);
        all.push((pools.name_of(destination).await?, id));
    }
    Ok(all)
}

/// The latest revision of a subject, for whoever must plan again.
async fn head(shared: &Shared, row: &Row) -> Result<Head, Fault> {
    let event = rows::event_id(row, 6)?;
    let kept = rows::stored(row, 9)?;
    let seals = &shared.identity.seals;
    let mut unconfirmed = Vec::new();
    let ids: Option<Vec<&[u8]>> = get(row, 11)?;
    let revisions: Option<Vec<i32>> = get(row, 12)?;
    let fields: Option<Vec<&[u8]>> = get(row, 13)?;
    let lost = ids.unwrap_or_default().into_iter();
    let lost = lost.zip(revisions.unwrap_or_default());
    for ((id, revision), fields) in lost.zip(fields.unwrap_or_default()) {
        unconfirmed.push(Unconfirmed {
            event: rows::id_of(id)?,
            revision: rows::narrow(revision)?,
            fields: rows::fields(fields)?,
        });
    }
    let mut skipped = Vec::new();
    let destinations: Option<Vec<i32>> = get(row, 14)?;
    let routes: Option<Vec<i32>> = get(row, 15)?;
    let pairs = destinations.unwrap_or_default().into_iter();
    for (destination, route) in pairs.zip(routes.unwrap_or_default()) {
        skipped.push(Skipped {
            destination: shared.pools.name_of(destination).await?,
            route: shared.pools.name_of(route).await?,
        });
    }
    Ok(Head {
        event,
        revision: rows::narrow(get::<i32>(row, 7)?)?,
        fields: rows::fields(get(row, 8)?)?,
        payload: kept.and_then(|kept| kept.open_or_gone(seals, event)),
        unconfirmed,
        skipped,
    })
}
