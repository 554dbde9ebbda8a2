//! Identifiers that sort by time. An event's is a version 7 UUID (RFC 9562, section 5.7); a delivery's
//! is its event's and a number, so that neither needs an index of its own.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

const EVENT_PREFIX: &str = "evt_";
pub(super) const DELIVERY_PREFIX: &str = "dlv_";

/// What a delivery's number looks like: 16 bits in decimal.
pub(super) const NUMBER: &str =
    "([0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])";

/// One accepted webhook. Written `evt_` and 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(Uuid);

/// One event for one destination. Written `dlv_`, the event's 32 digits, `_` and a decimal number.
/// It is the `webhook-id` that receivers see: it holds no `.`, as Standard Webhooks asks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId {
    /// The event that is delivered.
    pub event: EventId,
    /// Position among the event's deliveries, from 0.
    pub number: u16,
}

/// A text that is no identifier of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {kind} id; one looks like `{example}`")]
pub struct BadId {
    text: String,
    kind: &'static str,
    example: &'static str,
}

/// Makes event ids that never go backwards within one process, even when the clock does.
#[derive(Debug, Default)]
pub struct Mint {
    /// Milliseconds since 1970, shifted left by 12, and a counter in the low 12 bits.
    last: AtomicU64,
}

impl EventId {
    /// From the 16 bytes a store keeps.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The 16 bytes, in an order that sorts by time.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The smallest id of the given millisecond: a bound for searching by time.
    pub fn first_at(at: Timestamp) -> Self {
        let millis = u64::try_from(at.as_millisecond()).unwrap_or(0);
        Self(compose(millis << 12, 0))
    }

    /// The smallest id that is greater.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(Uuid::from_u128(self.0.as_u128().saturating_add(1)))
    }

    /// The delivery of this event at position `number`.
    pub const fn delivery(self, number: u16) -> DeliveryId {
        DeliveryId {
            event: self,
            number,
        }
    }
}

impl Mint {
    /// A new id for `now`; `random` fills the 62 bits that keep relays apart.
    pub fn event(&self, now: Timestamp, random: u64) -> EventId {
        let wanted = u64::try_from(now.as_millisecond()).unwrap_or(0) << 12;
        let previous = self
            .last
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
                Some(wanted.max(last + 1))
            })
            .expect("the update always has a value");
        EventId(compose(wanted.max(previous + 1), random))
    }
}

/// Lays a time (48 bits) with a counter (12 bits) and randomness out as a version 7 UUID.
fn compose(time: u64, random: u64) -> Uuid {
    let (millis, counter) = (u128::from(time >> 12), u128::from(time & 0xfff));
    let (version, variant) = (7_u128, 0b10_u128);
    let layout =
        millis << 80 | version << 76 | counter << 64 | variant << 62 | u128::from(random >> 2);
    Uuid::from_u128(layout)
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{EVENT_PREFIX}{}", self.0.simple())
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{DELIVERY_PREFIX}{}_{}",
            self.event.0.simple(),
            self.number
        )
    }
}

impl FromStr for EventId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        text.strip_prefix(EVENT_PREFIX)
            .and_then(simple_uuid)
            .map(Self)
            .ok_or_else(|| BadId {
                text: text.chars().take(80).collect(),
                kind: "event",
                example: "evt_0198c6d2e0a07000b3a1c2d3e4f50617",
            })
    }
}

impl FromStr for DeliveryId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let parse = || {
            let (uuid, number) = text.strip_prefix(DELIVERY_PREFIX)?.split_once('_')?;
            let event = EventId(simple_uuid(uuid)?);
            let canonical = number.bytes().all(|b| b.is_ascii_digit());
            canonical.then(|| number.parse().ok().map(|n| event.delivery(n)))?
        };
        parse().ok_or_else(|| BadId {
            text: text.chars().take(80).collect(),
            kind: "delivery",
            example: "dlv_0198c6d2e0a07000b3a1c2d3e4f50617_0",
        })
    }
}

fn simple_uuid(text: &str) -> Option<Uuid> {
    let simple = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    simple.then(|| Uuid::try_parse(text).ok())?
}

macro_rules! as_text {
    ($id:ty, $name:literal, $pattern:expr) => {
        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl Serialize for $id {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $id {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?
                    .parse()
                    .map_err(serde::de::Error::custom)
            }
        }
        impl JsonSchema for $id {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    };
}
as_text!(EventId, "EventId", "^evt_[0-9a-f]{32}$");
as_text!(
    DeliveryId,
    "DeliveryId",
    format!("^dlv_[0-9a-f]{{32}}_{NUMBER}$")
);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(millis).expect("in range")
    }

    #[test]
    fn ids_sort_by_time_and_never_go_backwards() {
        let mint = Mint::default();
        let first = mint.event(at(1_000), u64::MAX);
        let same_millisecond = mint.event(at(1_000), 0);
        let clock_went_back = mint.event(at(10), 7);
        let later = mint.event(at(2_000), 0);
        assert!(
            first < same_millisecond
                && same_millisecond < clock_went_back
                && clock_went_back < later
        );
    }

    #[test]
    fn an_id_is_a_version_7_uuid_of_its_millisecond() {
        let id = Mint::default().event(at(1_645_557_742_000), 0x0123_4567_89ab_cdef);
        assert_eq!(id.0.get_version_num(), 7);
        assert_eq!(id.0.get_variant(), uuid::Variant::RFC4122);
        let (secs, nanos) =
            id.0.get_timestamp()
                .expect("version 7 has a time")
                .to_unix();
        assert_eq!((secs, nanos), (1_645_557_742, 0));
        assert!(EventId::first_at(at(1_645_557_742_000)) <= id);
        assert!(EventId::first_at(at(1_645_557_742_001)) > id);
    }

    #[test]
    fn ids_survive_being_written_and_read() {
        let event = Mint::default().event(at(1_645_557_742_000), 99);
        assert_eq!(event.to_string().parse(), Ok(event));
        let delivery = event.delivery(12);
        assert_eq!(delivery.to_string().parse(), Ok(delivery));
        for wrong in [
            "",
            "evt_",
            "evt_zz",
            "dlv_0198c6d2e0a07000b3a1c2d3e4f50617",
            "dlv_0198c6d2e0a07000b3a1c2d3e4f50617_+1",
        ] {
            assert!(wrong.parse::<DeliveryId>().is_err(), "{wrong}");
            assert!(wrong.parse::<EventId>().is_err(), "{wrong}");
        }
    }
}
