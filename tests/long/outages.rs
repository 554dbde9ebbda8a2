//! What the suite has in small form, by the names it has over there.

#[path = "../it/outages/backlog.rs"]
pub mod backlog;
#[path = "../it/outages/town.rs"]
pub mod town;
