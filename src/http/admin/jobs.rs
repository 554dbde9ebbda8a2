//! What operators have done to deliveries, over the API: to one at once, to many as a job.

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::query::{Body, ReplayBody, bad, fields, names};
use super::{Admin, Answer, conflict, json as answer, views};
use crate::http::problem::AdminProblem;
use crate::model::{DeliveryId, JobId, JobState, Page, Refusal, State};
use crate::store::{Acted, DeliveryFilter, EventFilter, Job, Progress, Task};
use crate::upkeep::Asked;

/// Which deliveries are sent again, and how.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReplayManyBody {
    /// Those for which everything given holds. `state` must be given, and be final
    #[schemars(schema_with = "final_ones")]
    filter: DeliveryFilter,
    /// Count, and change nothing
    #[serde(default)]
    dry_run: bool,
    /// Also where the destination already got a newer revision
    #[serde(default)]
    force: bool,
    /// Under another webhook-id, so that a receiver that knows the old one takes it again
    #[serde(default)]
    new_id: bool,
}

/// Which deliveries are ended that wait.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DiscardManyBody {
    /// Those for which everything given holds. Something besides `state` must be given
    #[schemars(schema_with = "waiting_ones")]
    filter: DeliveryFilter,
    /// Count, and change nothing
    #[serde(default)]
    dry_run: bool,
}

/// Which events get the deliveries that today's rules ask for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RerouteBody {
    /// Those for which everything given holds. Something must be given
    #[schemars(schema_with = "some_events")]
    filter: EventFilter,
    /// Count, and change nothing
    #[serde(default)]
    dry_run: bool,
}

/// A job over many deliveries. Its filter names nobody any more once it is over.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Job")]
pub(super) struct JobView {
    id: JobId,
    task: Task,
    /// It only counts
    dry_run: bool,
    state: JobState,
    /// It goes on when less is waiting: senders come first
    waits_for_room: bool,
    created_at: Timestamp,
    ended_at: Option<Timestamp>,
    progress: Progress,
}

fn final_ones(types: &mut SchemaGenerator) -> Schema {
    let all = State::ALL.into_iter();
    let last: Vec<&str> = all
        .filter(|state| state.is_final())
        .map(State::as_str)
        .collect();
    let filter = types.subschema_for::<DeliveryFilter>();
    json_schema!({
        "allOf": [filter],
        "properties": { "state": { "enum": last } },
        "required": ["state"],
    })
}

fn waiting_ones(types: &mut SchemaGenerator) -> Schema {
    let filter = types.subschema_for::<DeliveryFilter>();
    let mut schema = some(&filter, &names::<DeliveryFilter>());
    schema.insert(
        "properties".to_owned(),
        json!({ "state": { "enum": [State::Waiting, null] } }),
    );
    schema
}

fn some_events(types: &mut SchemaGenerator) -> Schema {
    let filter = types.subschema_for::<EventFilter>();
    some(&filter, &names::<EventFilter>())
}

/// One of these fields must be there, and not be null.
fn some(filter: &Schema, fields: &[String]) -> Schema {
    let given = fields.iter().filter(|field| *field != "state");
    let given = given.map(|field| {
        let value = Map::from_iter([(field.clone(), json!({ "not": { "type": "null" } }))]);
        json!({ "required": [field], "properties": value })
    });
    let given: Vec<Value> = given.collect();
    json_schema!({ "allOf": [filter], "anyOf": given })
}

impl Body for ReplayManyBody {
    fn read(body: &[u8]) -> Result<Self, AdminProblem> {
        let read: Self = fields(body)?;
        match read.filter.state {
            Some(state) if state.is_final() => Ok(read),
            Some(state) => Err(bad(format!(
                "`filter.state`: what is {state} cannot be replayed."
            ))),
            None => Err(bad(
                "`filter.state`: say what is to be replayed, such as dead.".to_owned(),
            )),
        }
    }
}

impl Body for DiscardManyBody {
    fn read(body: &[u8]) -> Result<Self, AdminProblem> {
        let mut read: Self = fields(body)?;
        let state = read.filter.state.take();
        if let Some(state) = state.filter(|state| *state != State::Waiting) {
            return Err(bad(format!(
                "`filter.state`: only what is waiting is discarded, not what is {state}."
            )));
        }
        if read.filter == DeliveryFilter::default() {
            return Err(bad(
                "`filter`: say which of all that waits, such as a destination.".to_owned(),
            ));
        }
        read.filter.state = Some(State::Waiting);
        Ok(read)
    }
}

impl Body for RerouteBody {
    fn read(body: &[u8]) -> Result<Self, AdminProblem> {
        let read: Self = fields(body)?;
        if read.filter == EventFilter::default() {
            return Err(bad(
                "`filter`: say which of all events, such as `since`.".to_owned()
            ));
        }
        Ok(read)
    }
}

impl From<ReplayManyBody> for (Task, bool) {
    fn from(body: ReplayManyBody) -> Self {
        let ReplayManyBody {
            filter,
            dry_run,
            force,
            new_id,
        } = body;
        let task = Task::Replay {
            filter,
            force,
            new_id,
        };
        (task, dry_run)
    }
}

impl From<DiscardManyBody> for (Task, bool) {
    fn from(body: DiscardManyBody) -> Self {
        let task = Task::Discard {
            filter: body.filter,
        };
        (task, body.dry_run)
    }
}

impl From<RerouteBody> for (Task, bool) {
    fn from(body: RerouteBody) -> Self {
        let task = Task::Reroute {
            filter: body.filter,
        };
        (task, body.dry_run)
    }
}

impl Admin {
    pub(super) async fn replay(&self, id: DeliveryId, how: &ReplayBody) -> Answer {
        let asked = Asked {
            force: how.force,
            new_id: how.new_id,
        };
        let acted = self.jobs.replay(id, &asked).await?;
        changed(&acted, (State::Waiting, "replayed"))
    }

    pub(super) async fn discard(&self, id: DeliveryId) -> Answer {
        let acted = self.jobs.discard(id).await?;
        if let (Ok(_), Some(destination)) = (&acted.outcome, &acted.destination) {
            match self.became(id, destination).await? {
                Some(State::Discarded) => {}
                Some(state) => {
                    return Err(conflict(format!(
                        "It was being sent by another relay, and ended as {state}."
                    )));
                }
                None => {
                    return Err(conflict(
                        "It does not wait any more; another relay may be sending it right now: what comes of that is \
                         recorded."
                            .to_owned(),
                    ));
                }
            }
        }
        changed(&acted, (State::Discarded, "discarded"))
    }

    pub(super) async fn begin(&self, task: impl Into<(Task, bool)>) -> Answer {
        let (task, dry_run) = task.into();
        let job = self.jobs.begin(task, dry_run).await?;
        tracing::info!(job = %job.id, dry_run, "a job was begun by an operator");
        Ok(answer(&self.job_view(job)))
    }

    pub(super) async fn jobs(&self) -> Answer {
        let page = Page {
            items: self.store.jobs(true).await?,
            next: None,
        };
        Ok(answer(&views::page(page, |job| self.job_view(job))))
    }

    /// Those that are not over.
    pub(super) async fn running(&self) -> Result<Vec<JobView>, AdminProblem> {
        let running = self.store.jobs(false).await?.into_iter();
        Ok(running.map(|job| self.job_view(job)).collect())
    }

    pub(super) async fn job(&self, id: JobId) -> Answer {
        let mut jobs = self.store.jobs(true).await?.into_iter();
        let job = jobs.find(|job| job.id == id);
        let job = job.ok_or(AdminProblem::NotFound)?;
        Ok(answer(&self.job_view(job)))
    }

    pub(super) async fn cancel(&self, id: JobId) -> Answer {
        if !self.store.cancel_job(id, self.clock.now()).await? {
            return Err(AdminProblem::NotFound);
        }
        self.job(id).await
    }

    pub(super) fn job_view(&self, job: Job) -> JobView {
        JobView {
            waits_for_room: self.jobs.waits_for_room(&job),
            id: job.id,
            task: job.task,
            dry_run: job.dry_run,
            state: job.state,
            created_at: job.created_at,
            ended_at: job.ended_at,
            progress: job.progress,
        }
    }
}

/// What became of one delivery.
fn changed(acted: &Acted, (state, words): (State, &str)) -> Answer {
    let id = acted.id;
    let refusal = match acted.outcome {
        Ok(_) => {
            let destination = acted.destination.as_deref();
            tracing::info!(delivery = %id, destination, "delivery {words} by an operator");
            return Ok(answer(&views::ChangedView { id, state }));
        }
        Err(Refusal::Unknown) => return Err(AdminProblem::NotFound),
        Err(refusal) => refusal,
    };
    let hint = match refusal {
        Refusal::Older { .. } | Refusal::NotLatest { .. } => {
            " Send {\"force\": true} to deliver this one all the same."
        }
        _ => "",
    };
    let mut detail = refusal.to_string();
    if let Some(first) = detail.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    Err(conflict(format!("{detail}.{hint}")))
}
