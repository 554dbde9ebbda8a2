//! `[admin]` alone: who only asks a running relay needs neither sound rules nor anybody's secrets.

use super::layers::merge;
use super::locate;
use super::presets::Presets;
use super::reading::Reading;
use super::{DEFAULTS, Finding, Inputs, own_keys, schema, server};
use crate::http::AdminSettings;

/// Where the admin port is and which token it wants, whatever is wrong elsewhere in the file.
pub fn admin_alone(inputs: &Inputs) -> Result<AdminSettings, Vec<Finding>> {
    let text = super::text_of(&inputs.file)?;
    let file = inputs.file.display().to_string();
    let (written, mut locator) = locate::read(&file, &text).map_err(|finding| vec![finding])?;
    let (defaults, _) = locate::read("defaults", DEFAULTS).expect("a test reads them");
    let (own, _) = own_keys(inputs, &written, &mut locator);
    let under = &defaults["admin"];
    let section = match own.get("admin") {
        Some(own) if own.is_object() => merge(&[under, own]),
        Some(other) => other.clone(),
        None => under.clone(),
    };
    let presets = Presets::built_in();
    let reading = Reading::new(&locator, &inputs.environment, inputs.secrets, &presets);
    let table = reading.table("admin".to_owned(), &section, &schema::ADMIN);
    let admin = table.and_then(|table| server::admin(&table, None));
    let findings = reading.into_findings();
    match admin {
        Some(admin) if !findings.iter().any(Finding::is_error) => Ok(admin),
        _ => Err(findings),
    }
}
