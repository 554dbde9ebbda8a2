//! What a destination says and hears: renders a delivery as a request, judges the answer. No I/O.

mod address;
mod body;
mod fault;
mod headers;
mod judge;
mod key;
pub mod preset;
mod render;
mod retry_after;
mod scrub;
mod settings;
mod show;
mod sign;
mod texts;
mod words;

#[cfg(test)]
mod tests;

pub use fault::Fault;
pub use judge::Judgement;
pub use key::{ApiKey, BadPlace, KeyPlace};
pub use render::{Job, Unsendable};
pub use retry_after::retry_after;
pub use settings::{BodyFormat, ConfigText, Order, Revisions, Settings};
pub use show::Shown;

use std::collections::BTreeSet;

use http::Method;
use jiff::Timestamp;
use serde_json::Value;

use crate::expr::FieldPath;
use crate::model::Name;
use crate::transport::{Answer, Failure};
use address::Address;
use body::Body;
use headers::Headers;
use judge::Rules;
use scrub::Scrubber;
use sign::Signer;
use texts::Texts;

/// A destination, ready for work: everything that can be wrong with its settings has been checked.
#[derive(Debug)]
pub struct Destination {
    settings: Settings,
    method: Method,
    address: Address,
    headers: Headers,
    texts: Texts,
    body: Body,
    signer: Signer,
    /// Paths below the payload that must not be null.
    require: Vec<FieldPath>,
    rules: Rules,
    scrubber: Scrubber,
    has_templates: bool,
    /// Top-level payload fields that the templates read.
    template_fields: Fields,
}

/// Which top-level fields of a payload are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fields {
    All,
    Only(BTreeSet<String>),
}

/// A field that a template reads, and where that template stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Path below the destination, such as `body.text`.
    pub key: String,
    /// `["result", "score"]`; a root alone means all of it.
    pub path: FieldPath,
}

impl Destination {
    /// Checks and compiles settings; answers everything that is wrong with them at once.
    pub fn compile(settings: Settings) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let method = keep(method(&settings.method), &mut faults);
        let address = keep(
            Address::compile(&settings.url).map_err(|fault| vec![fault]),
            &mut faults,
        );
        let headers = keep(Headers::compile(&settings.headers), &mut faults);
        let texts = keep(Texts::compile(&settings.texts), &mut faults);
        let body = keep(Body::compile(&settings.body), &mut faults);
        let signer = keep(Signer::compile(&settings.sign), &mut faults);
        let require = keep(required_paths(&settings.require), &mut faults);
        let origin = address.as_ref().map_or_else(String::new, Address::origin);
        let rules = keep(Rules::compile(&settings, &origin), &mut faults);
        let scrubber = Scrubber::new(&settings);
        let (Some(method), Some(address), Some(headers), Some(body)) =
            (method, address, headers, body)
        else {
            return Err(faults);
        };
        let (Some(signer), Some(require), Some(rules), Some(texts)) =
            (signer, require, rules, texts)
        else {
            return Err(faults);
        };
        let has_templates = !address.is_fixed()
            || !headers.is_fixed()
            || matches!(body, Body::Structured(_) | Body::Text(_));
        let mut destination = Self {
            settings,
            method,
            address,
            headers,
            texts,
            body,
            signer,
            require,
            rules,
            scrubber,
            has_templates,
            template_fields: Fields::All,
        };
        destination.template_fields = payload_fields(&destination.reads());
        let unknown = destination.unknown_texts();
        if !unknown.is_empty() {
            return Err(unknown);
        }
        Ok(destination)
    }

    fn unknown_texts(&self) -> Vec<Fault> {
        let known = |name: &str| self.settings.texts.iter().any(|(text, _)| text == name);
        let used = self
            .reads()
            .into_iter()
            .filter(|read| read.path[0] == "texts");
        let unknown = used.filter(|read| !read.path.get(1).is_some_and(|name| known(name)));
        unknown
            .map(|read| {
                let hint =
                    "write it as a template: texts = { note = \"Score {{ result.score }}\" }";
                Fault::new(
                    read.key,
                    format!("there is no text `{}`", read.path.join(".")),
                )
                .hint(hint)
            })
            .collect()
    }

    /// What `reply` means, judged at `now`. [`Judgement`] says what each part is for.
    pub fn judge(&self, reply: &Result<Answer, Failure>, now: Timestamp) -> Judgement {
        self.rules.judge(reply, now, &self.scrubber)
    }

    /// The first required field that is null in `result`, such as `result.candidate_external_id`.
    pub fn required(&self, result: &Value) -> Result<(), String> {
        let missing = self.require.iter().find(|path| {
            let found = path.iter().try_fold(result, |value, key| value.get(key));
            found.is_none_or(Value::is_null)
        });
        match missing {
            Some(path) => Err(format!("result.{}", path.join("."))),
            None => Ok(()),
        }
    }

    /// Every field that a template of this destination reads.
    pub fn reads(&self) -> Vec<Read> {
        let address = self.address.reads().into_iter().map(|path| ("url", path));
        let texts = self.texts.reads();
        let found = address
            .chain(self.headers.reads())
            .chain(texts)
            .chain(self.body.reads());
        found
            .map(|(key, path)| Read {
                key: key.to_owned(),
                path: path.clone(),
            })
            .collect()
    }

    /// The top-level payload fields that this destination sends on or looks at.
    pub fn fields(&self) -> Fields {
        if self.body.is_whole() {
            return Fields::All;
        }
        let mut fields = self.template_fields.clone();
        if let Fields::Only(fields) = &mut fields {
            fields.extend(self.require.iter().filter_map(|path| path.first().cloned()));
        }
        fields
    }

    /// Whether rendering looks into the payload, or only passes it on.
    pub fn reads_payload(&self) -> bool {
        self.has_templates || !self.require.is_empty()
    }

    pub fn name(&self) -> &Name {
        &self.settings.name
    }

    pub fn order(&self) -> Order {
        self.settings.order
    }

    pub fn revisions(&self) -> Revisions {
        self.settings.revisions
    }

    /// The settings that it was compiled from.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
}

fn keep<T>(result: Result<T, Vec<Fault>>, faults: &mut Vec<Fault>) -> Option<T> {
    result.map_err(|found| faults.extend(found)).ok()
}

fn method(text: &str) -> Result<Method, Vec<Fault>> {
    let hint = "use POST, PUT or PATCH";
    let is_word = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase());
    let method = Method::from_bytes(text.as_bytes()).ok().filter(|_| is_word);
    method
        .filter(|method| !matches!(*method, Method::CONNECT | Method::TRACE))
        .ok_or_else(|| vec![Fault::new("method", "not a method that can be sent").hint(hint)])
}

fn required_paths(require: &[String]) -> Result<Vec<FieldPath>, Vec<Fault>> {
    let mut paths = Vec::with_capacity(require.len());
    let mut faults = Vec::new();
    for (at, text) in require.iter().enumerate() {
        let path: FieldPath = text.split('.').map(str::to_owned).collect();
        match path.as_slice() {
            [root, fields @ ..]
                if root == "result" && !fields.is_empty() && !path.contains(&String::new()) =>
            {
                paths.push(fields.to_vec());
            }
            _ => faults.push(
                Fault::new(format!("require[{at}]"), "not a field of the payload")
                    .hint("write one like \"result.candidate_external_id\""),
            ),
        }
    }
    if faults.is_empty() {
        Ok(paths)
    } else {
        Err(faults)
    }
}

/// Fields below `result` and `previous`; all of them where one of the two is read as a whole.
fn payload_fields(reads: &[Read]) -> Fields {
    let mut fields = BTreeSet::new();
    for read in reads {
        match read.path.as_slice() {
            [root] if matches!(root.as_str(), "result" | "previous") => return Fields::All,
            [root, field, ..] if matches!(root.as_str(), "result" | "previous") => {
                fields.insert(field.clone());
            }
            _ => {}
        }
    }
    Fields::Only(fields)
}
