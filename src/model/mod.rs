//! The words of the product as types: no I/O, no clock, no policy.

mod alert;
mod attempt;
mod delivery;
mod event;
mod id;
mod job;
mod kept;
mod page;
mod rate;
mod secret;
mod sender;
mod time;
mod trace;
mod verdict;

pub use alert::{ALERT, ALERTS, Cause};
pub use attempt::{Attempt, EXCERPT_BYTES};
pub use delivery::{Budget, Delivery, LaneState, LastCharge, State, UnknownState};
pub use event::{Event, EventType, FieldDigests, Name, RouteError, Subject, SubjectError};
pub use id::{BadId, DeliveryId, EventId, Mint};
pub use job::{JobId, JobState, Refusal, RefusalCode};
pub use kept::Kept;
pub use page::{BadCursor, Cursor, Limit, Page};
pub use rate::{BadRate, Rate};
pub use secret::Secret;
pub use sender::{SourceState, Stage};
pub use time::{after, plus};
pub use trace::TraceParent;
pub use verdict::Verdict;
