//! Where no token is configured, a browser on this machine must not do what another page tells it to.
//! It decides over the headers of a request alone.

use http::header::{CONTENT_TYPE, HOST, ORIGIN};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, Method};

use crate::http::problem::AdminProblem;

/// Whoever can set this may also say what it wants done: no form and no other site's script can.
const OWN_HEADER: &str = "relay-request";

/// Refuses names that could have been made to point here (DNS rebinding), requests that a browser
/// says come from another page, and posts that a plain form could have sent (CSRF).
pub(super) fn check(parts: &Parts) -> Result<(), AdminProblem> {
    let host = host(parts);
    if !host.as_ref().is_none_or(is_ours) {
        return forbidden(
            "Without a token, the admin port answers to addresses and to localhost only, not to other names.",
        );
    }
    let site = text(&parts.headers, "sec-fetch-site");
    if site.is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return forbidden(ANOTHER_PAGE);
    }
    if parts.method != Method::POST {
        return Ok(());
    }
    let origin = text(&parts.headers, ORIGIN.as_str());
    if origin.is_some_and(|origin| !is_same(origin, host.as_ref())) {
        return forbidden(ANOTHER_PAGE);
    }
    if parts.headers.contains_key(OWN_HEADER) || !could_be_a_form(&parts.headers) {
        return Ok(());
    }
    forbidden("Without a token, a body is sent with `content-type: application/json`.")
}

const ANOTHER_PAGE: &str =
    "Another page asked for this. Without a token, only the relay's own page may.";

fn forbidden(detail: &'static str) -> Result<(), AdminProblem> {
    Err(AdminProblem::Forbidden {
        detail: detail.into(),
    })
}

/// The host that is asked for. HTTP/2 has it in the target; some clients of HTTP/1.0 have none.
fn host(parts: &Parts) -> Option<Authority> {
    if let Some(authority) = parts.uri.authority() {
        return Some(authority.clone());
    }
    let host = parts.headers.get(HOST)?;
    let unreadable = Authority::from_static("unreadable.invalid");
    Some(Authority::try_from(host.as_bytes()).unwrap_or(unreadable))
}

/// An address is nobody's to redirect, and localhost never leaves the machine.
fn is_ours(authority: &Authority) -> bool {
    let host = authority.host();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<std::net::IpAddr>().is_ok()
        || host.eq_ignore_ascii_case("localhost")
        || host.to_ascii_lowercase().ends_with(".localhost")
}

fn is_same(origin: &str, host: Option<&Authority>) -> bool {
    let schemes = ["http://", "https://"];
    let origin = schemes
        .iter()
        .find_map(|scheme| origin.strip_prefix(scheme));
    origin
        .zip(host)
        .is_some_and(|(origin, host)| host.as_str().eq_ignore_ascii_case(origin))
}

fn could_be_a_form(headers: &HeaderMap) -> bool {
    let json = |kind: &str| {
        let kind = kind.split(';').next().unwrap_or_default();
        kind.trim().eq_ignore_ascii_case("application/json")
    };
    headers.contains_key(CONTENT_TYPE) && !text(headers, CONTENT_TYPE.as_str()).is_some_and(json)
}

/// A header as text; one that is none reads as something that fits nothing.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = headers.get(name)?;
    Some(value.to_str().unwrap_or("unreadable"))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn allowed(method: &str, headers: &[(&str, &str)]) -> bool {
        let mut request = Request::builder().method(method).uri("/api/v1/reload");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(&request.body(()).unwrap().into_parts().0).is_ok()
    }

    #[test]
    fn a_name_that_could_be_made_to_point_here_is_refused() {
        for (host, expected) in [
            ("127.0.0.1:8081", true),
            ("[::1]:8081", true),
            ("localhost:8081", true),
            ("LOCALHOST", true),
            ("relay.localhost", true),
            ("evil.example:8081", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("user@evil.example", false),
            ("evil example", false),
        ] {
            assert_eq!(allowed("GET", &[("host", host)]), expected, "{host}");
            assert_eq!(allowed("POST", &[("host", host)]), expected, "{host}");
        }
        assert!(allowed("POST", &[]), "no browser leaves it out");
    }

    #[test]
    fn what_another_page_asks_for_is_refused() {
        let host = ("host", "127.0.0.1:8081");
        for (site, expected) in [
            ("same-origin", true),
            ("none", true),
            ("same-site", false),
            ("cross-site", false),
        ] {
            for method in ["GET", "POST"] {
                let headers = [host, ("sec-fetch-site", site)];
                assert_eq!(allowed(method, &headers), expected, "{method} {site}");
            }
        }
        for (origin, expected) in [
            ("http://127.0.0.1:8081", true),
            ("http://127.0.0.1:3000", false),
            ("http://localhost:8081", false),
            ("https://evil.example", false),
            ("null", false),
        ] {
            assert_eq!(
                allowed("POST", &[host, ("origin", origin)]),
                expected,
                "{origin}"
            );
        }
    }

    #[test]
    fn what_a_plain_form_could_send_is_refused() {
        for (kind, expected) in [
            ("application/json", true),
            ("application/json; charset=utf-8", true),
            ("application/x-www-form-urlencoded", false),
            ("multipart/form-data; boundary=x", false),
            ("text/plain", false),
            ("", false),
        ] {
            assert_eq!(
                allowed("POST", &[("content-type", kind)]),
                expected,
                "{kind}"
            );
        }
        let own = [("content-type", "text/plain"), ("relay-request", "1")];
        assert!(allowed("POST", &own));
        assert!(allowed("POST", &[]), "a form always names its kind");
    }
}
