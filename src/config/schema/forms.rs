//! The forms of values, as an editor can know them. `config/form.rs` reads them; a test compares the two.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value};

use crate::destination::preset;

/// A duration.
#[derive(JsonSchema)]
#[schemars(extend(
    "pattern" = r"^\s*([0-9]+(\.[0-9]+)?\s*(ns|nsec|nanos|us|µs|usec|ms|msec|millis|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|wks?|weeks?|M|months?|y|yrs?|years?)\s*)+$",
    "examples" = ["250ms", "15s", "2h", "7d"]
))]
pub struct Duration(pub String);

/// A size.
#[derive(JsonSchema)]
#[schemars(extend(
    "pattern" = r"^\s*[0-9]+(\.[0-9]+)?\s*([kKmMgGtTpPeE][iI]?)?[bB]?\s*$",
    "examples" = ["256 KiB", "1 MiB"]
))]
pub struct Size(pub String);

/// A rate, or "none".
#[derive(JsonSchema)]
#[schemars(extend(
    "pattern" = r"^(none|\s*[0-9]+\s*/\s*([0-9]+(\.[0-9]+)?\s*)?[a-zµ]+\s*)$",
    "examples" = ["1/s", "50/10s", "600/min", "none"]
))]
pub struct Rate(pub String);

/// An IP address and a port.
#[derive(JsonSchema)]
#[schemars(extend(
    "pattern" = r"^(\[[0-9a-fA-F:.]+\]|[0-9.]+):[0-9]{1,5}$",
    "examples" = ["127.0.0.1:8080", "0.0.0.0:8080", "[::]:8080"]
))]
pub struct Address(pub String);

/// An address or a network.
#[derive(JsonSchema)]
#[schemars(extend(
    "pattern" = r"^[0-9a-fA-F:.]+(/[0-9]{1,3})?$",
    "examples" = ["203.0.113.7", "203.0.113.0/24"]
))]
pub struct Network(pub String);

/// The name of an HTTP header.
#[derive(JsonSchema)]
#[schemars(extend("pattern" = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$", "examples" = ["X-Relay-Token"]))]
pub struct HeaderName(pub String);

/// A JSON pointer.
#[derive(JsonSchema)]
#[schemars(extend("pattern" = r"^(/([^~/]|~[01])*)+$", "examples" = ["/event", "/data/id"]))]
pub struct Pointer(pub String);

/// A name of a source, destination or route.
#[derive(JsonSchema)]
#[schemars(extend("pattern" = r"^[a-z0-9_-]{1,64}$"))]
pub struct Name(pub String);

/// Text that is not empty.
#[derive(JsonSchema)]
#[schemars(extend("minLength" = 1))]
pub struct Text(pub String);

/// A whole number of at least 1.
#[derive(JsonSchema)]
#[schemars(extend("minimum" = 1, "maximum" = u32::MAX))]
pub struct Count(pub i64);

/// A table whose keys the operator chooses.
#[derive(JsonSchema)]
pub struct Free(pub Map<String, Value>);

/// A secret: a reference, or plain text, which `relay check` warns about.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum Secret {
    Plain(Text),
    Reference(Reference),
}

/// Where a secret is read from: a variable of the environment, or a file.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["env"] }, { "required": ["file"] }]))]
pub struct Reference {
    /// The name of an environment variable, without $.
    #[schemars(extend("pattern" = r"^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub env: Option<String>,
    /// The path of a file that holds the secret and nothing else, such as "/run/secrets/name".
    pub file: Option<Text>,
}

/// Where a store is: in a file, or in a database, whose URL may hold a password.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum StoreUrl {
    Plain(Place),
    Reference(Reference),
}

/// A file or a database.
#[derive(JsonSchema)]
#[schemars(extend(
    "pattern" = "^(sqlite:|postgres://|postgresql://).+",
    "examples" = ["sqlite:data/relay.db", "postgres://user:password@host/database?schema=relay"]
))]
pub struct Place(pub String);

/// The secrets of one sender: several are a rotation, and each is valid.
#[derive(JsonSchema)]
#[schemars(extend("minItems" = 1))]
pub struct Secrets(pub Vec<Secret>);

/// A preset's name: a built-in one, or one of `presets_dir`.
pub struct Preset;

impl JsonSchema for Preset {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Preset".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<&str> = preset::BUILT_IN.iter().map(|(name, _)| *name).collect();
        json_schema!({ "anyOf": [{ "enum": names }, { "type": "string", "minLength": 1 }] })
    }
}
