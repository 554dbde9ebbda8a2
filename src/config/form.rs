//! The forms that values take: durations, sizes, rates, addresses. Each knows how to read itself and
//! what to say when it cannot.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use bytesize::ByteSize;
use http::HeaderName;
use ipnet::IpNet;
use serde_json::Value;

use crate::model::Rate;

/// How a value is written.
pub(super) struct Form<T> {
    /// What it is, for "expected …".
    pub(super) what: &'static str,
    /// Right ones, for "write …".
    pub(super) example: &'static str,
    pub(super) read: fn(&Value) -> Option<T>,
}

impl<T> Clone for Form<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Form<T> {}

pub(super) const TEXT: Form<String> = Form {
    what: "text",
    example: "\"…\"",
    read: |value| {
        value
            .as_str()
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    },
};

/// Text that may be empty, such as a prefix.
pub(super) const ANY_TEXT: Form<String> = Form {
    what: "text",
    example: "\"…\"",
    read: |value| value.as_str().map(str::to_owned),
};

pub(super) const SWITCH: Form<bool> = Form {
    what: "true or false",
    example: "true or false, without quotes",
    read: Value::as_bool,
};

pub(super) const COUNT: Form<NonZeroU32> = Form {
    what: "a whole number of at least 1",
    example: "a number such as 8, without quotes",
    read: |value| NonZeroU32::new(value.as_u64()?.try_into().ok()?),
};

pub(super) const NUMBER: Form<f64> = Form {
    what: "a number",
    example: "a number such as 0.1 or 4, without quotes",
    read: Value::as_f64,
};

pub(super) const DURATION: Form<Duration> = Form {
    what: "a duration",
    example: "\"250ms\", \"15s\", \"2h\" or \"7d\"",
    read: |value| humantime::parse_duration(value.as_str()?).ok(),
};

pub(super) const SIZE: Form<u64> = Form {
    what: "a size",
    example: "\"256 KiB\" or \"1 MiB\"",
    read: |value| Some(value.as_str()?.parse::<ByteSize>().ok()?.as_u64()),
};

/// A rate, or `"none"` to take a preset's away.
pub(super) const RATE: Form<Option<Rate>> = Form {
    what: "a rate",
    example: "\"1/s\", \"50/10s\" or \"600/min\", or \"none\"",
    read: |value| match value.as_str()? {
        "none" => Some(None),
        text => text.parse().ok().map(Some),
    },
};

pub(super) const ADDRESS: Form<SocketAddr> = Form {
    what: "an IP address and a port",
    example: "\"127.0.0.1:8080\" or \"[::]:8080\"",
    read: |value| value.as_str()?.parse().ok(),
};

pub(super) const NETWORK: Form<IpNet> = Form {
    what: "an address or a network",
    example: "\"203.0.113.7\" or \"203.0.113.0/24\"",
    read: |value| {
        let text = value.as_str()?;
        let single = |address: IpAddr| IpNet::from(address);
        text.parse().or_else(|_| text.parse().map(single)).ok()
    },
};

pub(super) const HEADER: Form<HeaderName> = Form {
    what: "the name of an HTTP header",
    example: "\"X-Relay-Token\"",
    read: |value| value.as_str()?.parse().ok(),
};

pub(super) const POINTER: Form<String> = Form {
    what: "a JSON pointer",
    example: "\"/event\" or \"/data/id\"",
    read: |value| {
        value
            .as_str()
            .filter(|text| is_pointer(text))
            .map(str::to_owned)
    },
};

/// RFC 6901, without the empty pointer: that is the whole body, which is no text.
fn is_pointer(text: &str) -> bool {
    let mut escapes = text.split('~').skip(1);
    text.starts_with('/') && escapes.all(|rest| rest.starts_with(['0', '1']))
}

/// A value as a finding shows it. Never for a secret, a header or a URL.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => "empty text".to_owned(),
        Value::String(text) => {
            let short: String = text.chars().take(40).collect();
            let more = if short.len() < text.len() { "…" } else { "" };
            format!("\"{}{more}\"", short.escape_debug())
        }
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a table".to_owned(),
        Value::Null => "no finite number".to_owned(),
        other => other.to_string(),
    }
}

/// The same where a table or a list belongs: many hold secrets, and a text in such a place may be one.
pub(super) fn shown_without_text(value: &Value) -> String {
    match value {
        Value::String(_) => "text".to_owned(),
        other => shown(other),
    }
}

/// The variable that someone expected to be filled in: `NAME` of `${NAME}` anywhere, or of `$NAME`
/// as the whole text. Nothing here ever fills one in.
pub(super) fn substitution(text: &str) -> Option<&str> {
    let braced = text
        .split("${")
        .skip(1)
        .filter_map(|rest| rest.split_once('}'))
        .map(|(name, _)| name);
    let whole = text.strip_prefix('$').filter(|name| {
        name.bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
    });
    // The part before `:-` is the name in the shell's form with a fallback.
    braced
        .chain(whole)
        .map(|name| name.split(':').next().unwrap_or(name))
        .find(|name| is_variable(name))
}

/// What to do where `${…}` was hoped for in a key that takes no secret.
pub(super) fn instead_of_substitution(key: &str) -> String {
    const HERE: &str = "nothing is filled in here: write the value itself";
    let variable = key.replace('.', "__").replace('-', "_").to_uppercase();
    if key.starts_with("routes") || key.contains('[') || !is_variable(&variable) {
        return HERE.to_owned();
    }
    format!("{HERE}, or set RELAY_{variable}")
}

/// Why a file cannot be read.
pub(super) fn why(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        kind => kind.to_string(),
    }
}

/// What an environment variable may be called.
pub(super) fn is_variable(name: &str) -> bool {
    let mut bytes = name.bytes();
    let starts = bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    starts && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_form_reads_what_its_example_says() {
        assert_eq!(
            (DURATION.read)(&json!("250ms")),
            Some(Duration::from_millis(250))
        );
        assert_eq!(
            (DURATION.read)(&json!("7d")),
            Some(Duration::from_hours(168))
        );
        assert_eq!((DURATION.read)(&json!(15)), None);
        assert_eq!((SIZE.read)(&json!("1 MiB")), Some(1 << 20));
        assert_eq!((SIZE.read)(&json!("256KiB")), Some(256 << 10));
        assert_eq!((SIZE.read)(&json!("a lot")), None);
        assert_eq!((RATE.read)(&json!("none")), Some(None));
        assert_eq!((RATE.read)(&json!("fast")), None);
        assert!((ADDRESS.read)(&json!("[::]:8080")).is_some());
        assert_eq!((ADDRESS.read)(&json!("127.0.0.1:70000")), None);
        assert_eq!((ADDRESS.read)(&json!("localhost:8080")), None);
        let single = (NETWORK.read)(&json!("203.0.113.7")).expect("an address");
        assert_eq!(single.prefix_len(), 32);
        assert_eq!((NETWORK.read)(&json!("203.0.113.0/33")), None);
        assert!((POINTER.read)(&json!("/a~1b/0")).is_some());
        assert_eq!((POINTER.read)(&json!("/a~b")), None);
        assert_eq!((POINTER.read)(&json!("event")), None);
        assert_eq!((COUNT.read)(&json!(0)), None);
        assert_eq!((COUNT.read)(&json!(1.5)), None);
    }

    #[test]
    fn a_substitution_is_seen_and_a_template_or_a_price_is_not() {
        assert_eq!(
            substitution("https://x/${SLACK_PATH}/y"),
            Some("SLACK_PATH")
        );
        assert_eq!(substitution("${TOKEN:-none}"), Some("TOKEN"));
        assert_eq!(substitution("$TOKEN"), Some("TOKEN"));
        assert_eq!(substitution("costs ${{ with.price }}"), None);
        assert_eq!(substitution("$5"), None);
        assert_eq!(substitution("it costs $FIVE"), None);
    }
}
