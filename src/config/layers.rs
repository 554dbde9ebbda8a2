//! Lays defaults, presets, the file, the environment and flags over each other. Judges no value.

use figment::Figment;
use figment::providers::Serialized;
use serde_json::{Map, Value};

use super::finding::{Finding, Severity};
use super::locate::{self, Locator, join};

const PREFIX: &str = "RELAY_";

/// Merges tables, later ones over earlier ones. Tables in them merge too; anything else is replaced.
pub(super) fn merge(layers: &[&Value]) -> Value {
    layers
        .iter()
        .fold(Figment::new(), |under, over| {
            under.merge(Serialized::defaults(over))
        })
        .extract()
        .expect("layers are tables of plain values")
}

/// What the environment and the flags set: `{"server": {"listen": "…"}}`.
pub(super) struct Overlay<'a> {
    pub(super) values: Value,
    pub(super) findings: Vec<Finding>,
    file: &'a Value,
    locator: &'a mut Locator,
}

impl<'a> Overlay<'a> {
    /// An empty overlay over what the file says.
    pub(super) fn over(file: &'a Value, locator: &'a mut Locator) -> Self {
        Self {
            values: Value::Object(Map::new()),
            findings: Vec::new(),
            file,
            locator,
        }
    }

    /// Takes variables such as `RELAY_SERVER__LISTEN`. Without a double underscore a name is none of
    /// ours: `RELAY_ADMIN_TOKEN` is a secret that someone refers to, `RELAY_PORT` is Kubernetes'.
    pub(super) fn environment(&mut self, variables: &[(String, String)]) {
        let mut ours: Vec<(&str, &str, &str)> = variables
            .iter()
            .filter_map(|(name, value)| {
                let rest = name.strip_prefix(PREFIX)?;
                rest.contains("__")
                    .then_some((name.as_str(), rest, value.as_str()))
            })
            .collect();
        ours.sort_unstable();
        for (name, rest, value) in ours {
            let lower = rest.to_ascii_lowercase();
            let origin = format!("environment variable {name}");
            self.set(&lower.split("__").collect::<Vec<_>>(), value, &origin);
        }
    }

    /// Takes pairs of a dotted key and its value.
    pub(super) fn flags(&mut self, flags: &[(String, String)]) {
        for (key, value) in flags {
            self.set(&key.split('.').collect::<Vec<_>>(), value, "command line");
        }
    }

    fn set(&mut self, segments: &[&str], text: &str, origin: &str) {
        let keys = self.spelled_as_in_the_file(segments);
        let lists = ["routes", "tests"];
        if let Some(list) = keys.first().filter(|key| lists.contains(&key.as_str())) {
            self.findings.push(Finding {
                severity: Severity::Error,
                file: origin.to_owned(),
                line: None,
                key: keys.join("."),
                problem: format!("{list} can only be set in the file"),
                hint: Some("they are a list, and their order counts".to_owned()),
            });
            return;
        }
        let value = structured(text).unwrap_or_else(|| Value::String(text.to_owned()));
        note_origin(self.locator, &keys.join("."), &value, origin);
        let nested = keys.iter().rev().fold(value, |inner, key| {
            Value::Object(Map::from_iter([(key.clone(), inner)]))
        });
        self.values = merge(&[&self.values, &nested]);
    }

    /// Variable names know neither dashes nor lower case: `HR_APP` means `hr-app` where the file has
    /// that and no `hr_app`.
    fn spelled_as_in_the_file(&self, segments: &[&str]) -> Vec<String> {
        let mut here = Some(self.file);
        let mut keys = Vec::with_capacity(segments.len());
        for segment in segments {
            let table = here.and_then(Value::as_object);
            let alike = table.and_then(|table| {
                let exact = table.keys().find(|key| key == segment);
                exact.or_else(|| {
                    table.keys().find(|key| {
                        key.replace('-', "_")
                            .eq_ignore_ascii_case(&segment.replace('-', "_"))
                    })
                })
            });
            let key = alike.map_or_else(|| (*segment).to_owned(), Clone::clone);
            here = table.and_then(|table| table.get(&key));
            keys.push(key);
        }
        keys
    }
}

/// A list or table written as TOML; None for plain text, which the key's own type then reads.
fn structured(text: &str) -> Option<Value> {
    let text = text.trim();
    let is_template = text.starts_with("{{");
    if is_template || !text.starts_with(['[', '{']) {
        return None;
    }
    locate::read_value(text)
}

fn note_origin(locator: &mut Locator, key: &str, value: &Value, origin: &str) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                note_origin(locator, &join(key, name), value, origin);
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                note_origin(locator, &locate::index(key, at), item, origin);
            }
            locator.overlay(key.to_owned(), origin);
        }
        _ => locator.overlay(key.to_owned(), origin),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn overlay(file: &Value, variables: &[(&str, &str)]) -> (Value, Vec<Finding>) {
        let mut locator = Locator::default();
        let mut overlay = Overlay::over(file, &mut locator);
        let variables: Vec<_> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        overlay.environment(&variables);
        (overlay.values, overlay.findings)
    }

    #[test]
    fn only_names_with_a_double_underscore_are_configuration() {
        let (values, findings) = overlay(
            &json!({}),
            &[
                ("RELAY_ADMIN_TOKEN", "x"),
                ("RELAY_PORT", "tcp://10.0.0.1:80"),
                ("PATH", "/bin"),
                ("RELAY_SERVER__LISTEN", "0.0.0.0:80"),
            ],
        );
        assert_eq!(values, json!({"server": {"listen": "0.0.0.0:80"}}));
        assert!(findings.is_empty());
    }

    #[test]
    fn lists_and_tables_are_toml_and_everything_else_is_text() {
        let (values, _) = overlay(
            &json!({}),
            &[
                ("RELAY_SOURCES__A__ALLOW_IPS", "[\"10.0.0.0/8\"]"),
                ("RELAY_SOURCES__A__AUTH", "{ bearer = [{ env = \"T\" }] }"),
                ("RELAY_DESTINATIONS__B__BODY_TEXT", "{{ result.id }}"),
                ("RELAY_DESTINATIONS__B__CONCURRENCY", "8"),
            ],
        );
        assert_eq!(
            values,
            json!({
                "sources": {"a": {"allow_ips": ["10.0.0.0/8"], "auth": {"bearer": [{"env": "T"}]}}},
                "destinations": {"b": {"body_text": "{{ result.id }}", "concurrency": "8"}},
            })
        );
    }

    #[test]
    fn a_name_with_dashes_is_found_in_the_file() {
        let file = json!({"destinations": {"hr-app": {"headers": {"X-Api-Key": "a"}}}});
        let (values, _) = overlay(
            &file,
            &[("RELAY_DESTINATIONS__HR_APP__HEADERS__X_API_KEY", "b")],
        );
        assert_eq!(
            values,
            json!({"destinations": {"hr-app": {"headers": {"X-Api-Key": "b"}}}})
        );
    }

    #[test]
    fn tables_merge_and_lists_are_replaced() {
        let merged = merge(&[
            &json!({"retry": {"first": "5s", "max": "6h"}, "require": ["a", "b"], "url": "x"}),
            &json!({"retry": {"first": "1s"}, "require": ["c"], "url": {"env": "U"}}),
        ]);
        assert_eq!(
            merged,
            json!({"retry": {"first": "1s", "max": "6h"}, "require": ["c"], "url": {"env": "U"}})
        );
    }
}
