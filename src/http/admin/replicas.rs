//! Several relays on one store: who they are, who has which lane, and what is asked here of a lane that is elsewhere.

use std::time::Duration;

use http::StatusCode;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Admin, AdminProblem, Answer, json, views};
use crate::model::Limit;
use crate::model::{DeliveryId, LaneState, Name, State};
use crate::store::{Commons, DeliveryFilter, LaneRecord, Owned, Roll, StoreError, Told, UPKEEP};

/// How long a wish may take that another relay is to obey, before it is answered that it is on its way.
const PATIENCE: Duration = Duration::from_secs(3);
/// Between two looks whether it was.
const LOOK: Duration = Duration::from_millis(100);

/// A relay that shares the store.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Replica")]
pub(super) struct ReplicaView {
    /// Its machine and process
    name: String,
    /// It is the one that was asked
    this: bool,
    /// One that is not has no lane any more
    alive: bool,
    since: Timestamp,
    /// How long ago it last renewed its leases, in milliseconds
    age_ms: u64,
    /// Destinations whose lane it has
    lanes: usize,
    /// It does what is done once for all: retention, jobs, the health of senders
    upkeep: bool,
}

/// Every relay that was seen lately.
pub(super) fn replicas(roll: &Roll) -> Vec<ReplicaView> {
    let view = |seen: &crate::store::Seen| {
        let owns = |owned: &&Owned| owned.owner == Some(seen.id);
        let upkeep = |owned: &Owned| *owned.lane.destination == *UPKEEP;
        let own = || roll.lanes.iter().filter(owns);
        ReplicaView {
            name: seen.name.clone(),
            this: seen.id == roll.own,
            alive: seen.alive,
            since: seen.since,
            age_ms: u64::try_from(seen.age.as_millis()).unwrap_or(u64::MAX),
            lanes: own().filter(|owned| !upkeep(owned)).count(),
            upkeep: own().any(upkeep),
        }
    };
    roll.replicas.iter().map(view).collect()
}

/// The relay that has a lane.
pub(super) fn owner(roll: &Roll, name: &Name) -> Option<String> {
    let owner = lane(roll, name)?.owner?;
    let owner = roll.replicas.iter().find(|seen| seen.id == owner)?;
    Some(owner.name.clone())
}

/// How a lane stands that is elsewhere.
pub(super) fn stands(roll: &Roll, name: &Name) -> (LaneState, String) {
    lane(roll, name).map_or((LaneState::Healthy, String::new()), |owned| {
        told(&owned.lane)
    })
}

fn told(lane: &LaneRecord) -> (LaneState, String) {
    if lane.paused {
        return (LaneState::Paused, "paused by an operator".to_owned());
    }
    (lane.state, lane.reason.clone())
}

fn lane<'a>(roll: &'a Roll, name: &Name) -> Option<&'a Owned> {
    roll.lanes
        .iter()
        .find(|owned| owned.lane.destination == *name)
}

impl Admin {
    /// Who shares the store; None where this relay has it alone.
    pub(super) async fn roll(&self) -> Result<Option<Roll>, StoreError> {
        match self.store.commons() {
            Some(commons) => Ok(Some(commons.roll().await?)),
            None => Ok(None),
        }
    }

    /// Whether a lane is another relay's, or nobody's at the moment.
    async fn elsewhere(&self, name: &Name) -> Result<Option<&dyn Commons>, AdminProblem> {
        let Some(commons) = self.store.commons() else {
            return Ok(None);
        };
        let snapshot = self.lanes.snapshot().await?;
        Ok(snapshot.elsewhere.contains(name).then_some(commons))
    }

    pub(super) async fn pause(&self, name: &Name, paused: bool) -> Answer {
        if !self.lanes.pause(name, paused).await? {
            return match self.elsewhere(name).await? {
                Some(commons) => self.wish(commons, name, paused).await,
                None => Err(AdminProblem::NotFound),
            };
        }
        let snapshot = self.lanes.snapshot().await?;
        let lane = snapshot
            .lanes
            .into_iter()
            .find(|lane| lane.destination == *name)
            .ok_or(AdminProblem::NotFound)?;
        Ok(json(&views::LaneStateView {
            name: lane.destination,
            state: lane.state,
            reason: lane.reason,
            done: true,
        }))
    }

    /// Leaves word for the relay that has the lane, and waits a while for it to be obeyed.
    async fn wish(&self, commons: &dyn Commons, name: &Name, paused: bool) -> Answer {
        commons.wish(name, paused).await?;
        // Who does not hear it finds it within a second.
        let _found_later = commons.cry(vec![Told::Leases]).await;
        let enough = self.clock.monotonic() + PATIENCE;
        loop {
            let roll = commons.roll().await?;
            let done = lane(&roll, name).is_some_and(|owned| !owned.wished);
            if done || self.clock.monotonic() >= enough {
                let (state, reason) = stands(&roll, name);
                let mut answer = json(&views::LaneStateView {
                    name: name.clone(),
                    state,
                    reason,
                    done,
                });
                if !done {
                    *answer.status_mut() = StatusCode::ACCEPTED;
                }
                return Ok(answer);
            }
            self.clock.pause(LOOK).await;
        }
    }

    /// What became of a delivery that was discarded while another relay may have had it under way: what is under way
    /// there ends first. None where that takes too long to be waited for.
    pub(super) async fn became(
        &self,
        id: DeliveryId,
        destination: &Name,
    ) -> Result<Option<State>, AdminProblem> {
        let Some(commons) = self.elsewhere(destination).await? else {
            return Ok(Some(State::Discarded));
        };
        let number = commons.ask_to_clear().await?;
        let _found_later = commons.cry(vec![Told::Leases]).await;
        let enough = self.clock.monotonic() + PATIENCE;
        while commons.uncleared(number).await? > 0 {
            if self.clock.monotonic() >= enough {
                return Ok(None);
            }
            self.clock.pause(LOOK).await;
        }
        let one = self
            .store
            .deliveries(DeliveryFilter::default().only(id), Limit::ONE);
        let found = one.await?.items.into_iter().find(|one| one.id == id);
        Ok(Some(found.map_or(State::Discarded, |one| one.state)))
    }
}
