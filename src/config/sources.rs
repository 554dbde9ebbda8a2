//! `[sources.*]`: who sends, how they prove it, how their bodies are read.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::form::{self, DURATION, Form, HEADER, NETWORK, POINTER, RATE, shown};
use super::reading::Table;
use super::routes::warn_of_unknown_fields;
use super::schema;
use super::secret::Kind as SecretKind;
use crate::model::Secret;
use crate::source::{Auth, Encoding, Kind, Pick, Source};

/// Longest event type, in bytes: it travels in a header.
const TYPE_BYTES: usize = 128;

/// The ways of `auth` that are tables: the key that tells one.
const WAYS: &[&str] = &[
    "header",
    "bearer",
    "basic",
    "hmac_sha256",
    "standard_webhooks",
];

/// What a generic source's type or subject is picked by.
const PICKED: Form<String> = Form {
    example: "\"/event\", { header = \"X-Event\" } or { fixed = \"order.paid\" }",
    ..POINTER
};

/// Reads the source `name`. `exposed`: others than this machine can reach it.
pub(super) fn source(table: &Table<'_>, name: &str, exposed: bool) -> Option<Source> {
    table.reading.check_name(&table.path, name);
    let kind = kind(table);
    let auth = auth(table, exposed);
    let allow_ips = table.list("allow_ips", NETWORK);
    let rate_limit = table.leaf("rate_limit", RATE);
    let ignore = table.list("ignore", form::TEXT);
    if let (Some(Kind::Jobmojito), Some(fields)) = (&kind, &ignore) {
        warn_of_unknown_fields(table, "ignore", fields);
    }
    let minimise = table.leaf("minimise", form::SWITCH);
    let silent_after = longer(table, "silent_after");
    let stuck_after = longer(table, "stuck_after");
    if matches!(kind, Some(Kind::Generic { .. })) && table.has("stuck_after") {
        table.error(
            "stuck_after",
            "only interviews are known to be collected first and submitted later",
            "take it out, or write kind = \"jobmojito\"",
        );
    }
    Some(Source {
        name: name.into(),
        kind: kind?,
        auth: auth?,
        allow_ips: allow_ips?,
        rate_limit: rate_limit?,
        ignore: BTreeSet::from_iter(ignore?),
        minimise: minimise?,
        silent_after,
        stuck_after,
    })
}

/// A time after which somebody is told: looked at once a minute.
fn longer(table: &Table<'_>, key: &str) -> Option<Duration> {
    let within = |time: &Duration| *time >= Duration::from_mins(1);
    table.has(key).then_some(())?;
    table.limited(key, DURATION, within, "at least a minute")
}

fn kind(table: &Table<'_>) -> Option<Kind> {
    let generic = table.choice("kind", &[("jobmojito", false), ("generic", true)])?;
    if !generic {
        for key in ["type", "subject"] {
            if table.has(key) {
                table.error(
                    key,
                    "an interview result's type and subject are known",
                    format!("take it out, or write kind = \"generic\" if {key} is to be picked"),
                );
            }
        }
        return Some(Kind::Jobmojito);
    }
    if !table.has("type") {
        table.missing("type", format!("write type = {}", PICKED.example));
    }
    let event_type = pick(table, "type");
    let subject = pick(table, "subject");
    if let Some(Pick::Fixed(text)) = &event_type
        && !is_event_type(text)
    {
        table.error(
            "type",
            format!(
                "{} cannot be an event type",
                shown(&Value::from(text.as_str()))
            ),
            "a type has 1 to 128 visible ASCII characters, such as \"order.paid\"",
        );
        return None;
    }
    Some(Kind::Generic {
        event_type: event_type?,
        subject,
    })
}

fn is_event_type(text: &str) -> bool {
    (1..=TYPE_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn pick(table: &Table<'_>, key: &str) -> Option<Pick> {
    let value = table.value(key)?;
    if value.is_string() {
        return table.leaf(key, PICKED).map(Pick::Pointer);
    }
    let below = table.table(key, &schema::PICK)?;
    match (below.has("header"), below.has("fixed")) {
        (true, false) => below.leaf("header", HEADER).map(Pick::Header),
        (false, true) => below.leaf("fixed", form::TEXT).map(Pick::Fixed),
        _ => {
            table.error(
                key,
                "expected a pointer, or either `header` or `fixed`",
                format!("write {key} = {}", PICKED.example),
            );
            None
        }
    }
}

fn auth(table: &Table<'_>, exposed: bool) -> Option<Auth> {
    let Some(value) = table.value("auth") else {
        table.error(
            "auth",
            "auth is required",
            "write auth = { header = \"X-Relay-Token\", secrets = [{ env = \"NAME\" }] }; \
             write auth = \"none\" to say that anybody may send",
        );
        return None;
    };
    match value {
        Value::String(word) if word == "none" => {
            if exposed {
                table.warn(
                    "auth",
                    "anybody who can reach server.listen may send",
                    "give the sender a secret, or listen on 127.0.0.1",
                );
            }
            Some(Auth::None)
        }
        Value::Object(_) => {
            let auth = table.table("auth", &schema::AUTH)?;
            way(table, &auth)
        }
        _ => {
            // Not shown: somebody may have put the secret itself here.
            table.error("auth", "expected \"none\" or a table", listed());
            None
        }
    }
}

fn listed() -> String {
    format!(
        "write \"none\", or a table with one of {}; the shipped relay.toml shows each",
        WAYS.join(", ")
    )
}

fn way(source: &Table<'_>, auth: &Table<'_>) -> Option<Auth> {
    let found: Vec<&str> = WAYS.iter().copied().filter(|key| auth.has(key)).collect();
    let [key] = found[..] else {
        let problem = match found[..] {
            [] => "it names no way of proving who sends".to_owned(),
            _ => format!("it names several ways: {}", found.join(", ")),
        };
        source.error("auth", problem, listed());
        return None;
    };
    if auth.has("secrets") && key != "header" {
        auth.error(
            "secrets",
            format!("it belongs to `header`, not to `{key}`"),
            format!("write the secrets into {key} itself"),
        );
    }
    match key {
        "header" => header(auth),
        "bearer" => auth.secrets(key, SecretKind::Token).map(Auth::Bearer),
        "basic" => auth.secrets(key, SecretKind::Basic).map(Auth::Basic),
        "hmac_sha256" => hmac(&auth.table(key, &schema::HMAC)?),
        _ => auth
            .secrets(key, SecretKind::Webhook)
            .map(Auth::StandardWebhooks),
    }
}

fn header(auth: &Table<'_>) -> Option<Auth> {
    let header = auth.leaf("header", HEADER);
    let secrets = auth.secrets("secrets", SecretKind::Token);
    Some(Auth::Header {
        header: header?,
        secrets: secrets?,
    })
}

fn hmac(auth: &Table<'_>) -> Option<Auth> {
    let header = auth.required("header", HEADER);
    let secrets: Option<Vec<Secret>> = auth.secrets("secrets", SecretKind::Key);
    let encodings = [("hex", Encoding::Hex), ("base64", Encoding::Base64)];
    let encoding = auth.choice("encoding", &encodings);
    let prefix = auth.leaf("prefix", form::ANY_TEXT);
    Some(Auth::HmacSha256 {
        header: header?,
        secrets: secrets?,
        encoding: encoding.unwrap_or_default(),
        prefix: prefix.unwrap_or_default(),
    })
}
