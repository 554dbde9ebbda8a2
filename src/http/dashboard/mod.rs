//! The page at `/` of the admin port: files that are compiled in, without any data. What it shows it
//! asks the API for, like everybody else.

use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Response};

use super::Reply;

/// One file of the page.
#[derive(Debug, PartialEq, Eq)]
pub struct File {
    /// Where it is asked for.
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

/// Nothing but the relay's own files runs, styles or is asked, and no other page may frame or hold on to it.
/// Trusted types are refused altogether, so text can never be taken for markup.
const HEADERS: [(&str, &str); 5] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! file {
    ($path:literal, $kind:ident, $name:literal) => {
        File {
            path: $path,
            kind: $kind,
            text: include_str!($name),
        }
    };
}

static FILES: [File; 15] = [
    file!("/", HTML, "index.html"),
    file!("/dashboard/style.css", CSS, "style.css"),
    file!("/dashboard/icon.svg", SVG, "icon.svg"),
    file!("/dashboard/main.js", JS, "main.js"),
    file!("/dashboard/api.js", JS, "api.js"),
    file!("/dashboard/live.js", JS, "live.js"),
    file!("/dashboard/dom.js", JS, "dom.js"),
    file!("/dashboard/words.js", JS, "words.js"),
    file!("/dashboard/dialogs.js", JS, "dialogs.js"),
    file!("/dashboard/overview.js", JS, "overview.js"),
    file!("/dashboard/events.js", JS, "events.js"),
    file!("/dashboard/event.js", JS, "event.js"),
    file!("/dashboard/dead.js", JS, "dead.js"),
    file!("/dashboard/jobs.js", JS, "jobs.js"),
    file!("/dashboard/chart.js", JS, "chart.js"),
];

impl File {
    /// The file that is asked for at `path`.
    pub fn at(path: &str) -> Option<&'static Self> {
        FILES.iter().find(|file| file.path == path)
    }

    /// The file as an answer.
    pub fn answer(&self) -> Response<Reply> {
        let mut response = Response::new(Reply::new(self.text));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.kind));
        for (name, value) in HEADERS {
            headers.insert(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        response
    }
}
