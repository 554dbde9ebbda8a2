//! An API key on its way: where vendors want it, and that it is shown nowhere.

use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::model::Secret;

/// A destination's `api_key` and `api_key_in`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    pub secret: Secret,
    pub place: KeyPlace,
}

/// Where a key travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPlace {
    /// `Authorization: Bearer KEY` (RFC 6750).
    Bearer,
    /// `Authorization: Basic …` with the key as the user (RFC 7617).
    Basic { password: String },
    /// A header of the vendor's own, after `prefix`.
    Header { name: HeaderName, prefix: String },
    /// A query parameter. URLs are never shown, so neither is the key.
    Query { name: String },
}

/// A text that names no place for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected \"bearer\", \"basic\", \"basic:PASSWORD\", \"header:NAME\", \"header:NAME:PREFIX\" or \"query:NAME\""
)]
pub struct BadPlace;

impl FromStr for KeyPlace {
    type Err = BadPlace;

    fn from_str(text: &str) -> Result<Self, BadPlace> {
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        match (kind, rest) {
            ("bearer", "") => Ok(Self::Bearer),
            ("basic", password) => Ok(Self::Basic {
                password: password.to_owned(),
            }),
            ("query", name) if !name.is_empty() => Ok(Self::Query {
                name: name.to_owned(),
            }),
            ("header", rest) => {
                let (name, prefix) = rest.split_once(':').unwrap_or((rest, ""));
                let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| BadPlace)?;
                Ok(Self::Header {
                    name,
                    prefix: prefix.to_owned(),
                })
            }
            _ => Err(BadPlace),
        }
    }
}

impl ApiKey {
    /// Puts the key into a request. An error does not quote it.
    pub(super) fn apply(&self, headers: &mut HeaderMap, url: &mut Url) -> Result<(), String> {
        let key = self.secret.expose().trim();
        let (name, value) = match &self.place {
            KeyPlace::Query { name } => {
                url.query_pairs_mut().append_pair(name, key);
                return Ok(());
            }
            KeyPlace::Bearer => (AUTHORIZATION, format!("Bearer {key}")),
            KeyPlace::Basic { password } => (
                AUTHORIZATION,
                format!("Basic {}", STANDARD.encode(format!("{key}:{password}"))),
            ),
            KeyPlace::Header { name, prefix } => (name.clone(), format!("{prefix}{key}")),
        };
        let mut value = HeaderValue::from_str(&value)
            .map_err(|_| "api_key: no header can carry it".to_owned())?;
        value.set_sensitive(true);
        headers.insert(name, value);
        Ok(())
    }

    /// The texts that a receiver could echo.
    pub(super) fn forms(&self) -> Vec<String> {
        let key = self.secret.expose().trim().to_owned();
        match &self.place {
            KeyPlace::Basic { password } => vec![STANDARD.encode(format!("{key}:{password}")), key],
            KeyPlace::Bearer | KeyPlace::Header { .. } | KeyPlace::Query { .. } => vec![key],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(place: &str) -> (HeaderMap, Url) {
        let key = ApiKey {
            secret: Secret::new("k&y"),
            place: place.parse().unwrap(),
        };
        let (mut headers, mut url) = (
            HeaderMap::new(),
            Url::parse("https://ats.test/notes?a=1").unwrap(),
        );
        key.apply(&mut headers, &mut url).unwrap();
        (headers, url)
    }

    #[test]
    fn a_key_goes_where_the_vendor_wants_it_and_is_sensitive() {
        let header = |place: &str, name: &str| {
            let (headers, _) = applied(place);
            assert!(headers[name].is_sensitive());
            headers[name].to_str().unwrap().to_owned()
        };
        assert_eq!(header("bearer", "authorization"), "Bearer k&y");
        assert_eq!(
            header("basic", "authorization"),
            format!("Basic {}", STANDARD.encode("k&y:"))
        );
        assert_eq!(
            header("basic:x", "authorization"),
            format!("Basic {}", STANDARD.encode("k&y:x"))
        );
        assert_eq!(header("header:X-SmartToken", "x-smarttoken"), "k&y");
        assert_eq!(
            header("header:Authorization:Token token=", "authorization"),
            "Token token=k&y"
        );
        assert_eq!(
            applied("query:apikey").1.as_str(),
            "https://ats.test/notes?a=1&apikey=k%26y"
        );
    }

    #[test]
    fn other_places_are_refused() {
        for text in [
            "",
            "cookie",
            "header",
            "header:",
            "header:a b",
            "query",
            "bearer:x",
        ] {
            assert!(text.parse::<KeyPlace>().is_err(), "{text}");
        }
    }
}
