//! `[alerts]`: who is told by the relay itself.

use super::form;
use super::reading::Table;
use super::routes::check_names;
use crate::model::Name;

/// The destinations, of those that there are.
pub(super) fn alerts(table: &Table<'_>, destinations: &[&str]) -> Option<Vec<Name>> {
    let names = table.list("to", form::TEXT)?;
    check_names(table, "to", &names, destinations);
    Some(names.iter().map(|name| name.as_str().into()).collect())
}
