//! `[admin]` or `[store]` alone: who only asks a running relay, or copies its store, needs neither sound rules
//! nor anybody's secrets.

use super::layers::merge;
use super::locate;
use super::presets::Presets;
use super::reading::{Reading, Table};
use super::schema::Section;
use super::{DEFAULTS, Finding, Inputs, StoreUrl, own_keys, schema, server};
use crate::http::AdminSettings;

/// Where the admin port is and which token it wants, whatever is wrong elsewhere in the file.
pub fn admin_alone(inputs: &Inputs) -> Result<AdminSettings, Vec<Finding>> {
    alone(inputs, ("admin", &schema::ADMIN), |table| {
        server::admin(table, None)
    })
}

/// Where the store is, whatever is wrong elsewhere in the file.
pub fn store_alone(inputs: &Inputs) -> Result<StoreUrl, Vec<Finding>> {
    alone(inputs, ("store", &schema::STORE), server::store_url)
}

fn alone<T>(
    inputs: &Inputs,
    (name, schema): (&str, &Section),
    read: impl Fn(&Table<'_>) -> Option<T>,
) -> Result<T, Vec<Finding>> {
    let text = super::text_of(&inputs.file)?;
    let file = inputs.file.display().to_string();
    let (written, mut locator) = locate::read(&file, &text).map_err(|finding| vec![finding])?;
    let (defaults, _) = locate::read("defaults", DEFAULTS).expect("a test reads them");
    let (own, _) = own_keys(inputs, &written, &mut locator);
    let under = &defaults[name];
    let section = match own.get(name) {
        Some(own) if own.is_object() => merge(&[under, own]),
        Some(other) => other.clone(),
        None => under.clone(),
    };
    let presets = Presets::built_in();
    let reading = Reading::new(&locator, &inputs.environment, inputs.secrets, &presets);
    let table = reading.table(name.to_owned(), &section, schema);
    let settings = table.and_then(|table| read(&table));
    let findings = reading.into_findings();
    match settings {
        Some(settings) if !findings.iter().any(Finding::is_error) => Ok(settings),
        _ => Err(findings),
    }
}
