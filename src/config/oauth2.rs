//! `auth.oauth2` of a destination: a client whose token each request carries.

use std::sync::Arc;

use serde_json::{Map, Value};
use url::Url;

use super::form;
use super::reading::Table;
use super::schema;
use super::secret::Kind as SecretKind;
use crate::destination::Oauth2;
use crate::transport::Connection;

/// None where there is none or, with a finding, a wrong one.
pub(super) fn oauth2(table: &Table<'_>, connection: &Arc<Connection>) -> Option<Oauth2> {
    if !table.has("auth") {
        return None;
    }
    let auth = table.table("auth", &schema::DESTINATION_AUTH)?;
    if !auth.has("oauth2") {
        auth.missing(
            "oauth2",
            "write auth = { oauth2 = { client_id = …, client_secret = … } }",
        );
        return None;
    }
    let oauth2 = auth.table("oauth2", &schema::OAUTH2)?;
    let secret = |key: &str| {
        if !oauth2.has(key) {
            oauth2.missing(key, format!("write {key} = {{ env = \"NAME\" }}"));
        }
        oauth2.secret(key, SecretKind::Key)
    };
    let (client_id, client_secret) = (secret("client_id"), secret("client_secret"));
    let token_url = token_url(&oauth2);
    let params = params(&oauth2, table.value("with").and_then(Value::as_object));
    if table.has("api_key") {
        table.error(
            "api_key",
            "`auth` and `api_key` would both go into a header",
            "keep one of them",
        );
        return None;
    }
    Some(Oauth2 {
        token_url: token_url?,
        client_id: client_id?,
        client_secret: client_secret?,
        params: params?,
        connection: connection.clone(),
    })
}

fn token_url(table: &Table<'_>) -> Option<Url> {
    let text = table.required("token_url", form::TEXT)?;
    let sound = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.host().is_some()
            && url.username().is_empty()
            && url.password().is_none()
    };
    let url = Url::parse(&text).ok().filter(sound);
    if url.is_none() {
        table.error(
            "token_url",
            "expected a URL with http or https, and without a user",
            "write \"https://auth.example.com/token\"",
        );
    }
    url
}

/// Fields of the form. One that is `{{ with.name }}` takes that value, and is left out where there is none.
fn params(table: &Table<'_>, with: Option<&Map<String, Value>>) -> Option<Vec<(String, String)>> {
    let mut params = Vec::new();
    for (name, value) in table.free_values("params").unwrap_or_default() {
        let Some(text) = value.as_str() else {
            table.error(
                &format!("params.{name}"),
                "expected text",
                "write scope = \"notes:write\"",
            );
            return None;
        };
        let inner = text
            .trim()
            .strip_prefix("{{")
            .and_then(|rest| rest.strip_suffix("}}"));
        let own = inner.and_then(|inner| inner.trim().strip_prefix("with."));
        let value = match own {
            None => Some(text.to_owned()),
            Some(own) => with
                .and_then(|with| with.get(own))
                .and_then(|value| match value {
                    Value::Null => None,
                    Value::String(text) => Some(text.clone()),
                    other => Some(other.to_string()),
                }),
        };
        params.extend(value.map(|value| (name, value)));
    }
    Some(params)
}
