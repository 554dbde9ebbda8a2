//! What an operator asks to be done to deliveries, to one or to many: the asking, the job that remembers
//! how far it is, and what became of each.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::codes::Damaged;
use super::{DeliveryFilter, EventFilter, NewDelivery};
use crate::model::{Cursor, DeliveryId, EventId, JobId, JobState, Name, Refusal, RefusalCode};

/// Jobs that are over and still shown.
pub(super) const KEPT: u32 = 100;

/// Deliveries that a job names as left out; of more it only says how many.
pub const REFUSALS_KEPT: usize = 100;

/// What takes the place of a text in a job that names somebody, once the job is over.
pub const NOT_KEPT: &str = "(no longer kept)";

/// What is to be done to many deliveries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Task {
    /// Sends final deliveries again.
    Replay {
        filter: DeliveryFilter,
        /// Also where the destination already got a newer revision.
        #[serde(default)]
        force: bool,
        /// Under another `webhook-id`.
        #[serde(default)]
        new_id: bool,
    },
    /// Ends waiting deliveries.
    Discard { filter: DeliveryFilter },
    /// Creates the deliveries of kept events that today's rules ask for and that are not there.
    Reroute { filter: EventFilter },
}

/// A job as the store keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    pub id: JobId,
    pub task: Task,
    /// Nothing is changed: what would be done is counted.
    pub dry_run: bool,
    pub state: JobState,
    pub created_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    /// What was looked at last.
    pub place: Option<Cursor>,
    pub progress: Progress,
}

/// What a job did so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Progress {
    /// Deliveries (for a reroute: events) that the filter let through
    pub looked_at: u64,
    /// Deliveries that were replayed, discarded or created; of a dry run, that would be
    pub done: u64,
    /// The same for each destination
    pub destinations: BTreeMap<Name, u64>,
    /// How many were left out, by reason
    pub left_out: BTreeMap<RefusalCode, u64>,
    /// The first hundred that were left out
    pub refusals: Vec<Refused>,
    /// When the one was created that was looked at last: a job goes from the oldest to the newest
    pub reached: Option<Timestamp>,
}

/// A delivery that a job left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refused {
    pub event_id: EventId,
    /// Absent where a delivery was to be created
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery_id: Option<DeliveryId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<Name>,
    pub reason: RefusalCode,
    pub detail: String,
}

/// Something to be done in one transaction.
#[derive(Clone, Debug)]
pub struct Act {
    pub what: What,
    pub now: Timestamp,
    /// Nothing is changed but the job.
    pub dry_run: bool,
    /// The part of a job that this is: it goes on from here in the same transaction.
    pub turn: Option<Turn>,
}

/// To which deliveries what is to be done.
#[derive(Clone, Debug)]
pub enum What {
    Replay {
        deliveries: Vec<DeliveryId>,
        how: Replay,
    },
    Discard {
        deliveries: Vec<DeliveryId>,
        /// Under way: not to be touched.
        sending: HashSet<DeliveryId>,
        reason: String,
    },
    Create {
        events: Vec<Planned>,
        latest: Arc<HashSet<Name>>,
    },
}

/// How final deliveries are put back to waiting.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    /// Also where the destination already got a newer revision, or wants another one alone.
    pub force: bool,
    /// Under another `webhook-id`.
    pub new_id: bool,
    /// Destinations that want the latest revision alone.
    pub latest: Arc<HashSet<Name>>,
    /// Under way, although they ended: not to be touched.
    pub sending: HashSet<DeliveryId>,
}

/// What an event is to get besides what it has; or why it gets nothing.
#[derive(Clone, Debug)]
pub struct Planned {
    pub event: EventId,
    pub deliveries: Result<Vec<NewDelivery>, Refusal>,
}

/// One part of a job.
#[derive(Clone, Debug)]
pub struct Turn {
    pub job: JobId,
    /// Deliveries or events that are looked at in it.
    pub looked_at: u64,
    /// Where the next part begins; None where this is the last one.
    pub next: Option<Cursor>,
    /// When the last of them was created.
    pub reached: Option<Timestamp>,
}

/// What became of it.
#[derive(Clone, Debug, Default)]
pub struct Acts {
    pub all: Vec<Acted>,
    /// Deliveries whose place was taken by those that were created.
    pub superseded: Vec<(Name, DeliveryId)>,
    /// The job is over, also where it was ended meanwhile: then nothing was done.
    pub over: bool,
}

/// What became of one delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acted {
    pub id: DeliveryId,
    pub destination: Option<Name>,
    pub outcome: Result<Done, Refusal>,
}

/// What was done to a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// It waits.
    Waiting,
    /// It ended, or was created as one that cannot be sent.
    Ended(crate::model::State),
}

impl Task {
    /// Takes out what may name somebody: only a job that runs needs it.
    pub fn without_names(&mut self) {
        let texts = match self {
            Self::Replay { filter, .. } | Self::Discard { filter } => [
                &mut filter.subject,
                &mut filter.candidate,
                &mut filter.error,
            ],
            Self::Reroute { filter } => {
                for text in [&mut filter.subject, &mut filter.candidate] {
                    *text = text.take().map(|_| NOT_KEPT.to_owned());
                }
                return;
            }
        };
        for text in texts {
            *text = text.take().map(|_| NOT_KEPT.to_owned());
        }
    }

    /// Whether it names one of these.
    pub(super) fn is_about(&self, named: &[String]) -> bool {
        self.names().any(|text| named.iter().any(|one| one == text))
    }

    /// The subject or candidate that it is about, where it is about one.
    fn names(&self) -> impl Iterator<Item = &str> {
        let (subject, candidate) = match self {
            Self::Replay { filter, .. } | Self::Discard { filter } => {
                (&filter.subject, &filter.candidate)
            }
            Self::Reroute { filter } => (&filter.subject, &filter.candidate),
        };
        [subject, candidate]
            .into_iter()
            .flatten()
            .map(String::as_str)
    }
}

impl Acted {
    pub(super) fn unknown(id: DeliveryId) -> Self {
        Self::refused(id, Refusal::Unknown)
    }

    pub(super) const fn refused(id: DeliveryId, refusal: Refusal) -> Self {
        Self {
            id,
            destination: None,
            outcome: Err(refusal),
        }
    }

    /// As what was planned; a later look may refuse it.
    pub(super) fn created(id: DeliveryId, delivery: &NewDelivery) -> Self {
        let outcome = if delivery.skipped.is_some() {
            Done::Ended(crate::model::State::Skipped)
        } else {
            Done::Waiting
        };
        Self {
            id,
            destination: Some(delivery.destination.clone()),
            outcome: Ok(outcome),
        }
    }
}

impl Acts {
    /// Of a job that was over: nothing was done.
    pub(super) fn over() -> Self {
        Self {
            over: true,
            ..Self::default()
        }
    }

    /// What an event is to get; None where nothing, which is noted. `unsendable` says that nothing of it may be sent.
    pub(super) fn wanted<'a>(
        &mut self,
        planned: &'a Planned,
        unsendable: Option<Refusal>,
    ) -> Option<&'a [NewDelivery]> {
        let wanted = match unsendable {
            Some(refusal) => Err(refusal),
            None => planned.deliveries.as_deref().map_err(|refusal| *refusal),
        };
        let refused = |refusal| Acted::refused(planned.event.delivery(0), refusal);
        wanted
            .map_err(|refusal| self.all.push(refused(refusal)))
            .ok()
    }
}

impl Turn {
    /// Whether its job is still to be gone on with.
    pub(super) fn runs(job: Option<&Job>) -> bool {
        job.is_some_and(|job| job.state == JobState::Running)
    }
}

impl Job {
    /// It is over, and keeps nobody's name.
    pub(super) fn end(&mut self, state: JobState, now: Timestamp) {
        self.state = state;
        self.ended_at = Some(now);
        self.task.without_names();
    }

    /// It did a part.
    pub(super) fn go_on(
        &mut self,
        turn: &Turn,
        (acted, creates): (&[Acted], bool),
        now: Timestamp,
    ) {
        self.progress.count(turn, acted, creates);
        self.place = turn.next;
        if turn.next.is_none() {
            self.end(JobState::Done, now);
        }
    }
}

/// A task or progress as it stands in a row.
pub(super) fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("names, words and numbers are always JSON")
}

pub(super) fn read<T: DeserializeOwned>(text: &str) -> Result<T, Damaged> {
    serde_json::from_str(text).map_err(|_| Damaged("a job is damaged"))
}

pub(super) fn number(id: i64) -> Result<JobId, Damaged> {
    let id = u32::try_from(id).map_err(|_| Damaged("a job's number is out of range"))?;
    Ok(JobId(id))
}

pub(super) const fn code(state: JobState) -> u8 {
    match state {
        JobState::Running => 0,
        JobState::Done => 1,
        JobState::Cancelled => 2,
    }
}

pub(super) fn state(found: u8) -> Result<JobState, Damaged> {
    let mut all = JobState::ALL.into_iter();
    all.find(|state| code(*state) == found)
        .ok_or(Damaged("a job is in no known state"))
}

impl Progress {
    /// Counts what became of a part.
    pub fn count(&mut self, turn: &Turn, acts: &[Acted], creates: bool) {
        self.looked_at += turn.looked_at;
        self.reached = turn.reached.or(self.reached);
        for acted in acts {
            match acted.outcome {
                Ok(_) => {
                    self.done += 1;
                    if let Some(name) = &acted.destination {
                        *self.destinations.entry(name.clone()).or_default() += 1;
                    }
                }
                Err(refusal) => self.refuse(acted, refusal, creates),
            }
        }
    }

    fn refuse(&mut self, acted: &Acted, refusal: Refusal, creates: bool) {
        *self.left_out.entry(refusal.code()).or_default() += 1;
        if self.refusals.len() < REFUSALS_KEPT {
            self.refusals.push(Refused {
                event_id: acted.id.event,
                delivery_id: (!creates).then_some(acted.id),
                destination: acted.destination.clone(),
                reason: refusal.code(),
                detail: refusal.to_string(),
            });
        }
    }
}
