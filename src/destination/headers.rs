//! The headers that an operator writes. They may add to the relay's own or replace its content type
//! and user agent, never what receivers rely on; and no value can start another header.

use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::{ConfigText, Fault};
use crate::expr::FieldPath;
use crate::template::{Scope, Template};

/// Compiled headers.
#[derive(Debug)]
pub(super) struct Headers {
    fixed: HeaderMap,
    templates: Vec<Written>,
}

#[derive(Debug)]
struct Written {
    key: String,
    name: HeaderName,
    value: Template,
}

impl Headers {
    pub(super) fn compile(written: &[(String, ConfigText)]) -> Result<Self, Vec<Fault>> {
        let mut headers = Self {
            fixed: HeaderMap::new(),
            templates: Vec::new(),
        };
        let mut faults = Vec::new();
        for (name, value) in written {
            let key = format!("headers.{name}");
            if let Err(fault) = headers.add(key, name, value) {
                faults.push(fault);
            }
        }
        if faults.is_empty() {
            Ok(headers)
        } else {
            Err(faults)
        }
    }

    fn add(&mut self, key: String, name: &str, value: &ConfigText) -> Result<(), Fault> {
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else {
            return Err(Fault::new(key, "not a header name"));
        };
        if is_reserved(&name) {
            let hint = "it is set by the relay; choose another name";
            return Err(Fault::new(key, format!("`{name}` cannot be set here")).hint(hint));
        }
        let again = self.templates.iter().any(|other| other.name == name);
        if again || self.fixed.contains_key(&name) {
            return Err(Fault::new(key, format!("`{name}` is set twice")));
        }
        let value = match value {
            ConfigText::Secret(secret) => {
                let text = secret.expose().trim();
                let mut value = header_value(text).map_err(|problem| Fault::new(key, problem))?;
                value.set_sensitive(true);
                value
            }
            ConfigText::Template(text) => {
                let value =
                    Template::text(text).map_err(|bad| Fault::template(key.clone(), bad))?;
                let Some(literal) = value.literal() else {
                    self.templates.push(Written { key, name, value });
                    return Ok(());
                };
                header_value(literal.trim()).map_err(|problem| Fault::new(key, problem))?
            }
        };
        self.fixed.insert(name, value);
        Ok(())
    }

    /// Puts the headers over those in `headers`. One whose template renders to nothing is left out.
    pub(super) fn render(&self, scope: &Scope, headers: &mut HeaderMap) -> Result<(), String> {
        for (name, value) in &self.fixed {
            headers.insert(name, value.clone());
        }
        for Written { key, name, value } in &self.templates {
            let text = value.render(scope).map_err(|why| why.at(key))?;
            let text = text.trim_matches([' ', '\t']);
            if text.is_empty() {
                continue;
            }
            let value = header_value(text).map_err(|problem| {
                let reads: Vec<String> = value.reads().iter().map(|path| path.join(".")).collect();
                format!("{key}: {problem} (it reads {})", reads.join(", "))
            })?;
            headers.insert(name, value);
        }
        Ok(())
    }

    /// No header needs a scope.
    pub(super) fn is_fixed(&self) -> bool {
        self.templates.is_empty()
    }

    pub(super) fn reads(&self) -> Vec<(&str, &FieldPath)> {
        let each = |written| {
            let Written { key, value, .. }: &Written = written;
            value.reads().iter().map(|path| (key.as_str(), path))
        };
        self.templates.iter().flat_map(each).collect()
    }
}

/// What receivers rely on, and what belongs to the connection.
fn is_reserved(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("webhook-")
        || name.starts_with("relay-")
        || matches!(
            name,
            "host"
                | "content-length"
                | "transfer-encoding"
                | "connection"
                | "keep-alive"
                | "te"
                | "trailer"
                | "upgrade"
                | "expect"
                | "proxy-connection"
                | "proxy-authorization"
        )
}

fn header_value(text: &str) -> Result<HeaderValue, &'static str> {
    if text.contains(char::is_control) {
        return Err("control characters and line breaks cannot stand in a header");
    }
    HeaderValue::from_bytes(text.as_bytes()).map_err(|_| "not a header value")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Secret;
    use proptest::prelude::*;
    use serde_json::json;

    fn template(text: &str) -> ConfigText {
        ConfigText::Template(text.to_owned())
    }

    fn render(written: &[(&str, &str)], id: &str) -> Result<HeaderMap, String> {
        let written: Vec<_> = written
            .iter()
            .map(|(name, text)| ((*name).to_owned(), template(text)))
            .collect();
        let headers = Headers::compile(&written).unwrap();
        let result = json!({ "id": id });
        let scope = Scope::new(&[("result", &result)], |_, _| true);
        let mut all = HeaderMap::new();
        all.insert("user-agent", HeaderValue::from_static("own"));
        headers.render(&scope, &mut all).map(|()| all)
    }

    #[test]
    fn headers_are_added_replaced_or_left_out() {
        let written = [
            ("X-Id", "id={{ result.id }}"),
            ("User-Agent", "mine"),
            ("X-None", "{{ result.nope }}"),
        ];
        let all = render(&written, "žluť 1").unwrap();
        assert_eq!(all["x-id"].as_bytes(), "id=žluť 1".as_bytes());
        assert_eq!(all["user-agent"], "mine");
        assert!(!all.contains_key("x-none"));
    }

    #[test]
    fn what_receivers_rely_on_cannot_be_set() {
        for name in [
            "webhook-id",
            "Webhook-Signature",
            "relay-attempt",
            "Host",
            "content-length",
            "Transfer-Encoding",
            "bad name",
            "connection",
        ] {
            assert!(
                Headers::compile(&[(name.to_owned(), template("x"))]).is_err(),
                "{name}"
            );
        }
        let twice = [
            ("X-A".to_owned(), template("1")),
            ("x-a".to_owned(), template("{{ result.id }}")),
        ];
        assert_eq!(Headers::compile(&twice).unwrap_err()[0].key, "headers.x-a");
    }

    #[test]
    fn a_secret_header_is_sensitive_and_is_not_quoted_where_it_is_wrong() {
        let secret = |text| {
            [(
                "Authorization".to_owned(),
                ConfigText::Secret(Secret::new(text)),
            )]
        };
        let headers = Headers::compile(&secret("Bearer {{ x }}\n")).unwrap();
        assert!(headers.fixed["authorization"].is_sensitive());
        let faults = Headers::compile(&secret("canary\r\nX-Evil: 1")).unwrap_err();
        assert!(!format!("{faults:?}").contains("canary"));
    }

    proptest! {
        #[test]
        fn a_value_never_becomes_another_header(id in r"(\PC|\r|\n|\t|\x00|: |X-Evil){0,20}") {
            match render(&[("X-Id", "{{ result.id }}")], &id) {
                Ok(all) => {
                    prop_assert!(all.len() <= 2);
                    if let Some(value) = all.get("x-id") {
                        prop_assert!(!value.as_bytes().iter().any(|byte| *byte < 32 || *byte == 127));
                    }
                }
                Err(reason) => prop_assert_eq!(reason, "headers.X-Id: control characters and line breaks cannot stand in a header (it reads result.id)"),
            }
        }
    }
}
