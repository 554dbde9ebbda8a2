//! Secret references: plain text, `{ env = "NAME" }` or `{ file = "PATH" }`. No finding here ever
//! shows a value.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use serde_json::Value;
use zeroize::Zeroizing;

use super::Secrets;
use super::form;
use super::locate::index;
use super::reading::{Reading, Table};
use super::schema::SECRET;
use crate::model::Secret;
use crate::store::KEY_BYTES;

const FORMS: &str = "write { env = \"NAME\" } or { file = \"/run/secrets/name\" }";

/// What a secret is for: decides what is well formed, and what stands in for it where none is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Travels in an HTTP header as it is.
    Token,
    /// `user:password`.
    Basic,
    /// A key for HMACs: any text.
    Key,
    /// Standard Webhooks: base64, usually after `whsec_`.
    Webhook,
    /// 32 bytes that payloads are sealed by, in base64 or hex.
    Seal,
    /// An http or https URL.
    Url,
    /// A proxy's URL.
    Proxy,
    /// A store's.
    Store,
}

impl Kind {
    fn placeholder(self) -> &'static str {
        match self {
            Self::Token | Self::Key => "placeholder",
            Self::Basic => "user:placeholder",
            Self::Webhook => "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            Self::Seal => "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            Self::Url => "https://secret.invalid/",
            Self::Proxy => "http://secret.invalid:3128",
            Self::Store => "postgres://secret.invalid/relay",
        }
    }

    /// Why a value cannot be one of this kind, in words that do not tell the value.
    fn fault(self, value: &str) -> Option<&'static str> {
        match self {
            Self::Token => {
                let fits = HeaderValue::from_str(value).is_ok() && value.trim() == value;
                (!fits).then_some("has line breaks or outer spaces, which no HTTP header carries")
            }
            Self::Basic => (!value.contains(':')).then_some("does not hold user:password"),
            // Of a store's URL more can be said than that it is none.
            Self::Key | Self::Store => None,
            Self::Webhook => {
                let key = value.strip_prefix("whsec_").unwrap_or(value);
                let sound = STANDARD.decode(key).is_ok_and(|key| !key.is_empty());
                (!sound).then_some("does not hold base64, with or without whsec_ before it")
            }
            Self::Seal => seal_key(value)
                .is_none()
                .then_some("does not hold 32 bytes in base64 or hex"),
            Self::Url => url_fault(value, &["http", "https"]),
            Self::Proxy => url_fault(value, &["http", "https", "socks5", "socks5h"]),
        }
    }
}

/// The key that a text holds. No text of 64 hex digits is 32 bytes in base64.
pub(super) fn seal_key(text: &str) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let bytes = hex::decode(text).or_else(|_| STANDARD.decode(text)).ok()?;
    let bytes = Zeroizing::new(bytes);
    Some(Zeroizing::new(bytes.as_slice().try_into().ok()?))
}

fn url_fault(value: &str, schemes: &[&str]) -> Option<&'static str> {
    let sound = url::Url::parse(value)
        .is_ok_and(|url| schemes.contains(&url.scheme()) && url.host().is_some());
    (!sound).then_some("does not hold a URL that can be called")
}

impl Table<'_> {
    /// One secret; None where it is missing or, with a finding, wrong.
    pub(super) fn secret(&self, key: &str, kind: Kind) -> Option<Secret> {
        self.reading.secret(&self.at(key), self.value(key)?, kind)
    }

    /// A list of one or more secrets.
    pub(super) fn secrets(&self, key: &str, kind: Kind) -> Option<Vec<Secret>> {
        if !self.has(key) {
            self.missing(key, format!("write {key} = [{{ env = \"NAME\" }}]"));
        }
        let items = self.items(key, "{ env = \"NAME\" }")?;
        if items.is_empty() {
            self.error(key, "there is no secret in it", FORMS);
        }
        let read = items.iter().enumerate().filter_map(|(at, item)| {
            let path = index(&self.at(key), at);
            self.reading.secret(&path, item, kind)
        });
        Some(read.collect())
    }
}

impl<'a> Reading<'a> {
    /// The secret that `value` is or refers to.
    pub(super) fn secret(&'a self, key: &str, value: &'a Value, kind: Kind) -> Option<Secret> {
        match value {
            Value::String(text) => self.plain(key, text, kind),
            Value::Object(_) => self.reference(key, value, kind),
            _ => {
                let problem = "expected a secret: text or a reference";
                self.report(self.locator.error(key, problem).hint(FORMS));
                None
            }
        }
    }

    /// Reports `text` if someone hoped that a variable would be filled into it.
    pub(super) fn refuse_substitution(&self, key: &str, text: &str) -> bool {
        let name = form::substitution(text);
        if name.is_none() && !text.contains("${") {
            return false;
        }
        let hint = match name {
            Some(name) if text == format!("${name}") || text == format!("${{{name}}}") => {
                format!("write {{ env = \"{name}\" }} instead")
            }
            _ => "put the whole value into a variable and write { env = \"NAME\" }".to_owned(),
        };
        let problem = "`$…` is never filled in: it would be sent as it stands";
        self.report(self.locator.error(key, problem).hint(hint));
        true
    }

    /// Reports a credential that stands in the file itself.
    pub(super) fn warn_of_plain_text(&self, key: &str) {
        if !self.locator.overlaid(key) {
            self.report(
                self.locator
                    .warning(key, "secret in plain text")
                    .hint(FORMS),
            );
        }
    }

    fn plain(&self, key: &str, text: &str, kind: Kind) -> Option<Secret> {
        if self.refuse_substitution(key, text) {
            return None;
        }
        let secret = self.sound(key, "the value", text, kind)?;
        self.warn_of_plain_text(key);
        Some(secret)
    }

    fn reference(&'a self, key: &str, value: &'a Value, kind: Kind) -> Option<Secret> {
        let table = self.table(key.to_owned(), value, &SECRET)?;
        let name = table.leaf("env", form::TEXT);
        let path = table.leaf("file", form::TEXT);
        if table.has("env") == table.has("file") {
            let problem = "a reference has either `env` or `file`";
            self.report(self.locator.error(key, problem).hint(FORMS));
            return None;
        }
        if name.as_deref().is_some_and(|name| !form::is_variable(name)) {
            // Not shown: somebody may have put the secret itself here.
            let problem = "`env` takes the name of an environment variable";
            self.report(self.locator.error(key, problem).hint(FORMS));
            return None;
        }
        if self.secrets == Secrets::Skip {
            return Some(Secret::new(kind.placeholder()));
        }
        if let Some(name) = name {
            let whose = format!("the environment variable {name}");
            let Some(value) = self.environment.get(name.as_str()) else {
                let problem = format!("{whose} is not set");
                let hint = format!("set {name} where the relay runs");
                self.report(self.locator.error(key, problem).hint(hint));
                return None;
            };
            return self.sound(key, &whose, value, kind);
        }
        let path = path?;
        self.depends_on(&path);
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let text = text.trim_end_matches(['\n', '\r']);
                self.sound(key, &format!("the file {path}"), text, kind)
            }
            Err(error) => {
                let problem = format!("cannot read {path}: {}", form::why(&error));
                let hint = "the file must be there and readable by the relay's user";
                self.report(self.locator.error(key, problem).hint(hint));
                None
            }
        }
    }

    fn sound(&self, key: &str, whose: &str, value: &str, kind: Kind) -> Option<Secret> {
        let fault = if value.is_empty() {
            Some("is empty")
        } else {
            kind.fault(value)
        };
        if let Some(fault) = fault {
            let hint = match kind {
                Kind::Webhook => "write whsec_ and the base64 of 24 or more random bytes",
                Kind::Seal => {
                    "make one with `openssl rand -base64 32`, and keep it apart from the store and its backups"
                }
                Kind::Basic => "write the user, a colon and the password",
                Kind::Url | Kind::Proxy => "a URL looks like https://host/path",
                Kind::Token | Kind::Key | Kind::Store => "put the secret, and nothing else, there",
            };
            self.report(
                self.locator
                    .error(key, format!("{whose} {fault}"))
                    .hint(hint),
            );
            return None;
        }
        Some(Secret::new(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_well_formed_for_their_kind() {
        for kind in [
            Kind::Token,
            Kind::Basic,
            Kind::Key,
            Kind::Webhook,
            Kind::Seal,
            Kind::Url,
            Kind::Proxy,
            Kind::Store,
        ] {
            assert_eq!(kind.fault(kind.placeholder()), None, "{kind:?}");
        }
    }

    #[test]
    fn a_key_is_the_same_in_base64_and_in_hex() {
        let base64 = seal_key("q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=").expect("a key");
        assert_eq!(*base64, [0xab; 32]);
        assert_eq!(*seal_key(&"ab".repeat(32)).expect("a key"), *base64);
        assert_eq!(*seal_key(&"AB".repeat(32)).expect("a key"), *base64);
    }

    #[test]
    fn a_malformed_secret_is_refused() {
        assert!(Kind::Token.fault("two\nlines").is_some());
        assert!(Kind::Token.fault(" outer").is_some());
        assert!(Kind::Basic.fault("password-only").is_some());
        assert!(Kind::Webhook.fault("whsec_not base64").is_some());
        for text in [
            "AAAA",
            "0123456789abcdef",
            "not base64",
            &"0".repeat(63),
            &"z".repeat(64),
        ] {
            assert!(Kind::Seal.fault(text).is_some(), "{text}");
        }
        assert!(Kind::Url.fault("ftp://host/").is_some());
        assert!(Kind::Url.fault("not a url").is_some());
    }
}
