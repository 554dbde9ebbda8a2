//! What others ask of the loop: how the lanes stand, pause and resume, another configuration.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{Notify, mpsc, oneshot};

use super::holding::{Have, Order};
use super::{LaneSpec, RouteValues};
use crate::model::{DeliveryId, LaneState, Name};
use crate::store::Condemned;

/// A lane as people see it.
#[derive(Clone, Debug)]
pub struct LaneView {
    pub destination: Name,
    pub state: LaneState,
    /// Why it is not healthy. It may quote the receiver.
    pub reason: String,
    pub since: Option<Timestamp>,
    /// Until when the receiver asked for a pause.
    pub held_until: Option<Timestamp>,
    pub next_probe: Option<Timestamp>,
    pub in_flight: usize,
    /// It refuses the relay, also while it is paused.
    pub blocked: bool,
}

/// Every lane, and what is under way, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub lanes: Vec<LaneView>,
    /// Deliveries in state sending.
    pub sending: HashSet<DeliveryId>,
    /// Lanes that are gone from the configuration and have something under way still.
    pub retiring: Vec<Name>,
    /// Destinations whose lane another relay has, or none at the moment.
    pub elsewhere: Vec<Name>,
}

/// Speaks to the loop.
#[derive(Clone)]
pub struct Handle {
    pub(super) commands: mpsc::Sender<Command>,
    /// There is something to do about who has which lane.
    pub(super) nudge: Arc<Notify>,
}

/// The loop is not running any more.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the relay is shutting down")]
pub struct Stopped;

pub(super) enum Command {
    Snapshot(oneshot::Sender<Snapshot>),
    Pause {
        destination: Name,
        paused: bool,
        done: oneshot::Sender<bool>,
    },
    Forget {
        condemned: Condemned,
        /// Whatever is under way is waited for, and whatever is known is read anew.
        all: bool,
        done: oneshot::Sender<()>,
    },
    Have(oneshot::Sender<Have>),
    Hold(Order, oneshot::Sender<Have>),
    Reconfigure {
        specs: Vec<LaneSpec>,
        routes: Arc<RouteValues>,
        done: oneshot::Sender<()>,
    },
}

impl Handle {
    pub async fn snapshot(&self) -> Result<Snapshot, Stopped> {
        let (tell, told) = oneshot::channel();
        self.commands
            .send(Command::Snapshot(tell))
            .await
            .map_err(|_| Stopped)?;
        told.await.map_err(|_| Stopped)
    }

    /// Holds a lane or lets it go; resuming also frees it from any trouble. False: no such lane.
    pub async fn pause(&self, destination: &Name, paused: bool) -> Result<bool, Stopped> {
        let (done, answer) = oneshot::channel();
        let command = Command::Pause {
            destination: destination.clone(),
            paused,
            done,
        };
        self.commands.send(command).await.map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }

    /// Starts none of these any more, quotes nothing that was said of them, and returns once none of them
    /// is under way.
    pub async fn forget(&self, condemned: Condemned) -> Result<(), Stopped> {
        self.forgotten(condemned, false).await
    }

    /// The same where another relay condemned them: what it knew of may not be all that is under way here.
    pub(super) async fn clear(&self, condemned: Condemned) -> Result<(), Stopped> {
        self.forgotten(condemned, true).await
    }

    async fn forgotten(&self, condemned: Condemned, all: bool) -> Result<(), Stopped> {
        let (done, answer) = oneshot::channel();
        let command = Command::Forget {
            condemned,
            all,
            done,
        };
        self.commands.send(command).await.map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }

    pub(super) async fn have(&self) -> Result<Have, Stopped> {
        let (tell, told) = oneshot::channel();
        let command = Command::Have(tell);
        self.commands.send(command).await.map_err(|_| Stopped)?;
        told.await.map_err(|_| Stopped)
    }

    pub(super) async fn hold(&self, order: Order) -> Result<Have, Stopped> {
        let (tell, told) = oneshot::channel();
        let command = Command::Hold(order, tell);
        self.commands.send(command).await.map_err(|_| Stopped)?;
        told.await.map_err(|_| Stopped)
    }

    /// Puts other lanes in force; those that changed are freed, those that are gone finish what is under way.
    pub async fn reconfigure(
        &self,
        specs: Vec<LaneSpec>,
        routes: Arc<RouteValues>,
    ) -> Result<(), Stopped> {
        let (done, answer) = oneshot::channel();
        self.commands
            .send(Command::Reconfigure {
                specs,
                routes,
                done,
            })
            .await
            .map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }
}
