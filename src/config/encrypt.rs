//! `[store] encrypt`: the keys of payloads.

use super::form::SWITCH;
use super::reading::Table;
use super::schema;
use super::secret::{self, Kind};
use crate::store::{Keyring, SealKey};

/// Reads the keys; only a restart changes them.
pub(super) fn encrypt(store: &Table<'_>) -> Option<Keyring> {
    let table = store.table("encrypt", &schema::ENCRYPT)?;
    let seal = table.leaf("seal", SWITCH);
    let none = table
        .items("keys", "{ env = \"RELAY_STORE_KEY\" }")?
        .is_empty();
    let secrets = if none {
        Vec::new()
    } else {
        table.secrets("keys", Kind::Seal)?
    };
    let keys = secrets.iter().map(|text| {
        let key = secret::seal_key(text.expose());
        SealKey::new(&key.expect("it was read as such a key"))
    });
    Some(Keyring::new(keys.collect(), seal?))
}
