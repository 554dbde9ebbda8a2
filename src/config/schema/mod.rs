//! Which keys there are, table by table: the one definition of them. `relay schema` prints it as a JSON
//! Schema, and the readers take their known keys from it. What a value means is for the readers to say.

pub mod destinations;
pub mod forms;
pub mod presets;
mod print;
pub mod routes;
pub mod server;
pub mod sources;
pub mod trials;

pub use print::{json, preset_json};

use std::sync::LazyLock;

use schemars::JsonSchema;

/// The keys of one kind of table.
#[derive(Debug)]
pub struct Section {
    /// Where it stands, with `*` for a configured name: `destinations.*.retry`.
    pub place: &'static str,
    /// Read from the table's definition.
    pub keys: Vec<String>,
    /// Keys that a later version brings: refused like unknown ones, with other words.
    pub later: &'static [&'static str],
}

impl Section {
    fn of<T: JsonSchema>(place: &'static str, later: &'static [&'static str]) -> Self {
        Self {
            place,
            keys: print::keys::<T>(),
            later,
        }
    }

    fn without(mut self, key: &str) -> Self {
        self.keys.retain(|known| known != key);
        self
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.keys.iter().any(|known| known == key)
    }
}

/// A table's definition as a section, made when it is first asked for.
type Lazy = LazyLock<Section>;

pub static ROOT: Lazy = Lazy::new(|| Section::of::<server::Root>("", &[]));
pub static SERVER: Lazy = Lazy::new(|| Section::of::<server::Server>("server", &[]));
pub static SERVER_TLS: Lazy = Lazy::new(|| Section::of::<server::ServerTls>("server.tls", &[]));
pub static ADMIN: Lazy = Lazy::new(|| Section::of::<server::Admin>("admin", &[]));
pub static STORE: Lazy = Lazy::new(|| Section::of::<server::Store>("store", &[]));
pub static KEEP: Lazy = Lazy::new(|| Section::of::<server::Keep>("store.keep", &[]));
pub static ENCRYPT: Lazy = Lazy::new(|| Section::of::<server::Encrypt>("store.encrypt", &[]));
pub static LOG: Lazy = Lazy::new(|| Section::of::<server::Log>("log", &[]));
pub static RELOAD: Lazy = Lazy::new(|| Section::of::<server::Reload>("reload", &[]));
pub static ALERTS: Lazy = Lazy::new(|| Section::of::<server::Alerts>("alerts", &[]));
pub static SOURCE: Lazy = Lazy::new(|| Section::of::<sources::Source>("sources.*", &[]));
pub static PICK: Lazy = Lazy::new(|| Section::of::<sources::Pick>("sources.*.type", &[]));
pub static AUTH: Lazy = Lazy::new(|| Section::of::<sources::AuthWay>("sources.*.auth", &[]));
pub static HMAC: Lazy =
    Lazy::new(|| Section::of::<sources::Hmac>("sources.*.auth.hmac_sha256", &[]));
pub static DESTINATION: Lazy = Lazy::new(|| {
    let later = &["account", "max_waiting"];
    Section::of::<destinations::Destination>("destinations.*", later)
});
pub static REQUEST: Lazy =
    Lazy::new(|| Section::of::<destinations::Request>("destinations.*.create", &[]));
pub static UPDATE: Lazy =
    Lazy::new(|| Section::of::<destinations::Update>("destinations.*.update", &[]));
pub static DESTINATION_AUTH: Lazy =
    Lazy::new(|| Section::of::<destinations::Auth>("destinations.*.auth", &[]));
pub static OAUTH2: Lazy =
    Lazy::new(|| Section::of::<destinations::Oauth2>("destinations.*.auth.oauth2", &[]));
pub static SIGN: Lazy = Lazy::new(|| Section::of::<destinations::Sign>("destinations.*.sign", &[]));
pub static RETRY: Lazy =
    Lazy::new(|| Section::of::<destinations::Retry>("destinations.*.retry", &[]));
pub static BREAKER: Lazy =
    Lazy::new(|| Section::of::<destinations::Breaker>("destinations.*.breaker", &[]));
pub static TLS: Lazy = Lazy::new(|| Section::of::<destinations::Tls>("destinations.*.tls", &[]));
pub static ROUTE: Lazy = Lazy::new(|| Section::of::<routes::Route>("routes[*]", &[]));
/// What `relay check` expects of the rules.
pub static TEST: Lazy = Lazy::new(|| Section::of::<trials::Test>("tests[*]", &[]));
/// The whole of a file of tests beside relay.toml.
pub static TESTS_FILE: Lazy = Lazy::new(|| Section::of::<trials::Beside>("", &[]));
/// How a secret is referred to.
pub static SECRET: Lazy = Lazy::new(|| Section::of::<forms::Reference>("", &[]));
/// The file of a preset.
pub static PRESET: Lazy = Lazy::new(|| {
    Section::of::<presets::PresetFile>("", &[])
        .without("preset")
        .without("was")
});
pub static ABOUT: Lazy = Lazy::new(|| Section::of::<presets::About>("about", &[]));

/// Every table that relay.toml can have.
pub static SECTIONS: &[&Lazy] = &[
    &ROOT,
    &SERVER,
    &SERVER_TLS,
    &ADMIN,
    &STORE,
    &KEEP,
    &ENCRYPT,
    &LOG,
    &RELOAD,
    &ALERTS,
    &SOURCE,
    &PICK,
    &AUTH,
    &HMAC,
    &DESTINATION,
    &REQUEST,
    &UPDATE,
    &DESTINATION_AUTH,
    &OAUTH2,
    &SIGN,
    &RETRY,
    &BREAKER,
    &TLS,
    &ROUTE,
    &TEST,
    &SECRET,
];
