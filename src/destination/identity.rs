//! Asks a vendor whether it knows our key, where it has a method for that which changes nothing.

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::Value;
use url::Url;

use super::Destination;
use crate::transport::{Answer, Failure, Outgoing};

/// The method of each such vendor, by preset.
const METHODS: &[(&str, &str)] = &[("slack-bot", "/api/auth.test")];

impl Destination {
    /// The request that asks; None where the vendor has none.
    pub fn identity_request(&self) -> Option<Outgoing> {
        let preset = self.settings.preset.as_deref()?;
        let (_, path) = METHODS.iter().find(|(name, _)| *name == preset)?;
        let mut url = Url::parse(&self.origin()).ok()?;
        url.set_path(path);
        let mut headers = HeaderMap::new();
        let key = self.settings.key.as_ref()?;
        key.apply(&mut headers, &mut url).ok()?;
        Some(Outgoing {
            method: Method::POST,
            url,
            headers,
            body: Bytes::new(),
            timeout: self.settings.timeout,
            connection: self.settings.connection.clone(),
        })
    }

    /// What the answer says of us, or the vendor's words for not knowing us.
    pub fn identity(&self, reply: &Result<Answer, Failure>) -> Result<String, String> {
        let answer = reply.as_ref().map_err(ToString::to_string)?;
        let json: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        let word = |name: &str| json[name].as_str().map(|text| self.scrubber.scrub(text));
        if json["ok"] == true {
            let (team, user) = (word("team"), word("user"));
            let known = |text: Option<String>| text.unwrap_or_else(|| "?".to_owned());
            return Ok(format!("{} in {}", known(user), known(team)));
        }
        let words = word("error").map_or(String::new(), |words| format!(": {words}"));
        Err(format!("refused with {}{words}", answer.status))
    }

    /// Scheme, host and port of every request; no credential.
    pub fn origin(&self) -> String {
        self.create.address.origin()
    }
}
