//! What relays that share a store ask of it: who is alive, which lanes a relay has, what one wants of another. How lanes
//! are shared out is not decided here.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::{Fence, LaneRecord, Lease, StoreError};
use crate::model::{DeliveryId, Name};

/// How long a relay has its lanes after it said that it is alive.
pub const LEASE: Duration = Duration::from_secs(3);

/// The lane of what one relay does for all. No destination can have this name.
pub const UPKEEP: &str = "(upkeep)";

/// A store that several relays may share.
#[async_trait]
pub trait Commons: Send + Sync {
    /// Says that this relay is alive, which renews all its leases, and answers how things stand.
    async fn hold(&self, presence: Presence) -> Result<Held, StoreError>;

    /// Takes those of these lanes that are free, or whose owner is not alive, and waits for nobody.
    async fn take(&self, lanes: &[Name]) -> Result<Vec<Lease>, StoreError>;

    /// Lets lanes of this relay go, so that another may have them at once.
    async fn let_go(&self, lanes: Vec<(Name, Fence)>) -> Result<(), StoreError>;

    /// Leaves word for whoever has the lane, or is the next to have it: pause it, or resume it.
    async fn wish(&self, lane: &Name, paused: bool) -> Result<(), StoreError>;

    /// Asks all relays to forget what is condemned; the number that they answer with once nothing of it is under way.
    async fn ask_to_clear(&self) -> Result<u64, StoreError>;

    /// How many relays that are alive have not answered that number yet.
    async fn uncleared(&self, number: u64) -> Result<usize, StoreError>;

    /// Who works on the store, and how every lane stands.
    async fn roll(&self) -> Result<Roll, StoreError>;

    /// Tells the other relays, as far as they listen.
    async fn cry(&self, news: Vec<Told>) -> Result<(), StoreError>;

    /// Hears what the others cry, until the connection breaks.
    async fn listen(&self) -> Result<mpsc::Receiver<Told>, StoreError>;
}

/// What a relay says of itself.
#[derive(Clone, Debug, Default)]
pub struct Presence {
    /// Destinations that it could deliver to, sorted.
    pub knows: Arc<Vec<Name>>,
    /// It is about to end and takes nothing more.
    pub leaving: bool,
    /// The last request to forget that it has carried out.
    pub cleared: u64,
    /// Wishes that it has carried out.
    pub obeyed: Vec<u64>,
}

/// How things stand for a relay.
#[derive(Clone, Debug, Default)]
pub struct Held {
    pub own: u64,
    /// Who is alive, this relay too.
    pub replicas: Vec<Replica>,
    /// What this relay has.
    pub lanes: Vec<HeldLane>,
    /// The last request to forget what is condemned.
    pub clear: u64,
}

/// A relay that is alive.
#[derive(Clone, Debug)]
pub struct Replica {
    pub id: u64,
    pub leaving: bool,
    /// Destinations that it could deliver to; None where they are those that were asked with.
    pub knows: Option<Vec<Name>>,
}

/// A lane that a relay has.
#[derive(Clone, Debug)]
pub struct HeldLane {
    pub destination: Name,
    pub fence: Fence,
    /// To be paused, or resumed; with its number.
    pub wish: Option<(u64, bool)>,
}

/// All relays and lanes.
#[derive(Clone, Debug, Default)]
pub struct Roll {
    pub own: u64,
    pub replicas: Vec<Seen>,
    pub lanes: Vec<Owned>,
}

/// A relay, as the store last saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub id: u64,
    pub name: String,
    pub since: Timestamp,
    /// How long ago it last said that it is alive.
    pub age: Duration,
    pub alive: bool,
}

/// A lane, and who has it.
#[derive(Clone, Debug)]
pub struct Owned {
    pub owner: Option<u64>,
    /// How long its owner has had it.
    pub age: Duration,
    /// It is to be paused or resumed, and was not yet.
    pub wished: bool,
    pub lane: LaneRecord,
}

/// What one relay cries to the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Something waits at this destination.
    Look(Name),
    /// Something waits there that may belong before what is known already.
    Changed(Name),
    /// This delivery is not to go out any more.
    Superseded(Name, DeliveryId),
    /// There is something to do about leases: one came, went, gave back or wishes.
    Leases,
    /// A job was begun.
    Job,
}

impl Told {
    /// One line.
    pub(super) fn line(&self) -> String {
        match self {
            Self::Look(name) => format!("l {name}"),
            Self::Changed(name) => format!("c {name}"),
            Self::Superseded(name, delivery) => format!("s {delivery} {name}"),
            Self::Leases => "h".to_owned(),
            Self::Job => "j".to_owned(),
        }
    }

    /// What a line says; None where that is not known in this version.
    pub(super) fn read(line: &str) -> Option<Self> {
        let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
        Some(match kind {
            "l" => Self::Look(rest.into()),
            "c" => Self::Changed(rest.into()),
            "s" => {
                let (delivery, name) = rest.split_once(' ')?;
                Self::Superseded(name.into(), delivery.parse().ok()?)
            }
            "h" => Self::Leases,
            "j" => Self::Job,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cried_is_heard_as_it_was_meant() {
        let delivery = crate::model::EventId::from_bytes([7; 16]).delivery(3);
        for told in [
            Told::Look("crm".into()),
            Told::Changed("an ats".into()),
            Told::Superseded("crm".into(), delivery),
            Told::Leases,
            Told::Job,
        ] {
            assert_eq!(Told::read(&told.line()), Some(told));
        }
        for unknown in ["", "x", "x crm", "s crm"] {
            assert_eq!(Told::read(unknown), None, "{unknown}");
        }
    }
}
