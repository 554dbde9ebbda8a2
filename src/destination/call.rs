//! What is asked of a destination: method, address and body. A destination that can find its own note
//! again has two: one that creates, one that updates.

use bytes::Bytes;
use http::Method;
use url::Url;

use super::address::Address;
use super::body::Body;
use super::{BodyFormat, ConfigText, Fault, Job, Settings, Update};
use crate::expr::FieldPath;
use crate::template::Scope;

/// Whether an attempt makes something new or changes what an earlier revision made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Create,
    Update,
}

/// One compiled request.
#[derive(Debug)]
pub(super) struct Call {
    /// Where its keys stand below the destination: nothing, `create` or `update`.
    place: &'static str,
    pub(super) method: Method,
    pub(super) address: Address,
    pub(super) body: Body,
}

impl Call {
    pub(super) fn create(settings: &Settings) -> Result<Self, Vec<Fault>> {
        let place = if settings.in_create { "create" } else { "" };
        let Settings {
            url, method, body, ..
        } = settings;
        Self::compile(place, (url, method, body))
    }

    pub(super) fn update(update: &Update) -> Result<Self, Vec<Fault>> {
        Self::compile("update", (&update.url, &update.method, &update.body))
    }

    fn compile(
        place: &'static str,
        request: (&ConfigText, &str, &BodyFormat),
    ) -> Result<Self, Vec<Fault>> {
        let (url, method, body) = request;
        let method = compile_method(method);
        let address = Address::compile(url).map_err(|fault| vec![fault]);
        let body = Body::compile(body);
        match (method, address, body) {
            (Ok(method), Ok(address), Ok(body)) => Ok(Self {
                place,
                method,
                address,
                body,
            }),
            (method, address, body) => {
                let faults = [method.err(), address.err(), body.err()];
                let faults = faults.into_iter().flatten().flatten();
                Err(faults
                    .map(|fault| Fault {
                        key: key_at(place, &fault.key),
                        ..fault
                    })
                    .collect())
            }
        }
    }

    pub(super) fn url(&self, scope: &Scope) -> Result<Url, String> {
        let named = |reason: String| match reason.strip_prefix("url") {
            Some(rest) => format!("{}{rest}", key_at(self.place, "url")),
            None => reason,
        };
        self.address.render(scope).map_err(named)
    }

    pub(super) fn bytes(&self, job: &Job<'_>, scope: &Scope) -> Result<Bytes, String> {
        let named = |reason: String| match self.place {
            "" => reason,
            place => format!("{place}.{reason}"),
        };
        self.body.render(job, scope).map_err(named)
    }

    /// Whether it looks at what it sends.
    pub(super) fn has_templates(&self) -> bool {
        !self.address.is_fixed() || matches!(self.body, Body::Structured(_) | Body::Text(_))
    }

    pub(super) fn reads(&self) -> Vec<(String, &FieldPath)> {
        let address = self.address.reads().into_iter().map(|path| ("url", path));
        address
            .chain(self.body.reads())
            .map(|(key, path)| (key_at(self.place, key), path))
            .collect()
    }
}

/// A key of a request, as it is written in the configuration: below `create` and `update` the URL is a path.
fn key_at(place: &str, key: &str) -> String {
    match (place, key) {
        ("", key) => key.to_owned(),
        (place, "url") => format!("{place}.path"),
        (place, key) => format!("{place}.{key}"),
    }
}

fn compile_method(text: &str) -> Result<Method, Vec<Fault>> {
    let hint = "use POST, PUT or PATCH";
    let is_word = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase());
    let method = Method::from_bytes(text.as_bytes()).ok().filter(|_| is_word);
    method
        .filter(|method| !matches!(*method, Method::CONNECT | Method::TRACE))
        .ok_or_else(|| vec![Fault::new("method", "not a method that can be sent").hint(hint)])
}
