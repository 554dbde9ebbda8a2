//! Lists in pages, by key and never by offset.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::DeliveryId;
use super::id::{DELIVERY_PREFIX, NUMBER};

/// One page of a list, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Where the next page starts; None on the last one.
    pub next: Option<Cursor>,
}

/// How many items a page may hold: 1 to 500, 50 unless told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit(u32);

const PREFIX: &str = "cur_";

/// The last item of the page before, as a text of its own kind, so that nobody takes it for the item's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(pub DeliveryId);

/// A text that no page gave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cursor is not one this relay gave out; start again without it")]
pub struct BadCursor;

impl Limit {
    pub const ONE: Self = Self(1);
    pub const MOST: Self = Self(500);

    /// None unless 1 to 500.
    pub const fn new(items: u32) -> Option<Self> {
        if items >= 1 && items <= 500 {
            Some(Self(items))
        } else {
            None
        }
    }

    pub const fn get(self) -> u32 {
        self.0
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(50)
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.to_string().replacen(DELIVERY_PREFIX, PREFIX, 1))
    }
}

impl std::str::FromStr for Cursor {
    type Err = BadCursor;

    fn from_str(text: &str) -> Result<Self, BadCursor> {
        let rest = text.strip_prefix(PREFIX).ok_or(BadCursor)?;
        let id = format!("{DELIVERY_PREFIX}{rest}").parse();
        id.map(Self).map_err(|_| BadCursor)
    }
}

impl Serialize for Cursor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Cursor {
    fn schema_name() -> Cow<'static, str> {
        "Cursor".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": format!("^cur_[0-9a-f]{{32}}_{NUMBER}$"),
            "description": "Where a page starts: the `next` of the one before.",
        })
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let items = u32::deserialize(deserializer).ok().and_then(Self::new);
        items.ok_or_else(|| serde::de::Error::custom("not a number from 1 to 500"))
    }
}

impl JsonSchema for Limit {
    fn schema_name() -> Cow<'static, str> {
        "Limit".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": 500, "default": 50 })
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}
