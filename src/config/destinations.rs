//! `[destinations.*]`, as far as it concerns requests and responses. Templates and response rules
//! stay texts: the destination compiles them.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use serde_json::Value;

use super::form::{self, DURATION, POINTER, SWITCH};
use super::layers::merge;
use super::locate::{self, Locator, join};
use super::oauth2;
use super::presets::Presets;
use super::reading::Table;
use super::requests;
use super::schema;
use super::secret::Kind as SecretKind;
use super::settle;
use super::url_text::{self, Flaw};
use crate::destination::{BodyFormat, ConfigText, Order, Revisions, Settings};
use crate::model::Secret;
use crate::transport::{Connection, Proxy};

/// Longest time that one attempt may take.
const LONGEST_TIMEOUT: Duration = Duration::from_mins(5);

/// A destination's own keys over its preset's over the defaults.
pub(super) fn layered(defaults: &Value, presets: &Presets, own: &Value) -> Value {
    if !own.is_object() {
        return own.clone();
    }
    let preset = own.get("preset").and_then(Value::as_str);
    merge(&[defaults, &presets.keys(preset.unwrap_or_default()), own])
}

/// Reads the destination `name`.
pub(super) fn destination(table: &Table<'_>, name: &str) -> Option<Settings> {
    table.reading.check_name(&table.path, name);
    let preset = preset_name(table);
    if table.has("preset") && preset.is_none() {
        // Without it everything that it would have brought seems to be missing.
        return None;
    }
    let request = requests::request(table);
    let headers = headers(table);
    let key = requests::api_key(table);
    let sign = sign(table);
    let settle = settle::settle(table);
    let timeout = timeout(table);
    let traceparent = traceparent(table, preset.as_deref());
    let connection = connection(table);
    let (order, revisions) = succession(table);
    let require = require(table);
    let with = table.free_values("with");
    let texts = texts(table);
    let [blocked, rejected, retry, accepted, warned] = rules(table);
    let receipt = table.leaf("receipt", POINTER);
    let connection = Arc::new(connection?);
    let oauth2 = oauth2::oauth2(table, &connection);
    if let Some(preset) = &preset {
        requests::needs(table, preset);
    }
    let requests::Request {
        url,
        method,
        body,
        in_create,
        update,
    } = request?;
    let vendor_rate = preset
        .as_ref()
        .and_then(|preset| table.reading.presets.vendor_rate(preset));
    let settings = Settings {
        name: name.into(),
        preset,
        vendor_rate,
        url,
        method,
        body,
        in_create,
        update,
        headers: headers?,
        key,
        oauth2,
        sign: sign?,
        timeout: timeout?,
        traceparent: traceparent?,
        connection,
        order: order?,
        revisions: revisions?,
        settle,
        require: require?,
        with: with?,
        texts,
        accepted_when: accepted,
        rejected_when: rejected,
        blocked_when: blocked,
        retry_when: retry,
        warned_when: warned,
        receipt,
    };
    warn_of_clear_text(table, &settings);
    Some(settings)
}

fn timeout(table: &Table<'_>) -> Option<Duration> {
    let within = |time: &Duration| !time.is_zero() && *time <= LONGEST_TIMEOUT;
    let limits = "more than nothing and at most 5 minutes";
    table.limited("timeout", DURATION, within, limits)
}

/// A vendor has no business with the operator's traces.
fn traceparent(table: &Table<'_>, preset: Option<&str>) -> Option<bool> {
    let wanted = table.leaf("traceparent", SWITCH)?;
    let presets = table.reading.presets;
    if wanted && let Some(preset) = preset.filter(|name| presets.is_of_a_vendor(name)) {
        table.error(
            "traceparent",
            format!("the host of the preset \"{preset}\" is not your own"),
            "take it out: traces go on at hosts of your own only",
        );
    }
    Some(wanted)
}

/// What answers mean, as texts: blocked, rejected, retry, accepted, warned.
fn rules(table: &Table<'_>) -> [Option<String>; 5] {
    [
        "blocked_when",
        "rejected_when",
        "retry_when",
        "accepted_when",
        "warned_when",
    ]
    .map(|key| table.leaf(key, form::TEXT))
}

/// How the revisions of a subject follow each other.
fn succession(table: &Table<'_>) -> (Option<Order>, Option<Revisions>) {
    let order = table.choice(
        "order",
        &[("subject", Order::Subject), ("none", Order::None)],
    );
    let revisions = table.choice(
        "revisions",
        &[("all", Revisions::All), ("latest", Revisions::Latest)],
    );
    (order, revisions)
}

fn preset_name(table: &Table<'_>) -> Option<String> {
    let name = table.leaf("preset", form::TEXT)?;
    let presets = table.reading.presets;
    if presets.has(&name) {
        return Some(name);
    }
    let problem = format!("there is no preset \"{}\"", name.escape_debug());
    table.error("preset", problem, presets.suggest(&name));
    None
}

pub(super) fn url(table: &Table<'_>) -> Option<ConfigText> {
    let Some(value) = table.value("url") else {
        table.missing(
            "url",
            "write url = \"https://host/path\", or { env = \"NAME\" } where the URL is a secret",
        );
        return None;
    };
    let key = table.at("url");
    let reading = table.reading;
    let Some(text) = value.as_str() else {
        let secret = reading.secret(&key, value, SecretKind::Url)?;
        if url_text::flaw(secret.expose()) == Some(Flaw::UserInfo) {
            refuse_user_info(table, "url");
        }
        return Some(ConfigText::Secret(secret));
    };
    if reading.refuse_substitution(&key, text) {
        return None;
    }
    match url_text::flaw(text) {
        Some(Flaw::UserInfo) => {
            refuse_user_info(table, "url");
            None
        }
        Some(Flaw::Scheme) => {
            // The text is not shown: a mistyped URL may still hold a credential.
            table.error(
                "url",
                "expected a URL with http or https",
                "write \"https://host/path\"",
            );
            None
        }
        None if url_text::is_credential(text)
            || is_the_key(table)
            || url_text::has_credential(text) =>
        {
            reading.warn_of_plain_text(&key);
            Some(ConfigText::Secret(Secret::new(text)))
        }
        None => Some(ConfigText::Template(text.to_owned())),
    }
}

/// A preset that needs a URL and nothing else: whoever has it can post.
fn is_the_key(table: &Table<'_>) -> bool {
    let preset = table.value("preset").and_then(Value::as_str);
    preset.is_some_and(|preset| table.reading.presets.needs(preset) == ["url"])
}

/// Credentials over http, where it leaves this machine.
fn warn_of_clear_text(table: &Table<'_>, settings: &Settings) {
    let (url, is_secret) = match &settings.url {
        ConfigText::Template(text) => (text.as_str(), false),
        ConfigText::Secret(secret) => (secret.expose(), true),
    };
    let in_headers = |(_, text): &(String, ConfigText)| matches!(text, ConfigText::Secret(_));
    let has_secrets = is_secret
        || settings.key.is_some()
        || settings.oauth2.is_some()
        || settings.headers.iter().any(in_headers);
    if has_secrets && url_text::is_in_clear(url) {
        let key = if table.has("base_url") {
            "base_url"
        } else {
            "url"
        };
        let problem = "credentials would travel in clear text";
        table.warn(key, problem, "write https:// where the receiver can");
    }
}

fn refuse_user_info(table: &Table<'_>, key: &str) {
    table.error(
        key,
        "a user or password in a URL is not sent",
        "write headers = { Authorization = { env = \"NAME\" } } instead",
    );
}

pub(super) fn method(table: &Table<'_>) -> Option<String> {
    const METHODS: [&str; 5] = ["POST", "PUT", "PATCH", "DELETE", "GET"];
    table
        .choice("method", &METHODS.map(|method| (method, method)))
        .map(str::to_owned)
}

/// Headers in the order written. Plain credentials are kept as secrets: they must not be shown.
fn headers(table: &Table<'_>) -> Option<Vec<(String, ConfigText)>> {
    let path = table.at("headers");
    let reading = table.reading;
    let headers = reading.free_table(path.clone(), table.value("headers")?)?;
    let mut named: Vec<(&String, &Value)> = headers.iter().collect();
    named.sort_by_key(|(name, _)| reading.locator.offset(&join(&path, name)));
    let mut read = Vec::with_capacity(named.len());
    for (name, value) in named {
        let key = join(&path, name);
        if name.parse::<HeaderName>().is_err() {
            let problem = "this cannot be the name of an HTTP header";
            reading.report(
                reading
                    .locator
                    .error(&key, problem)
                    .hint("such as X-Api-Key"),
            );
        }
        read.extend(header_text(table, &key, name, value).map(|text| (name.clone(), text)));
    }
    Some(read)
}

fn header_text(table: &Table<'_>, key: &str, name: &str, value: &Value) -> Option<ConfigText> {
    let reading = table.reading;
    let Some(text) = value.as_str() else {
        return reading
            .secret(key, value, SecretKind::Token)
            .map(ConfigText::Secret);
    };
    if reading.refuse_substitution(key, text) {
        return None;
    }
    if is_credential_header(name) && !text.contains("{{") && reading.locator.written(key) {
        reading.warn_of_plain_text(key);
        return Some(ConfigText::Secret(Secret::new(text)));
    }
    Some(ConfigText::Template(text.to_owned()))
}

fn is_credential_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [
        "authorization",
        "cookie",
        "token",
        "secret",
        "api-key",
        "apikey",
        "password",
    ]
    .iter()
    .any(|word| name.contains(word))
}

/// One of `format`, `body`, `body_text`. What the operator wrote hides what the preset says.
pub(super) fn body(table: &Table<'_>) -> Option<BodyFormat> {
    const KEYS: [&str; 3] = ["body", "body_text", "format"];
    let written: Vec<&str> = KEYS.into_iter().filter(|key| table.written(key)).collect();
    let key = match written[..] {
        [] => *KEYS.iter().find(|key| table.has(key))?,
        [key] => key,
        _ => {
            let problem = format!("the body is said several times: {}", written.join(", "));
            table.error(written[0], problem, "keep one of them");
            return None;
        }
    };
    match key {
        "body" => structured(table).map(BodyFormat::Structured),
        "body_text" => table.leaf(key, form::TEXT).map(BodyFormat::Text),
        _ => table
            .choice(key, &[("raw", 0), ("envelope", 1), ("cloudevents", 2)])
            .map(|choice| match choice {
                0 => BodyFormat::Raw,
                1 => BodyFormat::Envelope,
                _ => BodyFormat::CloudEvents,
            }),
    }
}

fn structured(table: &Table<'_>) -> Option<Value> {
    let value = table.value("body")?;
    if !value.is_object() {
        table.error(
            "body",
            "expected a table",
            "write body = { text = \"{{ result.score }}\" }, or body_text for one template",
        );
        return None;
    }
    let locator: &Locator = table.reading.locator;
    Some(locator.restore_order(value.clone(), &table.at("body")))
}

fn sign(table: &Table<'_>) -> Option<Vec<Secret>> {
    if !table.has("sign") {
        return Some(Vec::new());
    }
    table
        .table("sign", &schema::SIGN)?
        .secrets("secrets", SecretKind::Webhook)
}

fn require(table: &Table<'_>) -> Option<Vec<String>> {
    let fields = table.list("require", form::TEXT)?;
    for (at, field) in fields.iter().enumerate() {
        let below = field.strip_prefix("result.");
        if !below.is_some_and(|path| path.split('.').all(|part| !part.is_empty())) {
            table.error(
                &locate::index("require", at),
                format!("\"{}\" is no field of the result", field.escape_debug()),
                "write \"result.candidate_external_id\"",
            );
        }
    }
    Some(fields)
}

/// Named templates, in the order of their names.
fn texts(table: &Table<'_>) -> Vec<(String, String)> {
    let mut read = Vec::new();
    for (name, value) in table.free_values("texts").unwrap_or_default() {
        let key = format!("texts.{name}");
        match value {
            Value::String(text) => read.push((name, text)),
            _ => table.error(
                &key,
                "expected a template",
                "write note = \"Score {{ result.score }}\"",
            ),
        }
    }
    read
}

fn connection(table: &Table<'_>) -> Option<Connection> {
    let (proxy, allow_private) = (proxy(table), table.leaf("allow_private", SWITCH));
    let Some(tls) = table.table("tls", &schema::TLS) else {
        return Some(Connection {
            proxy: proxy?,
            allow_private: allow_private?,
            ..Connection::default()
        });
    };
    if tls.has("cert") != tls.has("key") {
        let missing = if tls.has("cert") { "key" } else { "cert" };
        tls.missing(missing, "a client certificate needs both `cert` and `key`");
    }
    let (ca, cert, key) = (tls.file("ca"), tls.file("cert"), tls.file("key"));
    Some(Connection {
        ca,
        identity: cert.zip(key),
        proxy: proxy?,
        allow_private: allow_private?,
    })
}

fn proxy(table: &Table<'_>) -> Option<Proxy> {
    let value = table.value("proxy")?;
    let key = table.at("proxy");
    match value.as_str() {
        Some("none") => Some(Proxy::Direct),
        Some("environment") => Some(Proxy::Environment),
        Some(text) if table.reading.refuse_substitution(&key, text) => None,
        Some(text) => {
            if url_text::flaw(text) == Some(Flaw::UserInfo) {
                table.reading.warn_of_plain_text(&key);
            }
            if url_text::is_proxy(text) {
                return Some(Proxy::Url(Secret::new(text)));
            }
            table.error(
                "proxy",
                "expected the URL of a proxy",
                "write \"http://proxy:3128\", \"socks5://proxy:1080\", \"environment\" or \"none\"",
            );
            None
        }
        None => {
            let secret = table.reading.secret(&key, value, SecretKind::Proxy)?;
            Some(Proxy::Url(secret))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_preset_lies_over_its_base_and_the_defaults_and_under_the_operators_keys() {
        let merged = layered(
            &json!({"timeout": "15s", "concurrency": 8, "with": {"a": 1}}),
            &Presets::built_in(),
            &json!({"preset": "lever", "with": {"labels": {"score": "Points"}}}),
        );
        let check = |pointer: &str, expect: Value| {
            assert_eq!(merged.pointer(pointer), Some(&expect), "{pointer}");
        };
        check("/concurrency", json!(8));
        check("/timeout", json!("30s"));
        check("/api_key_in", json!("basic"));
        check("/with/a", json!(1));
        check("/with/labels/score", json!("Points"));
        check("/with/labels/decision", json!("Decision"));
        assert_eq!((merged.get("about"), merged.get("base")), (None, None));
    }
}
