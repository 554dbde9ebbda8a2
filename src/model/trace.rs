//! A place in a trace that others began or go on with: the W3C `traceparent`.

use std::fmt;

/// Which span of which trace, and whether that trace is recorded. Version 00.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    pub trace: [u8; 16],
    pub span: [u8; 8],
    pub sampled: bool,
}

impl TraceParent {
    /// Reads a header's value; None where it is none that may be followed.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let [version, trace, span, flags] = std::array::from_fn(|_| parts.next().unwrap_or(""));
        let more = parts.next().is_some();
        let version = bytes::<1>(version)?[0];
        // A later version may say more; what is known of it is read as 00.
        if version == 0xff || (version == 0 && more) {
            return None;
        }
        let found = Self {
            trace: bytes(trace)?,
            span: bytes(span)?,
            sampled: bytes::<1>(flags)?[0] & 1 == 1,
        };
        (found.trace != [0; 16] && found.span != [0; 8]).then_some(found)
    }

    /// As it is kept: trace, span, flags.
    pub fn to_bytes(self) -> [u8; 25] {
        let mut kept = [0; 25];
        kept[..16].copy_from_slice(&self.trace);
        kept[16..24].copy_from_slice(&self.span);
        kept[24] = u8::from(self.sampled);
        kept
    }

    /// Reads what [`Self::to_bytes`] made.
    pub fn from_bytes(kept: &[u8]) -> Option<Self> {
        let kept: [u8; 25] = kept.try_into().ok()?;
        Some(Self {
            trace: kept[..16].try_into().ok()?,
            span: kept[16..24].try_into().ok()?,
            sampled: kept[24] & 1 == 1,
        })
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trace, span) = (hex::encode(self.trace), hex::encode(self.span));
        write!(f, "00-{trace}-{span}-{:02x}", u8::from(self.sampled))
    }
}

/// Lower case alone, as the standard has it.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    let mut found = [0; N];
    hex::decode_to_slice(text, &mut found).ok()?;
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_is_read_is_written_and_kept_the_same() {
        for text in [GOOD, &GOOD.replace("-01", "-00")] {
            let found = TraceParent::parse(text).expect("it is sound");
            assert_eq!(found.to_string(), text);
            assert_eq!(TraceParent::from_bytes(&found.to_bytes()), Some(found));
        }
        assert_eq!(TraceParent::from_bytes(b"short"), None);
    }

    #[test]
    fn what_is_not_sound_is_not_followed() {
        for text in [
            "",
            "00",
            GOOD.trim_end_matches('1'),
            &GOOD.to_uppercase(),
            &GOOD.replace("00-0af", "ff-0af"),
            &GOOD.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &GOOD.replace("b7ad6b7169203331", &"0".repeat(16)),
            &format!("{GOOD}-more"),
            &GOOD.replace('7', "ž"),
        ] {
            assert_eq!(TraceParent::parse(text), None, "{text}");
        }
        let later = format!("{}-more", GOOD.replace("00-0af", "01-0af"));
        assert!(TraceParent::parse(&later).is_some());
    }
}
