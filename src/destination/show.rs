//! A request as people may see it: every secret in it is masked.

use serde::Serialize;

use super::{ConfigText, Destination};
use crate::transport::Outgoing;

const MASK: &str = "•••";
/// The host of URLs that stand in for secrets which are not read.
pub const PLACEHOLDER_HOST: &str = "secret.invalid";

/// A request without its secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    pub method: String,
    pub url: String,
    /// In the order of their names.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Destination {
    /// A request that this destination rendered, for people.
    pub fn show(&self, request: &Outgoing) -> Shown {
        let url = match &self.settings.url {
            // Without secrets a placeholder stands for the URL, and its host would be a riddle.
            ConfigText::Secret(_) if request.url.host_str() == Some(PLACEHOLDER_HOST) => {
                MASK.to_owned()
            }
            ConfigText::Secret(_) => format!("{}/{MASK}", self.create.address.origin()),
            ConfigText::Template(_) => self.scrubber.scrub(request.url.as_str()),
        };
        let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            let text = String::from_utf8_lossy(value.as_bytes());
            let secret = value.is_sensitive() || name == "webhook-signature";
            (
                name.to_string(),
                if secret {
                    MASK.to_owned()
                } else {
                    self.scrubber.scrub(&text)
                },
            )
        };
        let mut headers: Vec<(String, String)> = request.headers.iter().map(header).collect();
        headers.sort();
        Shown {
            method: request.method.to_string(),
            url,
            headers,
            body: self.scrubber.scrub(&String::from_utf8_lossy(&request.body)),
        }
    }
}
