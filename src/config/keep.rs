//! `[store] keep`: the terms of retention.

use std::time::Duration;

use super::form::DURATION;
use super::reading::Table;
use super::schema;
use crate::store::Keep;

/// Longest time that anything is kept: ten years.
const LONGEST: Duration = Duration::from_hours(24 * 3_650);

/// Reads the terms; they may change while the relay runs.
pub(super) fn keep(store: &Table<'_>) -> Option<Keep> {
    let table = store.table("keep", &schema::KEEP)?;
    let within = |time: &Duration| !time.is_zero() && *time <= LONGEST;
    let words = "more than nothing and at most \"3650d\"";
    let time = |key: &str| table.limited(key, DURATION, within, words);
    let [delivered, dead, other, ledger] = ["delivered", "dead", "other", "ledger"].map(time);
    let types = table.value("types");
    let types = types.and_then(|types| table.reading.free_table(table.at("types"), types))?;
    let own = types.iter().filter_map(|(name, _)| {
        let time = types.limited(name, DURATION, within, words)?;
        Some((name.clone(), time))
    });
    let keep = Keep {
        delivered: delivered?,
        dead: dead?,
        other: other?,
        ledger: ledger?,
        types: own.collect(),
    };
    let payloads = [keep.delivered, keep.dead, keep.other];
    let longest = payloads.iter().chain(keep.types.values()).max();
    if longest.is_some_and(|longest| *longest > keep.ledger) {
        table.error(
            "ledger",
            "the ledger cannot go before the payloads that it is about",
            "write a ledger at least as long as the longest of the others",
        );
        return None;
    }
    Some(keep)
}
