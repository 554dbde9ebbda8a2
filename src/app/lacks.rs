//! Deliveries that wait and whose minimised payloads lack a field that is used now: found when a
//! configuration takes effect, and told in words.

use super::Compiled;
use crate::destination::{Destination, Fields};
use crate::dispatch::LaneSpec;
use crate::model::EventId;
use crate::store::{Lacking, Store, Wanted};

/// A warning for each source, destination and set of missing fields; each is logged once. A store that does not
/// answer holds no configuration up.
pub(super) async fn warnings(compiled: &Compiled, store: &dyn Store) -> Vec<String> {
    let found = match store.lacking(wanted(compiled)).await {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(%error, "what waits could not be compared with the fields that are used now");
            return Vec::new();
        }
    };
    let destinations = &compiled.rules.destinations;
    let told = found.iter().map(|lacking| {
        let destination = destinations.get(&lacking.destination);
        words(lacking, destination.map(|one| &**one))
    });
    let told: Vec<String> = told.collect();
    for warning in &told {
        tracing::warn!("{warning}");
    }
    told
}

/// What each destination reads; a renamed one's backlog may stand under its old name still.
fn wanted(compiled: &Compiled) -> Vec<Wanted> {
    let mut all = Vec::new();
    for LaneSpec {
        destination,
        settings,
    } in &compiled.lanes
    {
        let fields = match destination.fields() {
            Fields::Only(fields) => Some(fields),
            Fields::All => None,
        };
        let names = [Some(destination.name().clone()), settings.was.clone()];
        all.extend(names.into_iter().flatten().map(|destination| Wanted {
            destination,
            fields: fields.clone(),
        }));
    }
    all
}

fn words(lacking: &Lacking, destination: Option<&Destination>) -> String {
    let Lacking {
        source,
        destination: name,
        count,
        ..
    } = lacking;
    let least = if lacking.more { "at least " } else { "" };
    let deliveries = match count {
        1 => "delivery that waits",
        _ => "deliveries that wait",
    };
    let what = if let Some(fields) = &lacking.missing {
        format!(
            "without `{}`, which was not kept: {}",
            fields.join("`, `"),
            follows(fields, destination)
        )
    } else {
        let kept: Vec<&str> = lacking.kept.iter().collect();
        format!(
            "with a part of the payload alone, and that part is sent: only {} were kept",
            kept.join(", ")
        )
    };
    format!(
        "source {source}: {least}{count} {deliveries} for {name} {what} (events {})",
        events(lacking)
    )
}

/// What will become of those that lack `fields`.
fn follows(fields: &[String], destination: Option<&Destination>) -> String {
    let require = destination.map(|one| one.settings().require.as_slice());
    let required = |field: &&String| {
        let path = format!("result.{field}");
        let mut require = require.unwrap_or_default().iter();
        require.any(|one| one.strip_prefix(&path).is_some_and(is_end))
    };
    match fields.iter().find(required) {
        Some(field) => format!("`{field}` is required, so they will be skipped"),
        None if fields.len() == 1 => "it reads as null".to_owned(),
        None => "they read as null".to_owned(),
    }
}

fn is_end(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('.')
}

fn events(lacking: &Lacking) -> String {
    let ids: Vec<String> = lacking.events.iter().map(EventId::to_string).collect();
    let all = !lacking.more && lacking.count <= ids.len() as u64;
    let more = if all { "" } else { ", …" };
    format!("{}{more}", ids.join(", "))
}
