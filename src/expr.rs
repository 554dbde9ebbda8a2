//! CEL expressions over an event or a response: compiled once, evaluated to yes, no or an error.
//! An error is never a yes.

mod names;

use std::collections::HashMap;
use std::sync::Arc;

use cel::{Context, Program, Value as Cel};
use serde_json::Value;

use names::Names;

/// Names that an expression about an event may use.
pub const EVENT_ROOTS: &[&str] = &["event", "result", "previous", "with"];
/// Names that an expression about a response may use.
pub const RESPONSE_ROOTS: &[&str] = &["status", "headers", "body", "json"];

/// Functions of the CEL standard library that this build evaluates.
const FUNCTIONS: &[&str] = &[
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "string",
    "bytes",
    "double",
    "int",
    "uint",
    "type",
    "dyn",
];

/// Longest text, in bytes.
const LONGEST: usize = 16 * 1024;
/// Parts within parts, such as the sums in `1 + 1 + 1`: evaluating one within another takes room on the stack of whoever does.
const DEEPEST: usize = 200;
/// Stack for parsing, whose depth is seen only once it is done, in bytes. Only what is used of it is ever there.
const PARSER_STACK: usize = 64 * 1024 * 1024;

/// A compiled expression.
pub struct Expression {
    text: String,
    program: Program,
    roots: Vec<String>,
    reads: Vec<FieldPath>,
    whole: Vec<String>,
}

/// A field that an expression or template reads: a root name and the keys below it, `result.score`.
pub type FieldPath = Vec<String>;

/// Why a text is no expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BadExpression {
    pub message: String,
    /// Column in the expression, from 1, where it is known.
    pub column: Option<usize>,
    pub hint: Option<String>,
}

/// What expressions see, converted once and used for each of them.
pub struct Scope {
    roots: Vec<(&'static str, Cel)>,
}

impl Expression {
    /// Compiles `text`, which may name only `roots`.
    pub fn compile(text: &str, roots: &[&str]) -> Result<Self, BadExpression> {
        if text.len() > LONGEST {
            let message = format!("longer than {LONGEST} bytes");
            return Err(BadExpression::plain(message));
        }
        let program = parse(text)?;
        let mut found = Names::default();
        found.walk(program.expression(), &mut Vec::new());
        if let Some(name) = found
            .roots
            .iter()
            .find(|name| !roots.contains(&name.as_str()))
        {
            return Err(BadExpression {
                message: format!("unknown name `{name}`"),
                column: text.find(name.as_str()).map(|at| at + 1),
                hint: Some(format!("an expression here may use {}", roots.join(", "))),
            });
        }
        if let Some(name) = found
            .functions
            .iter()
            .find(|name| !FUNCTIONS.contains(&name.as_str()))
        {
            return Err(BadExpression {
                message: format!("unknown function `{name}`"),
                column: text.find(name.as_str()).map(|at| at + 1),
                hint: Some(format!("there are {}", FUNCTIONS.join(", "))),
            });
        }
        if found.presence_test {
            return Err(BadExpression {
                message: "`has()` says nothing here: every field is defined, a missing one is null"
                    .to_owned(),
                column: text.find("has(").map(|at| at + 1),
                hint: Some("compare with null instead: `result.score != null`".to_owned()),
            });
        }
        found.reads.sort();
        found.reads.dedup();
        Ok(Self {
            text: text.to_owned(),
            program,
            roots: found.roots,
            reads: found.reads,
            whole: found.whole,
        })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The fields that it reads.
    pub fn reads(&self) -> &[FieldPath] {
        &self.reads
    }

    /// The fields that it reads, and the names that it reads as a whole, such as `previous == null`.
    pub fn looks_at(&self) -> Vec<FieldPath> {
        let whole = |root: &&String| !self.reads.iter().any(|path| path.first() == Some(root));
        let roots = self.roots.iter().filter(whole);
        let roots = roots.map(|root| vec![root.clone()]);
        roots.chain(self.reads.iter().cloned()).collect()
    }

    /// The names whose every field it may depend on: those that it uses without naming a field, other than
    /// to compare them with null.
    pub fn reads_whole(&self) -> &[String] {
        &self.whole
    }

    /// Evaluates to true or false. The error names fields and types, never values.
    pub fn test(&self, scope: &Scope) -> Result<bool, String> {
        let mut context = Context::default();
        for (name, value) in &scope.roots {
            context.add_variable_from_value(*name, value.clone());
        }
        match self.program.execute(&context) {
            Ok(Cel::Bool(answer)) => Ok(answer),
            Ok(other) => Err(format!("it is a {}, not true or false", type_name(&other))),
            Err(error) => Err(without_values(&error)),
        }
    }
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Expression({})", self.text)
    }
}

/// Parses on a thread of its own: the parser goes as deep as the text does, and panics on a few malformed ones. Neither
/// may take the relay along, as it is reading a bad edit.
fn parse(text: &str) -> Result<Program, BadExpression> {
    let parse = || {
        let program = Program::compile(text).map_err(|errors| syntax_error(&errors))?;
        // What is too deep is dropped here, too, where there is room.
        if names::depth(program.expression()) > DEEPEST {
            let message = format!("nested more than {DEEPEST} levels deep");
            return Err(BadExpression::plain(message));
        }
        Ok(program)
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("parser".to_owned())
            .stack_size(PARSER_STACK);
        let parsed = thread
            .spawn_scoped(scope, parse)
            .map(std::thread::ScopedJoinHandle::join);
        match parsed {
            Ok(Ok(parsed)) => parsed,
            Ok(Err(_)) => Err(BadExpression::plain("cannot be parsed")),
            Err(error) => Err(BadExpression::plain(format!("cannot be parsed: {error}"))),
        }
    })
}

impl BadExpression {
    fn plain(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            column: None,
            hint: None,
        }
    }
}

impl Scope {
    /// Converts `values` and makes every field of `reads` that they lack null.
    pub fn new<'a>(
        values: &[(&'static str, &Value)],
        reads: impl IntoIterator<Item = &'a FieldPath>,
    ) -> Self {
        let reads: Vec<&[String]> = reads.into_iter().map(Vec::as_slice).collect();
        let roots = values
            .iter()
            .map(|(name, value)| (*name, convert(value, &below(&reads, name))))
            .collect();
        Self { roots }
    }

    /// Sets one name anew and leaves the others as they are.
    pub fn replace<'a>(
        &mut self,
        name: &'static str,
        value: &Value,
        reads: impl IntoIterator<Item = &'a FieldPath>,
    ) {
        let reads: Vec<&[String]> = reads.into_iter().map(Vec::as_slice).collect();
        self.roots.retain(|(known, _)| *known != name);
        self.roots
            .push((name, convert(value, &below(&reads, name))));
    }
}

/// The tails of those paths that start with `name`.
fn below<'a>(reads: &[&'a [String]], name: &str) -> Vec<&'a [String]> {
    reads
        .iter()
        .filter_map(|path| path.split_first())
        .filter(|(first, rest)| *first == name && !rest.is_empty())
        .map(|(_, rest)| rest)
        .collect()
}

/// Every number becomes a double, so that 5 and 5.0 compare alike wherever they come from.
fn convert(value: &Value, reads: &[&[String]]) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(bit) => Cel::Bool(*bit),
        Value::Number(number) => Cel::Float(number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => Cel::String(Arc::new(text.clone())),
        Value::Array(items) => Cel::List(Arc::new(
            items.iter().map(|item| convert(item, &[])).collect(),
        )),
        Value::Object(fields) => {
            let mut map: HashMap<String, Cel> = fields
                .iter()
                .map(|(name, value)| (name.clone(), convert(value, &below(reads, name))))
                .collect();
            for first in reads.iter().filter_map(|path| path.first()) {
                map.entry(first.clone()).or_insert(Cel::Null);
            }
            Cel::Map(map.into())
        }
    }
}

fn type_name(value: &Cel) -> &'static str {
    match value {
        Cel::List(_) => "list",
        Cel::Map(_) => "map",
        Cel::Int(_) | Cel::UInt(_) | Cel::Float(_) => "number",
        Cel::String(_) => "text",
        Cel::Bytes(_) => "bytes",
        Cel::Bool(_) => "bool",
        Cel::Null => "null",
        _ => "value of another type",
    }
}

/// Engine errors can quote operands, and operands come from the payload.
fn without_values(error: &cel::ExecutionError) -> String {
    use cel::ExecutionError as E;
    match error {
        E::NoSuchOverload(overload) => {
            let operator = overload.function().trim_matches('_');
            format!(
                "{} cannot be applied to {}",
                operator,
                overload
                    .argument_types()
                    .join(" and ")
                    .replace("null_type", "null")
            )
        }
        E::NoSuchKey(key) => format!("there is no key `{key}`"),
        E::UndeclaredReference(name) => format!("there is no name `{name}`"),
        E::UnexpectedType { got, want } => format!("it needs a {want} and got a {got}"),
        E::UnsupportedBinaryOperator(operator, left, right) => {
            format!(
                "{operator} cannot be applied to {} and {}",
                type_name(left),
                type_name(right)
            )
        }
        E::IndexOutOfBounds(_) => "an index is past the end of its list".to_owned(),
        E::DivisionByZero(_) | E::RemainderByZero(_) => "division by zero".to_owned(),
        E::Overflow(..) => "a number is too large".to_owned(),
        _ => "the expression cannot be evaluated on these types".to_owned(),
    }
}

fn syntax_error(errors: &cel::ParseErrors) -> BadExpression {
    let Some(first) = errors.errors.first() else {
        return BadExpression::plain("cannot be parsed");
    };
    let message = first.msg.split(" expecting {").next().unwrap_or(&first.msg);
    let column = usize::try_from(first.pos.1)
        .ok()
        .filter(|column| *column > 0);
    BadExpression {
        message: message.to_owned(),
        column,
        hint: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn test(text: &str) -> Result<bool, String> {
        let expression =
            Expression::compile(text, EVENT_ROOTS).map_err(|bad| format!("compile: {bad}"))?;
        let result = json!({
            "score": 5.12, "whole": 5, "none": null, "name": "Žofie", "list": ["a", "b"],
            "nested": {"deep": {"x": 1}}, "decided": true
        });
        let event = json!({"type": "interview.submitted", "revision": 2, "changed": ["score"]});
        let values = [
            ("result", &result),
            ("event", &event),
            ("previous", &Value::Null),
            ("with", &json!({})),
        ];
        expression.test(&Scope::new(&values, expression.reads()))
    }

    #[test]
    fn numbers_compare_as_doubles_whatever_they_look_like() {
        for yes in [
            "result.score >= 5",
            "result.whole == 5.0",
            "5 == result.whole",
            "result.whole in [5, 6]",
            "event.revision == 2",
        ] {
            assert_eq!(test(yes), Ok(true), "{yes}");
        }
    }

    #[test]
    fn an_unknown_field_is_null_at_any_depth_of_known_maps() {
        for yes in [
            "result.nope == null",
            "result['nope'] == null",
            "result.nested.deep.y == null",
            "with.nope == null",
        ] {
            assert_eq!(test(yes), Ok(true), "{yes}");
        }
    }

    #[test]
    fn lists_and_their_variables_work() {
        assert_eq!(test("result.list.exists(x, x == 'a')"), Ok(true));
        assert_eq!(
            test("result.list.all(item, size(item) == 1) && 'score' in event.changed"),
            Ok(true)
        );
        assert_eq!(test("result.list.exists(x, x == result.name)"), Ok(false));
    }

    #[test]
    fn an_error_is_no_answer_and_names_types_not_values() {
        assert_eq!(
            test("result.none > 4"),
            Err("> cannot be applied to null and int".to_owned())
        );
        assert_eq!(
            test("result.score"),
            Err("it is a number, not true or false".to_owned())
        );
        let error = test("result.name + 1 == 2").expect_err("text and number");
        assert!(!error.contains("Žofie"), "{error}");
        assert!(test("previous.score > 1").is_err());
    }

    #[test]
    fn unknown_names_functions_and_has_are_errors_with_a_column() {
        let bad = |text| Expression::compile(text, EVENT_ROOTS).expect_err(text);
        assert_eq!(
            (
                bad("reslt.score > 1").message.as_str(),
                bad("reslt.score > 1").column
            ),
            ("unknown name `reslt`", Some(1))
        );
        assert_eq!(
            bad("1 == 1 && lower(result.name) == 'x'").message,
            "unknown function `lower`"
        );
        assert!(bad("has(result.score)").hint.is_some());
        assert_eq!(bad("result.score >=").column, Some(16));
        assert!(Expression::compile("status == 200", EVENT_ROOTS).is_err());
        assert!(Expression::compile("status == 200 && json.ok == false", RESPONSE_ROOTS).is_ok());
    }

    #[test]
    fn what_is_read_as_a_whole_is_told_from_its_fields() {
        for (text, whole) in [
            ("result.score > 4 && result['name'] == 'x'", ""),
            ("result['nested']['deep'].x == 1", ""),
            (
                "previous == null || null != previous && previous.score < 4",
                "",
            ),
            ("result.list.exists(x, x == 'a')", ""),
            ("size(result) > 2 && result.score > 4", "result"),
            ("result == previous", "previous result"),
            ("'score' in result", "result"),
            ("result[event.type] == 1", "result"),
            ("result.exists(key, result[key] == 1)", "result"),
            ("[previous][0] != null", "previous"),
            ("{'a': result}.a.score == 1", "result"),
        ] {
            let expression = Expression::compile(text, EVENT_ROOTS).expect(text);
            let mut found = expression.reads_whole().to_vec();
            found.sort();
            assert_eq!(found.join(" "), whole, "{text}");
        }
    }

    #[test]
    fn every_listed_function_is_there() {
        for text in [
            "size(result.list) == 2",
            "result.name.contains('of')",
            "result.name.startsWith('Ž')",
            "result.name.endsWith('e')",
            "result.name.matches('^Ž')",
            "string(result.whole) == '5'",
            "double('1.5') == 1.5",
            "int(result.score) == 5",
            "uint(5) == 5u",
            "bytes('a') == b'a'",
            "dyn(1) == 1",
            "type(1) == type(2)",
        ] {
            assert_eq!(test(text), Ok(true), "{text}");
        }
    }

    #[test]
    fn a_text_that_goes_deep_is_refused_and_takes_nobody_along() {
        let deep = |part: &str, count| format!("{}1 == 1", part.repeat(count));
        let chain = |part: &str, count| format!("result{} == 1", part.repeat(count));
        for (text, why) in [
            (deep("1 + ", 150), None),
            (
                deep("1 + ", 4_000),
                Some("nested more than 200 levels deep"),
            ),
            (chain(".a", 8_000), Some("nested more than 200 levels deep")),
            (
                chain("[0]", 5_000),
                Some("nested more than 200 levels deep"),
            ),
            (deep("1 + ", 5_000), Some("longer than 16384 bytes")),
        ] {
            let compiled = Expression::compile(&text, EVENT_ROOTS);
            let refused = compiled.err().map(|bad| bad.message);
            assert_eq!(refused.as_deref(), why, "{} bytes", text.len());
        }
        for part in ["(", "[", "{", "!(", "-(", "true ? ", "[{"] {
            let compiled = Expression::compile(&part.repeat(5_000), EVENT_ROOTS);
            assert!(compiled.is_err(), "{part}");
        }
        let list: Vec<String> = (0..900).map(|n| format!("\"{n}\"")).collect();
        let long = format!("result.name in [{}]", list.join(", "));
        assert!(Expression::compile(&long, EVENT_ROOTS).is_ok());
    }
}
