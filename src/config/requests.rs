//! A destination's request: a `url` of the operator's own, or a preset's `base_url` and `create`.

use serde_json::{Map, Value};

use super::destinations::{body, method, url};
use super::form;
use super::reading::Table;
use super::schema;
use super::secret::Kind as SecretKind;
use super::url_text;
use crate::destination::{ApiKey, BodyFormat, ConfigText, KeyPlace, Update};

/// What is sent, and where to.
pub(super) struct Request {
    pub(super) url: ConfigText,
    pub(super) method: String,
    pub(super) body: BodyFormat,
    /// The request stands under `create`.
    pub(super) in_create: bool,
    pub(super) update: Option<Update>,
}

/// Reads `url`, `method` and the body; or puts them together from `base_url`, `create` and `update`.
pub(super) fn request(table: &Table<'_>) -> Option<Request> {
    if table.has("url") || !table.has("base_url") {
        if table.written("update") {
            table.error(
                "update",
                "an update needs a base_url: a receipt belongs to its host",
                "write base_url and create = { path = … } in place of url",
            );
        }
        let (url, method, body) = (url(table), method(table), body(table));
        return Some(Request {
            url: url?,
            method: method?,
            body: body?,
            in_create: false,
            update: None,
        });
    }
    let base = base_url(table);
    if !table.has("create") {
        table.missing(
            "create",
            "base_url is only the host: write create = { path = \"/notes\", body = { … } }",
        );
    }
    let create = table.table("create", &schema::REQUEST);
    let create = create.and_then(|create| below(table, &create, base.as_deref()));
    let update = if table.has("update") {
        Some(update(table, base.as_deref())?)
    } else {
        None
    };
    let (url, method, body) = create?;
    Some(Request {
        url,
        method,
        body,
        in_create: true,
        update,
    })
}

/// A request below `base_url`. What it leaves out is the destination's.
fn below(
    table: &Table<'_>,
    request: &Table<'_>,
    base: Option<&str>,
) -> Option<(ConfigText, String, BodyFormat)> {
    let path = request.required("path", form::TEXT);
    let method = if request.has("method") {
        method(request)
    } else {
        method(table)
    };
    let own_body = ["body", "body_text", "format"]
        .iter()
        .any(|key| table.written(key));
    let body = if own_body || !(request.has("body") || request.has("body_text")) {
        body(table)
    } else {
        body(request)
    };
    let path = path?;
    if !path.starts_with('/') {
        request.error(
            "path",
            "expected a path",
            "write one that starts with a slash, such as \"/v1/notes\"",
        );
        return None;
    }
    let url = ConfigText::Template(format!("{}{path}", base?.trim_end_matches('/')));
    Some((url, method?, body?))
}

fn update(table: &Table<'_>, base: Option<&str>) -> Option<Update> {
    let update = table.table("update", &schema::UPDATE)?;
    let gone_when = update.leaf("gone_when", form::TEXT);
    if table.value("order").and_then(Value::as_str) == Some("none") {
        let key = if table.written("order") {
            "order"
        } else {
            "update"
        };
        table.error(
            key,
            "with order = \"none\" two revisions could change one thing at once",
            "write order = \"subject\", or take update out",
        );
    }
    if !table.has("receipt") {
        table.missing(
            "receipt",
            "an update finds the thing by what creating it gave back: write receipt = \"/id\"",
        );
    }
    let (url, method, body) = below(table, &update, base)?;
    Some(Update {
        url,
        method,
        body,
        gone_when,
    })
}

/// Scheme and host. `{{ with.name }}` in it is filled in now: a host never comes from a payload.
fn base_url(table: &Table<'_>) -> Option<String> {
    let text = table.leaf("base_url", form::TEXT)?;
    let with = table.value("with").and_then(Value::as_object);
    let filled = fill(table, &text, with)?;
    let parsed = url::Url::parse(&filled).ok();
    let sound = parsed.is_some_and(|url| {
        url.host().is_some() && matches!(url.path(), "/") && url.query().is_none()
    });
    if !sound || url_text::flaw(&filled).is_some() {
        table.error(
            "base_url",
            "expected scheme and host alone",
            "write \"https://api.example.com\"",
        );
        return None;
    }
    Some(filled)
}

fn fill(table: &Table<'_>, text: &str, with: Option<&Map<String, Value>>) -> Option<String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let tag = after.split_once("}}");
        let own = tag.and_then(|(tag, after)| Some((tag.trim().strip_prefix("with.")?, after)));
        let Some((name, after)) = own else {
            table.error(
                "base_url",
                "only {{ with.NAME }} can be filled in: scheme, host and port never come from a payload",
                "write \"https://api.example.com\"",
            );
            return None;
        };
        let value = with
            .and_then(|with| with.get(name))
            .and_then(Value::as_str)
            .unwrap_or_default();
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if value.is_empty() || !value.bytes().all(fits) {
            let key = format!("with.{name}");
            let problem = format!("`{key}` is required: it is part of the host's name");
            table.error(
                &key,
                problem,
                format!("write {name} = \"your-company\" in with = {{ … }}: letters, digits and -"),
            );
            return None;
        }
        filled.push_str(before);
        filled.push_str(value);
        rest = after;
    }
    filled.push_str(rest);
    Some(filled)
}

/// The key and how it travels; None where there is none or, with a finding, a wrong one.
pub(super) fn api_key(table: &Table<'_>) -> Option<ApiKey> {
    if !table.has("api_key") {
        return None;
    }
    let place = table.leaf("api_key_in", form::TEXT);
    let secret = table.secret("api_key", SecretKind::Token);
    match place?.parse::<KeyPlace>() {
        Ok(place) => Some(ApiKey {
            secret: secret?,
            place,
        }),
        Err(bad) => {
            table.error(
                "api_key_in",
                bad.to_string(),
                "most vendors take \"bearer\"",
            );
            None
        }
    }
}

/// What the preset needs and nobody wrote.
pub(super) fn needs(table: &Table<'_>, preset: &str) {
    for key in table.reading.presets.needs(preset) {
        let mut parts = key.split('.');
        let first = parts.next().and_then(|part| table.value(part));
        let found = parts.fold(first, |found, part| found?.get(part));
        let there = found.is_some_and(|value| !value.is_null());
        if !there && !table.reading.has_error(&table.at(&key)) {
            let problem = format!("the preset `{preset}` needs `{key}`");
            table.error(
                &key,
                problem,
                format!("`relay presets {preset}` tells what for"),
            );
        }
    }
}
