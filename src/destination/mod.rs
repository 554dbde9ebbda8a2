//! What a destination says and hears: renders a delivery as a request, judges the answer. No I/O.

mod address;
mod body;
mod call;
mod fault;
mod headers;
mod identity;
mod judge;
mod key;
mod oauth2;
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

pub use call::Action;
pub use fault::Fault;
pub use judge::{Again, Judgement};
pub use key::{ApiKey, BadPlace, KeyPlace};
pub use oauth2::{Oauth2, Token};
pub use render::{Job, Unsendable};
pub use retry_after::retry_after;
pub use settings::{BodyFormat, ConfigText, Order, Revisions, Settings, Settle, Update};
pub use show::{PLACEHOLDER_HOST, Shown};

use std::collections::BTreeSet;
use std::ops::Deref;

use jiff::Timestamp;
use serde_json::Value;

use crate::expr::FieldPath;
use crate::model::Name;
use crate::store::Receipt;
use crate::transport::{Answer, Failure};
use call::Call;
use headers::Headers;
use judge::{Asked, Rules};
use scrub::Scrubber;
use sign::Signer;
use texts::Texts;

/// A destination, ready for work: everything that can be wrong with its settings has been checked.
#[derive(Debug)]
pub struct Destination {
    settings: Settings,
    create: Call,
    update: Option<Call>,
    headers: Headers,
    texts: Texts,
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
        let create = keep(Call::create(&settings), &mut faults);
        let update = settings.update.as_ref().map(Call::update).transpose();
        let update = keep(update, &mut faults);
        let headers = keep(Headers::compile(&settings.headers), &mut faults);
        let texts = keep(Texts::compile(&settings.texts), &mut faults);
        let signer = keep(Signer::compile(&settings.sign), &mut faults);
        let require = keep(required_paths(&settings.require), &mut faults);
        let origin = create.as_ref().map(|create| create.address.origin());
        let origin = origin.unwrap_or_default();
        let rules = keep(Rules::compile(&settings, &origin), &mut faults);
        let scrubber = Scrubber::new(&settings);
        let (Some(create), Some(update), Some(headers)) = (create, update, headers) else {
            return Err(faults);
        };
        let (Some(signer), Some(require), Some(rules), Some(texts)) =
            (signer, require, rules, texts)
        else {
            return Err(faults);
        };
        let has_templates = !headers.is_fixed()
            || create.has_templates()
            || update.as_ref().is_some_and(Call::has_templates);
        let mut destination = Self {
            settings,
            create,
            update,
            headers,
            texts,
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

    /// What `reply` to an `action` means, judged at `now`. [`Judgement`] says what each part is for.
    /// `token` is the one that was sent: it is not to be shown either.
    pub fn judge(
        &self,
        reply: &Result<Answer, Failure>,
        now: Timestamp,
        (action, token): (Action, Option<&Token>),
    ) -> Judgement {
        let with_token = token.map(|token| self.scrubber.with(token.secret.expose()));
        let scrubber = with_token.as_ref().unwrap_or(&self.scrubber);
        self.rules.judge(
            reply,
            &Asked {
                action,
                now,
                scrubber,
            },
        )
    }

    /// What an attempt does, given what this destination gave back for an earlier revision.
    pub fn action(&self, receipt: Option<&Receipt>) -> Action {
        let here = receipt.is_some_and(|receipt| receipt.scope == self.rules.receipt_scope);
        if here && self.update.is_some() {
            Action::Update
        } else {
            Action::Create
        }
    }

    /// What it was sent of a subject before decides what it is sent next.
    pub fn looks_back(&self) -> bool {
        self.revisions() == Revisions::Latest || self.updates()
    }

    /// Later revisions change what an earlier one made.
    pub fn updates(&self) -> bool {
        self.update.is_some()
    }

    /// What a receipt of this destination must have been given under to be of use.
    pub fn receipt_scope(&self) -> &str {
        &self.rules.receipt_scope
    }

    /// The first required field that is null in `result`, such as `result.candidate_external_id`.
    pub fn required(&self, result: &impl Deref<Target = Value>) -> Result<(), String> {
        let missing = self.require.iter().find(|path| {
            let found = path.iter().try_fold(&**result, |value, key| value.get(key));
            found.is_none_or(Value::is_null)
        });
        match missing {
            Some(path) => Err(format!("result.{}", path.join("."))),
            None => Ok(()),
        }
    }

    /// Every field that a template of this destination reads.
    pub fn reads(&self) -> Vec<Read> {
        let calls = [Some(&self.create), self.update.as_ref()]
            .into_iter()
            .flatten();
        let named = |(key, path): (&str, _)| (key.to_owned(), path);
        let headers = self.headers.reads().into_iter().map(named);
        let texts = self.texts.reads().into_iter().map(named);
        let found = calls.flat_map(Call::reads).chain(headers).chain(texts);
        found
            .map(|(key, path): (String, &FieldPath)| Read {
                key,
                path: path.clone(),
            })
            .collect()
    }

    /// The top-level payload fields that this destination sends on or looks at.
    pub fn fields(&self) -> Fields {
        let mut calls = [Some(&self.create), self.update.as_ref()]
            .into_iter()
            .flatten();
        if calls.any(|call| call.body.is_whole()) {
            return Fields::All;
        }
        let mut fields = self.template_fields.clone();
        if let Fields::Only(fields) = &mut fields {
            fields.extend(self.require.iter().filter_map(|path| path.first().cloned()));
        }
        fields
    }

    /// Whether it sends the payload on as it is, bare or in an envelope.
    pub fn passes_on(&self) -> bool {
        self.create.body.is_whole()
    }

    /// Whether rendering looks into the payload, or only passes it on.
    pub fn reads_payload(&self) -> bool {
        self.has_templates || !self.require.is_empty()
    }

    pub fn name(&self) -> &Name {
        &self.settings.name
    }

    /// The client whose token each request carries.
    pub fn oauth2(&self) -> Option<&Oauth2> {
        self.settings.oauth2.as_ref()
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
