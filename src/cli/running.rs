//! What a relay at work has that a file would leave behind: backlogs without a destination, and sources
//! whose subjects would start anew.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::client::{Office, understood};
use crate::app::Ready;
use crate::config::Finding;
use crate::model::State;

#[derive(Deserialize)]
struct Status {
    sources: Vec<Source>,
    destinations: Vec<Destination>,
}

#[derive(Deserialize)]
struct Source {
    name: String,
}

#[derive(Deserialize)]
struct Destination {
    name: String,
    #[serde(default)]
    counts: BTreeMap<State, u64>,
}

/// Doubts about `ready` in view of the relay that `office` asks; nothing where none answers.
pub(super) async fn doubts(ready: &Ready, office: &Office) -> Vec<Finding> {
    let answer = office.get("/api/v1/status", &[]).await;
    let status: Option<Status> = answer.ok().and_then(|body| understood(&body).ok());
    let Some(status) = status else {
        return Vec::new();
    };
    let lanes = &ready.compiled.lanes;
    let mut doubts = Vec::new();
    for destination in status.destinations {
        let name = destination.name.as_str();
        let kept = lanes.iter().any(|lane| {
            **lane.destination.name() == *name || lane.settings.was.as_deref() == Some(name)
        });
        let waiting = destination
            .counts
            .get(&State::Waiting)
            .copied()
            .unwrap_or(0);
        if !kept && waiting > 0 {
            let problem = format!(
                "the running relay has {waiting} waiting for \"{name}\", which is not in this file: it would be an orphan"
            );
            let hint = format!(
                "put it back, or write was = \"{name}\" at its successor; or, later, relay move {name} TO"
            );
            doubts.push(ready.locator.warning("destinations", problem).hint(hint));
        }
    }
    for source in status.sources {
        if !ready
            .compiled
            .rules
            .sources
            .contains_key(source.name.as_str())
        {
            let problem = format!(
                "the running relay has the source \"{}\", which is not in this file",
                source.name
            );
            let hint =
                "where it only got another name, each of its subjects starts anew with revision 1";
            doubts.push(ready.locator.warning("sources", problem).hint(hint));
        }
    }
    doubts
}
