//! A destination's URL. Values fill path segments and query values, percent-encoded; they can never
//! change scheme, host, port or the number of segments.

use url::Url;

use super::{ConfigText, Fault};
use crate::expr::FieldPath;
use crate::template::{Scope, Template, has_tags, pieces};

const KEY: &str = "url";

/// A compiled URL.
pub(super) struct Address {
    /// Scheme, host and port, with the path `/`.
    origin: Url,
    kind: Kind,
}

enum Kind {
    Fixed(Url),
    Built {
        segments: Vec<Template>,
        query: Vec<Pair>,
    },
}

enum Pair {
    Literal(String),
    /// Left out where its value is empty.
    Named {
        name: String,
        value: Template,
    },
}

impl Address {
    pub(super) fn compile(url: &ConfigText) -> Result<Self, Fault> {
        match url {
            ConfigText::Secret(secret) => Self::fixed(secret.expose()),
            ConfigText::Template(text) if has_tags(text) => built(text.trim()),
            ConfigText::Template(text) => {
                let address = Self::fixed(text.trim())?;
                refuse_user(&address.origin)?;
                Ok(address)
            }
        }
    }

    fn fixed(text: &str) -> Result<Self, Fault> {
        let url = parse(text)?;
        if url.fragment().is_some() {
            return Err(fragment());
        }
        let mut origin = url.clone();
        origin.set_path("/");
        origin.set_query(None);
        let kind = Kind::Fixed(url);
        Ok(Self { origin, kind })
    }

    /// The URL for one delivery, or why there is none.
    pub(super) fn render(&self, scope: &Scope) -> Result<Url, String> {
        let (segments, query) = match &self.kind {
            Kind::Fixed(url) => return Ok(url.clone()),
            Kind::Built { segments, query } => (segments, query),
        };
        let mut text = self.origin.as_str().trim_end_matches('/').to_owned();
        for (at, segment) in segments.iter().enumerate() {
            text.push('/');
            text.push_str(&rendered_segment(segment, at + 1, scope)?);
        }
        let mut separator = '?';
        for pair in query {
            if let Some(pair) = rendered_pair(pair, scope)? {
                text.push(separator);
                text.push_str(&pair);
                separator = '&';
            }
        }
        let url = Url::parse(&text).map_err(|_| "url: what it renders to is no URL".to_owned())?;
        let depth = url.path_segments().map_or(0, Iterator::count);
        let same_place = url.origin() == self.origin.origin() && url.fragment().is_none();
        if !same_place || depth != segments.len() {
            return Err("url: what it renders to is another place".to_owned());
        }
        Ok(url)
    }

    /// Every value needs no scope.
    pub(super) fn is_fixed(&self) -> bool {
        matches!(self.kind, Kind::Fixed(_))
    }

    /// Scheme, host and port; it never holds a credential.
    pub(super) fn origin(&self) -> String {
        self.origin.origin().ascii_serialization()
    }

    pub(super) fn reads(&self) -> Vec<&FieldPath> {
        let Kind::Built { segments, query } = &self.kind else {
            return Vec::new();
        };
        let values = query.iter().filter_map(|pair| match pair {
            Pair::Named { value, .. } => Some(value),
            Pair::Literal(_) => None,
        });
        segments
            .iter()
            .chain(values)
            .flat_map(Template::reads)
            .collect()
    }
}

/// Path and query can be the credential.
impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Address({}/…)", self.origin())
    }
}

fn parse(text: &str) -> Result<Url, Fault> {
    let example = "write one like https://example.com/hooks";
    let url = Url::parse(text).map_err(|_| Fault::new(KEY, "not a URL").hint(example))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(Fault::new(KEY, "not an http or https URL").hint(example));
    }
    Ok(url)
}

fn refuse_user(url: &Url) -> Result<(), Fault> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(());
    }
    let hint = "send credentials in headers, from a secret reference";
    Err(Fault::new(KEY, "a user name or password in the URL").hint(hint))
}

fn fragment() -> Fault {
    Fault::new(KEY, "a `#` and what follows it is never sent").hint("write %23 for the character")
}

fn built(text: &str) -> Result<Address, Fault> {
    let foreign = || {
        let hint = "write them out; only path segments and query values may hold templates";
        Fault::new(KEY, "scheme, host and port cannot come from a template").hint(hint)
    };
    let first = pieces(text)
        .first()
        .map_or("", |piece| if piece.tag { "" } else { piece.text });
    let scheme_end = first.find("://").ok_or_else(foreign)? + 3;
    let authority = first.split_at(scheme_end).1;
    let length = authority.find(['/', '?', '#', '\\']).ok_or_else(foreign)?;
    let (origin, rest) = text.split_at(scheme_end + length);
    let origin = parse(origin)?;
    refuse_user(&origin)?;
    let (segments, query) = split(rest)?;
    let kind = Kind::Built {
        segments: segments
            .iter()
            .enumerate()
            .map(segment)
            .collect::<Result<_, _>>()?,
        query: query
            .iter()
            .map(|pair| pair_of(pair))
            .collect::<Result<_, _>>()?,
    };
    Ok(Address { origin, kind })
}

/// Path segments and query pairs of `text`, split only where it is literal.
fn split(text: &str) -> Result<(Vec<String>, Vec<String>), Fault> {
    let mut segments: Vec<String> = Vec::new();
    let mut query: Vec<String> = Vec::new();
    for piece in pieces(text) {
        if piece.tag {
            let parts = if query.is_empty() {
                &mut segments
            } else {
                &mut query
            };
            if let Some(part) = parts.last_mut() {
                part.push_str(piece.text);
            }
            continue;
        }
        for char in piece.text.chars() {
            match char {
                '#' => return Err(fragment()),
                '\\' => return Err(Fault::new(KEY, "a backslash in the URL").hint("write /")),
                '/' if query.is_empty() => segments.push(String::new()),
                '?' if query.is_empty() => query.push(String::new()),
                '&' if !query.is_empty() => query.push(String::new()),
                other => {
                    let parts = if query.is_empty() {
                        &mut segments
                    } else {
                        &mut query
                    };
                    if let Some(part) = parts.last_mut() {
                        part.push(other);
                    }
                }
            }
        }
    }
    if segments.is_empty() {
        segments.push(String::new());
    }
    Ok((segments, query))
}

fn segment((at, text): (usize, &String)) -> Result<Template, Fault> {
    if is_dots(text) {
        return Err(
            Fault::new(KEY, format!("path segment {} is `{text}`", at + 1)).hint("leave it out"),
        );
    }
    let place = |bad| {
        let mut fault = Fault::template(KEY, bad);
        fault.problem = format!("path segment {}: {}", at + 1, fault.problem);
        fault
    };
    Template::url_part(text).map_err(place)
}

fn pair_of(text: &str) -> Result<Pair, Fault> {
    if !has_tags(text) {
        return Ok(Pair::Literal(text.to_owned()));
    }
    let name = pieces(text).first().and_then(|piece| {
        let name = piece.text.split_once('=').map(|(name, _)| name);
        name.filter(|_| !piece.tag)
    });
    let Some(name) = name else {
        let problem = "the name of a query value cannot come from a template";
        return Err(Fault::new(KEY, problem).hint("write name={{ value }}"));
    };
    let value = text.split_at(name.len() + 1).1;
    let value = Template::url_part(value).map_err(|bad| Fault::template(KEY, bad))?;
    let name = name.to_owned();
    Ok(Pair::Named { name, value })
}

fn rendered_segment(template: &Template, number: usize, scope: &Scope) -> Result<String, String> {
    let text = render(template, scope)?;
    if template.literal().is_some() {
        return Ok(text);
    }
    let what = match text.as_str() {
        "" => "empty",
        dots if is_dots(dots) => "`.` or `..`",
        _ => return Ok(text),
    };
    let reads: Vec<String> = template.reads().iter().map(|path| path.join(".")).collect();
    Err(format!(
        "url: path segment {number} would be {what} (it reads {})",
        reads.join(", ")
    ))
}

fn rendered_pair(pair: &Pair, scope: &Scope) -> Result<Option<String>, String> {
    match pair {
        Pair::Literal(text) => Ok(Some(text.clone())),
        Pair::Named { name, value } => {
            let value = render(value, scope)?;
            Ok((!value.is_empty()).then(|| format!("{name}={value}")))
        }
    }
}

fn render(template: &Template, scope: &Scope) -> Result<String, String> {
    template.render(scope).map_err(|why| why.at(KEY))
}

/// `.` and `..`, also in the spellings that a URL parser takes for them.
fn is_dots(segment: &str) -> bool {
    let plain = segment.replace("%2e", ".").replace("%2E", ".");
    plain == "." || plain == ".."
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Secret;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn compile(text: &str) -> Result<Address, Fault> {
        Address::compile(&ConfigText::Template(text.to_owned()))
    }

    fn render(text: &str, id: &Value) -> Result<String, String> {
        let address = compile(text).unwrap_or_else(|fault| panic!("{text}: {fault:?}"));
        let result = json!({ "id": id });
        let scope = Scope::new(&[("result", &result)], |_, _| true);
        address.render(&scope).map(String::from)
    }

    #[test]
    fn values_fill_segments_and_query_values_encoded() {
        for (url, id, expected) in [
            (
                "https://a.example/v1/{{ result.id }}/notes",
                json!("x y/../z"),
                "https://a.example/v1/x%20y%2F..%2Fz/notes",
            ),
            (
                "https://a.example/%20/{{ result.id }}",
                json!("%2e"),
                "https://a.example/%20/%252e",
            ),
            (
                "https://a.example:8443/a-{{ result.id }}-b?k=1&p={{ result.id }}",
                json!("?&#="),
                "https://a.example:8443/a-%3F%26%23%3D-b?k=1&p=%3F%26%23%3D",
            ),
            (
                "https://a.example/n?p={{ result.id }}&q=2",
                json!(null),
                "https://a.example/n?q=2",
            ),
            (
                "https://a.example/n?p={{ result.id }}",
                json!(null),
                "https://a.example/n",
            ),
            (
                "https://a.example?p={{ result.id }}",
                json!(7),
                "https://a.example/?p=7",
            ),
            (
                "https://a.example/{{ result.id }}/",
                json!("é"),
                "https://a.example/%C3%A9/",
            ),
            (
                "https://a.example/{{ 'a/b?c' }}{% if result.id %}{{ result.id }}{% endif %}",
                json!(1),
                "https://a.example/a%2Fb%3Fc1",
            ),
        ] {
            assert_eq!(render(url, &id), Ok(expected.to_owned()), "{url}");
        }
    }

    #[test]
    fn a_segment_that_would_vanish_is_refused_and_named() {
        for (id, what) in [
            (json!(null), "empty"),
            (json!(""), "empty"),
            (json!("."), "`.` or `..`"),
            (json!(".."), "`.` or `..`"),
        ] {
            let expected = format!("url: path segment 2 would be {what} (it reads result.id)");
            assert_eq!(
                render("https://a.example/v1/{{ result.id }}/notes", &id),
                Err(expected)
            );
        }
        assert!(render("https://a.example/.{{ result.id }}", &json!(".")).is_err());
    }

    #[test]
    fn mistakes_are_found_when_compiling() {
        for (url, problem) in [
            ("nonsense", "not a URL"),
            ("ftp://a.example/", "not an http or https URL"),
            ("mailto:a@b.example", "not an http or https URL"),
            (
                "https://u:p@a.example/",
                "a user name or password in the URL",
            ),
            (
                "https://u:p@a.example/{{ result.id }}",
                "a user name or password in the URL",
            ),
            (
                "https://{{ result.id }}.example/",
                "scheme, host and port cannot come from a template",
            ),
            (
                "https://a.example{{ result.id }}",
                "scheme, host and port cannot come from a template",
            ),
            (
                "{{ result.id }}",
                "scheme, host and port cannot come from a template",
            ),
            (
                "https://a.example:{{ result.id }}/",
                "scheme, host and port cannot come from a template",
            ),
            (
                "https://a.example/{{ result.id }}#x",
                "a `#` and what follows it is never sent",
            ),
            (
                "https://a.example/#x",
                "a `#` and what follows it is never sent",
            ),
            (
                "https://a.example/../{{ result.id }}",
                "path segment 1 is `..`",
            ),
            (
                "https://a.example/x\\{{ result.id }}",
                "a backslash in the URL",
            ),
            (
                "https://a.example/?{{ result.id }}=1",
                "the name of a query value cannot come from a template",
            ),
            (
                "https://a.example/v/{{ reslt.id }}",
                "path segment 2: unknown name `reslt`",
            ),
        ] {
            assert_eq!(
                compile(url).map(|_| ()).map_err(|fault| fault.problem),
                Err(problem.to_owned()),
                "{url}"
            );
        }
        assert!(compile("https://a.example/{% if result.id %}a/b{% endif %}").is_err());
    }

    #[test]
    fn a_secret_url_is_used_as_it_is_and_never_a_template() {
        let secret = |text| Address::compile(&ConfigText::Secret(Secret::new(text)));
        let address = secret("https://hooks.example/{{x}}/T?k=v").unwrap();
        assert!(address.is_fixed());
        assert_eq!(address.origin(), "https://hooks.example");
        let fault = secret("canary-no-url").unwrap_err();
        assert!(!format!("{fault:?}").contains("canary"));
    }

    proptest! {
        #[test]
        fn no_value_changes_place_or_depth(id in r"(\PC|[/\\.?#@:%&=]|\.\.|%2[eEfF]|\p{Cc}){0,20}") {
            let templates = [
                "https://a.example:8443/v1/{{ result.id }}/notes?x={{ result.id }}",
                "https://a.example:8443/v1/{{ result.id }}/{{ result.id }}",
                "https://a.example:8443/v1/x{{ result.id }}/y",
            ];
            for template in templates {
                if let Ok(url) = render(template, &json!(id)) {
                    let url = Url::parse(&url).unwrap();
                    prop_assert_eq!(url.origin().ascii_serialization(), "https://a.example:8443");
                    prop_assert_eq!(url.path_segments().unwrap().count(), 3);
                    prop_assert!(url.fragment().is_none() && url.username().is_empty());
                    prop_assert!(url.query_pairs().all(|(name, value)| name == "x" && value == id));
                }
            }
        }
    }
}
