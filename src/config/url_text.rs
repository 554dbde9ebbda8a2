//! What can be said of a URL in the configuration before its templates are rendered.

/// Why a text cannot be a destination's URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// Neither http nor https, or nothing after it.
    Scheme,
    /// `user:password@host`.
    UserInfo,
}

/// Hosts whose URLs let anybody who has them post.
const CREDENTIAL_HOSTS: &[&str] = &["hooks.slack.com", "hooks.slack-gov.com"];

/// The first flaw of a URL that may hold templates.
pub(super) fn flaw(text: &str) -> Option<Flaw> {
    let Some((scheme, authority)) = split(text) else {
        return Some(Flaw::Scheme);
    };
    if authority.contains('@') {
        return Some(Flaw::UserInfo);
    }
    let known = ["http", "https"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known));
    (!known || authority.is_empty()).then_some(Flaw::Scheme)
}

/// The URL is itself the secret.
pub(super) fn is_credential(text: &str) -> bool {
    split(text).is_some_and(|(_, authority)| {
        let host = authority.split(':').next().unwrap_or(authority);
        CREDENTIAL_HOSTS
            .iter()
            .any(|known| host.trim_end_matches('.').eq_ignore_ascii_case(known))
    })
}

/// A query value whose name says that it is a credential.
pub(super) fn has_credential(text: &str) -> bool {
    const WORDS: &[&str] = &[
        "key",
        "apikey",
        "api_key",
        "token",
        "access_token",
        "secret",
        "sig",
        "signature",
        "password",
    ];
    let query = text.split_once('?').map_or("", |(_, query)| query);
    query.split('&').any(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = name.to_ascii_lowercase();
        WORDS.contains(&name.as_str()) && !value.is_empty() && !value.contains("{{")
    })
}

/// It goes over a network where everybody on the way can read along.
pub(super) fn is_in_clear(text: &str) -> bool {
    let Some((scheme, authority)) = split(text) else {
        return false;
    };
    let host = authority
        .rsplit_once(':')
        .map_or(authority, |(host, port)| {
            if port.bytes().all(|byte| byte.is_ascii_digit()) {
                host
            } else {
                authority
            }
        });
    let host = host.trim_matches(['[', ']']);
    let here = host == "localhost"
        || host.ends_with(".localhost")
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback());
    scheme.eq_ignore_ascii_case("http") && !here
}

/// A proxy that can be spoken to.
pub(super) fn is_proxy(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| {
        let known = ["http", "https", "socks5", "socks5h"].contains(&url.scheme());
        known && url.host().is_some()
    })
}

/// Scheme and authority.
fn split(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or(rest);
    Some((scheme, authority))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flaws_are_found_around_templates() {
        let check = |text: &str, expect: Option<Flaw>| assert_eq!(flaw(text), expect, "{text}");
        check("https://host/{{ result.id }}?a=b@c", None);
        check("HTTP://127.0.0.1:9000", None);
        check("https://user:pass@host/", Some(Flaw::UserInfo));
        check("https://user@host", Some(Flaw::UserInfo));
        check("ftp://host/", Some(Flaw::Scheme));
        check("host/path", Some(Flaw::Scheme));
        check("https://", Some(Flaw::Scheme));
    }

    #[test]
    fn what_travels_in_clear_and_what_does_not() {
        assert!(is_in_clear("http://api.example.com/x"));
        assert!(is_in_clear("http://10.0.0.7:9000"));
        assert!(!is_in_clear("https://api.example.com/x"));
        for here in [
            "http://127.0.0.1:9000/x",
            "http://[::1]:9/",
            "http://localhost/x",
        ] {
            assert!(!is_in_clear(here), "{here}");
        }
    }

    #[test]
    fn a_credential_in_a_query_is_known_by_its_name() {
        assert!(has_credential("https://x/a?b=1&Token=s"));
        assert!(!has_credential("https://x/a?b=1&token={{ with.token }}"));
        assert!(!has_credential("https://x/token?monkey=1"));
    }

    #[test]
    fn a_slack_webhook_is_a_credential_however_it_is_spelled() {
        assert!(is_credential("https://hooks.slack.com/services/T/B/x"));
        assert!(is_credential("https://HOOKS.slack.com.:443/services/T/B/x"));
        assert!(is_credential("https://hooks.slack-gov.com/services/T/B/x"));
        assert!(!is_credential("https://hooks.slack.com.example.org/"));
        assert!(!is_credential("https://example.org/hooks.slack.com"));
    }
}
