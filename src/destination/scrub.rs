//! Takes a destination's own secrets out of what it answers, before anybody reads or keeps it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::Url;

use super::{ApiKey, ConfigText, Oauth2, Settings};
use crate::transport::Proxy;

const MASK: &str = "•••";
/// Shorter secrets would blot out ordinary words.
const WHOLE: usize = 4;
/// Parts of a secret, such as a segment of a URL, count from this length.
const PART: usize = 8;

/// The texts to take out, longest first.
pub(super) struct Scrubber(Vec<String>);

impl Scrubber {
    /// Knows the secrets that requests to this destination carry, in the forms they are likely to
    /// come back in.
    pub(super) fn new(settings: &Settings) -> Self {
        let mut found = Vec::new();
        if let ConfigText::Secret(url) = &settings.url {
            add(&mut found, url.expose());
            add_url_parts(&mut found, url.expose());
        }
        for (_, value) in &settings.headers {
            if let ConfigText::Secret(secret) = value {
                add(&mut found, secret.expose().trim());
                add_header_parts(&mut found, secret.expose());
            }
        }
        if let Proxy::Url(proxy) = &settings.connection.proxy {
            add_user(&mut found, proxy.expose());
        }
        let keys = settings.key.iter().flat_map(ApiKey::forms);
        let clients = settings.oauth2.iter().flat_map(Oauth2::secrets);
        keys.chain(clients).for_each(|form| add(&mut found, &form));
        for secret in &settings.sign {
            let text = secret.expose().trim();
            add(&mut found, text);
            add(&mut found, text.trim_start_matches("whsec_"));
        }
        Self::sorted(found)
    }

    /// Knows these secrets.
    pub(super) fn of(secrets: &[String]) -> Self {
        let mut found = Vec::new();
        for secret in secrets {
            add(&mut found, secret);
        }
        Self::sorted(found)
    }

    /// Knows one more.
    pub(super) fn with(&self, secret: &str) -> Self {
        let mut found = self.0.clone();
        add(&mut found, secret);
        Self::sorted(found)
    }

    fn sorted(mut found: Vec<String>) -> Self {
        found.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        found.dedup();
        Self(found)
    }

    pub(super) fn scrub(&self, text: &str) -> String {
        let mut clean = text.to_owned();
        for secret in &self.0 {
            if clean.contains(secret.as_str()) {
                clean = clean.replace(secret.as_str(), MASK);
            }
        }
        clean
    }
}

impl std::fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Scrubber({} texts)", self.0.len())
    }
}

/// A secret as it is, percent-encoded, in base64 alone and in a longer text, in hex, and as JSON would quote it.
fn add(found: &mut Vec<String>, secret: &str) {
    if secret.chars().count() < WHOLE {
        return;
    }
    let encoded = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
    let base64 = STANDARD.encode(secret);
    let quoted = serde_json::Value::from(secret).to_string();
    found.push(secret.replace('/', "\\/"));
    found.push(quoted.trim_matches('"').to_owned());
    found.push(base64.trim_end_matches('=').to_owned());
    found.push(base64);
    found.extend((0..3).filter_map(|offset| within_base64(secret.as_bytes(), offset)));
    found.push(hex::encode(secret));
    found.push(hex::encode_upper(secret));
    found.push(
        encoded
            .replace("%2D", "-")
            .replace("%5F", "_")
            .replace("%2E", "."),
    );
    found.push(encoded);
    found.push(secret.to_owned());
}

/// What base64 makes of a secret that stands `offset` bytes after a multiple of three in a longer text: without the
/// letters at its ends, which its neighbours share.
fn within_base64(secret: &[u8], offset: usize) -> Option<String> {
    let rest = secret.get((3 - offset) % 3..)?;
    let whole = rest.get(..rest.len() / 3 * 3)?;
    (whole.len() >= PART).then(|| STANDARD.encode(whole))
}

fn add_part(found: &mut Vec<String>, part: &str) {
    if part.chars().count() >= PART {
        add(found, part);
    }
}

fn add_url_parts(found: &mut Vec<String>, text: &str) {
    let Ok(url) = Url::parse(text) else { return };
    add_part(found, url.as_str());
    add_part(found, url.path());
    url.path_segments()
        .into_iter()
        .flatten()
        .for_each(|segment| add_part(found, segment));
    url.query_pairs()
        .for_each(|(_, value)| add_part(found, &value));
    add_part(found, url.password().unwrap_or_default());
}

/// What a proxy is sent of its URL: user and password as Basic.
fn add_user(found: &mut Vec<String>, text: &str) {
    let Ok(url) = Url::parse(text) else { return };
    let plain = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
    if let Some(password) = url.password().map(plain) {
        add(found, &format!("{}:{password}", plain(url.username())));
        add(found, &password);
    }
}

/// `Bearer abc` is also `abc`, and `Basic dXNlcjpwYXNz` also the user and password in it.
fn add_header_parts(found: &mut Vec<String>, value: &str) {
    for word in value.split_whitespace() {
        add_part(found, word);
        let decoded = STANDARD
            .decode(word)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok());
        if let Some((user, password)) = decoded.as_deref().and_then(|text| text.split_once(':')) {
            add_part(found, &format!("{user}:{password}"));
            add_part(found, user);
            add_part(found, password);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_in_base64_and_hex_wherever_it_stands() {
        let secret = "CANARYapikey0123456789";
        let scrubber = Scrubber::of(&[secret.to_owned()]);
        for before in ["", "Bearer ", "Token token=", "Basic: ", "a", "ab"] {
            let whole = format!("{before}{secret}; and more");
            for told in [STANDARD.encode(&whole), hex::encode(&whole)] {
                let clean = scrubber.scrub(&told);
                assert!(clean.contains(MASK), "{before}: {clean}");
                assert!(clean.len() + 12 < told.len(), "most of it is gone: {clean}");
            }
        }
        let ordinary = "the answer is 42";
        assert_eq!(scrubber.scrub(ordinary), ordinary);
    }
}
