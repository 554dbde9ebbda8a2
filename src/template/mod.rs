//! Templates over an event: compiled once, rendered to text or to a typed value. Values are data: no
//! template syntax in them is ever evaluated, and work, output and depth are bounded.
//!
//! A template sees `event`, `result`, `previous` and `with`. Null and a missing field are the same: both
//! print as nothing, are false, and satisfy `is none`.

mod filters;
mod scan;
pub mod text;
mod tree;
mod value;

#[cfg(test)]
mod tests;

pub use scan::{Piece, has_tags, pieces};
pub use tree::{Tree, TreeFailure, TreeFault};

use std::sync::LazyLock;

use minijinja::{AutoEscape, Environment, Error, ErrorKind, Expression, UndefinedBehavior, Value};
use serde_json::Value as Json;

use crate::expr::FieldPath;
use crate::model::Event;
use filters::Told;
use scan::MistakeKind;

/// What one template may spend: an instruction costs 1, and so do 64 bytes that are read or written.
const FUEL: u64 = 200_000;
/// Loops within loops, and the like.
const DEPTH: usize = 64;
/// Most that one template may write, in bytes.
pub const OUTPUT_BYTES: usize = 1024 * 1024;

static PLAIN: LazyLock<Environment<'static>> = LazyLock::new(|| environment(false));
static ENCODING: LazyLock<Environment<'static>> = LazyLock::new(|| environment(true));

/// A compiled template.
pub struct Template {
    kind: Kind,
    reads: Vec<FieldPath>,
    /// Lines of the source before the expression of a typed template.
    lines_before: u32,
}

enum Kind {
    Literal(String),
    /// One expression, whose value keeps its type.
    Typed(Expression<'static, 'static>),
    /// Text with tags, in an environment of its own that holds it under [`NAME`].
    Text(Box<Environment<'static>>),
}

const NAME: &str = "template";

/// Why a text is no template. The words may quote the template, which is the operator's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BadTemplate {
    pub message: String,
    /// Line in the template, from 1.
    pub line: Option<u32>,
    pub hint: Option<String>,
}

/// Why a template could not be rendered. The words name kinds and fields, never values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unrendered {
    pub message: String,
    /// Line in the template, from 1.
    pub line: Option<u32>,
}

/// Names that a template may use: those of an event, the destination's own texts, and what it gave back
/// for an earlier revision.
const ROOTS: [&str; 6] = ["event", "result", "previous", "with", "texts", "receipt"];

/// What templates see, converted once and used for each of them.
#[derive(Debug)]
pub struct Scope(Value);

/// The JSON that CEL and templates see as `event`.
pub fn event_value(event: &Event, changed: &[String]) -> Json {
    serde_json::json!({
        "id": event.id,
        "source": &*event.source,
        "type": event.event_type,
        "subject": event.subject,
        "revision": event.revision,
        "changed": changed,
        "candidate": event.candidate,
        "received_at": event.received_at.to_string(),
    })
}

impl Unrendered {
    /// The whole message for an operator: where, why and which fields.
    pub fn at(&self, key: &str) -> String {
        match self.line {
            Some(line) => format!("{key}, line {line}: {self}"),
            None => format!("{key}: {self}"),
        }
    }
}

impl Scope {
    /// Converts `values`, leaving out top-level fields that are not `wanted(root, field)`.
    pub fn new(values: &[(&str, &Json)], wanted: impl Fn(&str, &str) -> bool) -> Self {
        let roots = values.iter().map(|(root, json)| match json {
            Json::Object(fields) => (
                *root,
                value::from_fields(fields, |field| wanted(root, field)),
            ),
            other => (*root, value::from_json(other)),
        });
        Self(Value::from_pairs(roots))
    }
}

impl Template {
    /// A template whose value keeps its type where the text is one `{{ expression }}`.
    pub fn typed(source: &str) -> Result<Self, BadTemplate> {
        let trimmed = source.trim();
        let inner = trimmed
            .strip_prefix("{{")
            .and_then(|rest| rest.strip_suffix("}}"));
        let single = pieces(trimmed).len() == 1;
        let Some(inner) = inner.filter(|_| single) else {
            return Self::text(source);
        };
        let inner = inner.strip_prefix(['-', '+']).unwrap_or(inner);
        let inner = inner.strip_suffix(['-', '+']).unwrap_or(inner);
        let before = source.len() - source.trim_start().len();
        let lines_before = line_breaks(source.split_at(before).0);
        Self::expression(inner, lines_before)
    }

    /// A template that gives text.
    pub fn text(source: &str) -> Result<Self, BadTemplate> {
        Self::compile_text(source, &PLAIN)
    }

    /// A template that gives a part of a URL: every value in it is percent-encoded, literals are not.
    pub fn url_part(source: &str) -> Result<Self, BadTemplate> {
        Self::compile_text(source, &ENCODING)
    }

    /// A condition: an expression without braces, true or false.
    pub fn condition(source: &str) -> Result<Self, BadTemplate> {
        if has_tags(source) {
            return Err(BadTemplate {
                message: "a condition is an expression without braces".to_owned(),
                line: None,
                hint: Some("write `result.score is not none`".to_owned()),
            });
        }
        Self::expression(source, 0)
    }

    /// Text without any tag.
    pub fn literal(&self) -> Option<&str> {
        match &self.kind {
            Kind::Literal(text) => Some(text),
            Kind::Typed(_) | Kind::Text(_) => None,
        }
    }

    /// The fields that it reads: a root and the keys below it.
    pub fn reads(&self) -> &[FieldPath] {
        &self.reads
    }

    /// Renders to a value: typed where the template is one expression, else text.
    pub fn value(&self, scope: &Scope) -> Result<Json, Unrendered> {
        let Kind::Typed(expression) = &self.kind else {
            return self.render(scope).map(Json::String);
        };
        let found = expression
            .eval(scope.0.clone())
            .map_err(|error| self.unrendered(&error))?;
        value::to_json(&found).ok_or_else(|| self.failed("a value that JSON cannot hold", None))
    }

    /// Renders to text.
    pub fn render(&self, scope: &Scope) -> Result<String, Unrendered> {
        let text = match &self.kind {
            Kind::Literal(text) => return Ok(text.clone()),
            Kind::Typed(expression) => expression
                .eval(scope.0.clone())
                .map(|found| value::display(&found).into_owned()),
            Kind::Text(environment) => environment
                .get_template(NAME)
                .and_then(|template| template.render(scope.0.clone())),
        };
        let text = text.map_err(|error| self.unrendered(&error))?;
        if text.len() > OUTPUT_BYTES {
            return Err(self.failed("more text than a template may write", None));
        }
        Ok(text)
    }

    /// Whether a condition holds.
    pub fn holds(&self, scope: &Scope) -> Result<bool, Unrendered> {
        match &self.kind {
            Kind::Typed(expression) => expression
                .eval(scope.0.clone())
                .map(|found| found.is_true())
                .map_err(|error| self.unrendered(&error)),
            Kind::Literal(_) | Kind::Text(_) => Ok(!self.render(scope)?.is_empty()),
        }
    }

    fn compile_text(source: &str, base: &Environment<'static>) -> Result<Self, BadTemplate> {
        let mut template = Self {
            kind: Kind::Literal(source.to_owned()),
            reads: Vec::new(),
            lines_before: 0,
        };
        if !has_tags(source) {
            return Ok(template);
        }
        let mut environment = base.clone();
        environment
            .add_template_owned(NAME, source.to_owned())
            .map_err(|error| bad(&error, 0))?;
        refuse_mistakes(source)?;
        let names = environment
            .get_template(NAME)
            .map(|compiled| compiled.undeclared_variables(true))
            .map_err(|error| bad(&error, 0))?;
        template.reads = field_paths(names, source)?;
        template.kind = Kind::Text(Box::new(environment));
        Ok(template)
    }

    fn expression(source: &str, lines_before: u32) -> Result<Self, BadTemplate> {
        let environment: &'static Environment<'static> = &PLAIN;
        let at_line = |mut bad: BadTemplate| {
            bad.line = bad.line.map(|line| line + lines_before);
            bad
        };
        let expression = environment
            .compile_expression_owned(source.to_owned())
            .map_err(|error| bad(&error, lines_before))?;
        // The scanner looks into tags only, and a bare expression is none.
        refuse_mistakes(&format!("{{{{{source}}}}}")).map_err(at_line)?;
        let names = expression.undeclared_variables(true);
        let reads = field_paths(names, source).map_err(at_line)?;
        Ok(Self {
            kind: Kind::Typed(expression),
            reads,
            lines_before,
        })
    }

    fn unrendered(&self, error: &Error) -> Unrendered {
        let line = error.line().and_then(|line| u32::try_from(line).ok());
        self.failed(&words(error), line)
    }

    fn failed(&self, message: &str, line: Option<u32>) -> Unrendered {
        let fields: Vec<String> = self.reads.iter().map(|path| path.join(".")).collect();
        let message = match fields.as_slice() {
            [] => message.to_owned(),
            fields => format!("{message} (it reads {})", fields.join(", ")),
        };
        let line = line.map(|line| line + self.lines_before);
        Unrendered { message, line }
    }
}

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.kind {
            Kind::Literal(text) => write!(f, "Template({text:?})"),
            Kind::Typed(_) | Kind::Text(_) => write!(f, "Template(reads {:?})", self.reads),
        }
    }
}

fn environment(encode: bool) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(DEPTH);
    // Debug information quotes values.
    environment.set_debug(false);
    environment.set_formatter(move |out, _, found| {
        let shown = value::display(found);
        let written = if encode {
            out.write_str(&filters::encode(&shown))
        } else {
            out.write_str(&shown)
        };
        written.map_err(Error::from)
    });
    filters::install(&mut environment);
    environment
}

/// Whether the engine has a filter or test of this name.
fn knows(kind: &str, name: &str) -> bool {
    let question = format!("'{name}' is {kind}");
    let answer = PLAIN
        .compile_expression(&question)
        .and_then(|expression| expression.eval(()));
    answer.is_ok_and(|answer| answer.is_true())
}

fn refuse_mistakes(source: &str) -> Result<(), BadTemplate> {
    let all = scan::mistakes(
        source,
        |name| knows("filter", name),
        |name| knows("test", name),
    );
    let Some(first) = all.into_iter().next() else {
        return Ok(());
    };
    let (message, hint) = match first.kind {
        MistakeKind::UnknownFilter(name) => (
            format!("unknown filter `{name}`"),
            Some(suggestion(&name, filters::FILTERS)),
        ),
        MistakeKind::UnknownTest(name) => (
            format!("unknown test `is {name}`"),
            Some(
                "there are `is none`, `is link`, `is number`, `is string`, `is sequence`, …"
                    .to_owned(),
            ),
        ),
        MistakeKind::Method(name) => (
            format!("values have no method `{name}`"),
            Some(format!("use a filter: `value | {name}`")),
        ),
        MistakeKind::ComparesWithNone => (
            "a comparison with `none` is never true here".to_owned(),
            Some("write `is none` or `is not none`".to_owned()),
        ),
    };
    Err(BadTemplate {
        message,
        line: Some(first.line),
        hint,
    })
}

/// Splits dotted names and refuses those whose root templates do not have.
fn field_paths(
    names: impl IntoIterator<Item = String>,
    source: &str,
) -> Result<Vec<FieldPath>, BadTemplate> {
    let mut paths: Vec<FieldPath> = names
        .into_iter()
        .map(|name| name.split('.').map(str::to_owned).collect())
        .collect();
    paths.sort();
    paths.retain(|path: &FieldPath| !filters::FUNCTIONS.contains(&path[0].as_str()));
    let Some(unknown) = paths.iter().find(|path| !ROOTS.contains(&path[0].as_str())) else {
        return Ok(paths);
    };
    let root = &unknown[0];
    Err(BadTemplate {
        message: format!("unknown name `{root}`"),
        line: Some(scan::line_of(source, root)),
        hint: Some(suggestion(root, &ROOTS)),
    })
}

fn suggestion(name: &str, known: &[&str]) -> String {
    let likeness = |other: &&str| strsim::jaro_winkler(name, other);
    let closest = known
        .iter()
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
        .filter(|other| likeness(other) > 0.8);
    match closest {
        Some(closest) => format!("did you mean `{closest}`?"),
        None => format!("there are {}", known.join(", ")),
    }
}

/// A compile error in the engine's words: they quote the template at most.
fn bad(error: &Error, lines_before: u32) -> BadTemplate {
    let line = error.line().and_then(|line| u32::try_from(line).ok());
    BadTemplate {
        message: error
            .detail()
            .map_or_else(|| error.kind().to_string(), str::to_owned),
        line: line.map(|line| line + lines_before),
        hint: None,
    }
}

/// A rendering error without the engine's details, which can quote values.
fn words(error: &Error) -> String {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(told) = current.downcast_ref::<Told>() {
            return told.to_string();
        }
        cause = current.source();
    }
    match error.kind() {
        ErrorKind::OutOfFuel => "more work than a template may do".to_owned(),
        ErrorKind::InvalidOperation => {
            "something that these kinds of values do not allow".to_owned()
        }
        other => other.to_string(),
    }
}

fn line_breaks(text: &str) -> u32 {
    u32::try_from(text.matches('\n').count()).unwrap_or(u32::MAX)
}
