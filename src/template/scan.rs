//! Reads a template's source just far enough to split it and to find mistakes that the engine itself
//! only reports while rendering: unknown filters and tests, methods, comparisons with `none`.

/// A stretch of a template: literal text, or one tag with its braces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    pub text: &'a str,
    pub tag: bool,
}

/// A mistake in a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    /// Line in the template, from 1.
    pub line: u32,
    pub kind: MistakeKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum MistakeKind {
    UnknownFilter(String),
    UnknownTest(String),
    Method(String),
    ComparesWithNone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Name(&'a str),
    Symbol(char),
    Text,
}

/// Whether `text` holds a tag at all.
pub fn has_tags(text: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|open| text.contains(open))
}

/// Splits a template into literals and tags, in order and without loss.
pub fn pieces(source: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = source;
    while !rest.is_empty() {
        let start = ["{{", "{%", "{#"]
            .iter()
            .filter_map(|open| rest.find(open))
            .min()
            .unwrap_or(rest.len());
        let (literal, tagged) = rest.split_at(start);
        let (tag, after) = tagged.split_at(tag_length(tagged));
        let found = [(literal, false), (tag, true)];
        let found = found.into_iter().filter(|(text, _)| !text.is_empty());
        pieces.extend(found.map(|(text, tag)| Piece { text, tag }));
        rest = after;
    }
    pieces
}

/// Finds mistakes in every tag of `source`; `is_filter` and `is_test` say which names the engine knows.
pub(super) fn mistakes(
    source: &str,
    is_filter: impl Fn(&str) -> bool,
    is_test: impl Fn(&str) -> bool,
) -> Vec<Mistake> {
    let mut found = Vec::new();
    let mut line = 1;
    for piece in pieces(source) {
        if piece.tag && !piece.text.starts_with("{#") {
            let kinds = in_code(piece.text, &is_filter, &is_test);
            found.extend(kinds.into_iter().map(|kind| Mistake { line, kind }));
        }
        let breaks = piece.text.matches('\n').count();
        line += u32::try_from(breaks).unwrap_or(u32::MAX);
    }
    found
}

/// Line, from 1, on which `name` first stands as a whole word.
pub(super) fn line_of(source: &str, name: &str) -> u32 {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let found = source.match_indices(name).find(|(at, _)| {
        let (before, after) = source.split_at(*at);
        !before.ends_with(is_word)
            && !after
                .strip_prefix(name)
                .is_some_and(|tail| tail.starts_with(is_word))
    });
    let before = found.map_or(0, |(at, _)| source.split_at(at).0.matches('\n').count());
    u32::try_from(before).map_or(1, |breaks| breaks + 1)
}

fn in_code(
    code: &str,
    is_filter: &impl Fn(&str) -> bool,
    is_test: &impl Fn(&str) -> bool,
) -> Vec<MistakeKind> {
    use Token::{Name, Symbol};
    let tokens = tokens(code);
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| tokens[at]);
        let after = tokens.get(at + 1..).unwrap_or_default();
        match (token, after) {
            (Symbol('|'), [Name(name), ..]) if !is_filter(name) => {
                found.push(MistakeKind::UnknownFilter((*name).to_owned()));
            }
            (Symbol('.'), [Name(name), Symbol('('), ..]) if before != Some(Name("loop")) => {
                found.push(MistakeKind::Method((*name).to_owned()));
            }
            (Name("is"), [Name("not"), Name(name), ..] | [Name(name), ..])
                if before != Some(Symbol('.')) && *name != "not" && !is_test(name) =>
            {
                found.push(MistakeKind::UnknownTest((*name).to_owned()));
            }
            (Symbol('=' | '!'), [Symbol('='), Name("none" | "None"), ..])
            | (Name("none" | "None"), [Symbol('=' | '!'), Symbol('='), ..]) => {
                found.push(MistakeKind::ComparesWithNone);
            }
            _ => {}
        }
    }
    found
}

fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' | '\'' => {
                tokens.push(Token::Text);
                quoted_length(rest)
            }
            name if name.is_alphabetic() || name == '_' => {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
                let length = end.unwrap_or(rest.len());
                tokens.push(Token::Name(rest.split_at(length).0));
                length
            }
            space if space.is_whitespace() => space.len_utf8(),
            other => {
                tokens.push(Token::Symbol(other));
                other.len_utf8()
            }
        };
        rest = rest.split_at(length).1;
    }
    tokens
}

/// Length of the tag that `text` begins with; all of it where the tag does not end.
fn tag_length(text: &str) -> usize {
    if text.starts_with("{#") {
        return text.find("#}").map_or(text.len(), |at| at + 2);
    }
    let close = if text.starts_with("{%") { "%}" } else { "}}" };
    let mut at = 2_usize.min(text.len());
    let mut depth = 0_usize;
    while let Some(first) = text.get(at..).and_then(|rest| rest.chars().next()) {
        let rest = text.split_at(at).1;
        match first {
            '"' | '\'' => at += quoted_length(rest),
            _ if depth == 0 && rest.starts_with(close) => return at + close.len(),
            '{' | '(' | '[' => (at, depth) = (at + 1, depth + 1),
            '}' | ')' | ']' => (at, depth) = (at + 1, depth.saturating_sub(1)),
            other => at += other.len_utf8(),
        }
    }
    text.len()
}

/// Length of the quoted text that `text` begins with, quotes included.
fn quoted_length(text: &str) -> usize {
    let mut chars = text.char_indices();
    let Some((_, quote)) = chars.next() else {
        return 0;
    };
    while let Some((at, char)) = chars.next() {
        if char == '\\' {
            chars.next();
        } else if char == quote {
            return at + char.len_utf8();
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(source: &str) -> Vec<MistakeKind> {
        let all = mistakes(source, |f| f == "mrkdwn", |t| t == "none");
        all.into_iter().map(|mistake| mistake.kind).collect()
    }

    #[test]
    fn tags_end_where_they_end_whatever_they_quote() {
        let tags = |source| -> Vec<&str> {
            let tags = pieces(source).into_iter().filter(|piece| piece.tag);
            tags.map(|piece| piece.text).collect()
        };
        assert_eq!(tags("a{{ b }}c{% d %}"), ["{{ b }}", "{% d %}"]);
        assert_eq!(tags("{{ {'a': {'b': 1}} }}/x"), ["{{ {'a': {'b': 1}} }}"]);
        assert_eq!(
            tags(r#"{{ "}}\"" }}{# " #}"#),
            [r#"{{ "}}\"" }}"#, "{# \" #}"]
        );
        assert_eq!(tags("{{ open"), ["{{ open"]);
        assert_eq!(tags("{{"), ["{{"]);
    }

    #[test]
    fn mistakes_are_found_in_code_and_not_in_text() {
        assert_eq!(
            found("{{ a | mrkdwn | mrkdn }}"),
            [MistakeKind::UnknownFilter("mrkdn".to_owned())]
        );
        assert_eq!(
            found("{{ a if b is not nothing }}"),
            [MistakeKind::UnknownTest("nothing".to_owned())]
        );
        assert_eq!(
            found("{{ a.upper() }}"),
            [MistakeKind::Method("upper".to_owned())]
        );
        assert_eq!(found("{% if a != none %}"), [MistakeKind::ComparesWithNone]);
        assert_eq!(
            found("{{ '| x' }} | y {# | z #}{{ loop.cycle(1) }}{{ a is none }}"),
            []
        );
    }

    #[test]
    fn lines_count_from_one() {
        let all = mistakes(
            "a\n{{ b\n| mrkdwn }}\n{{ c | x }}",
            |f| f == "mrkdwn",
            |_| true,
        );
        assert_eq!(all[0].line, 4);
        assert_eq!(line_of("a\nresults\n{{ result }}", "result"), 3);
    }

    proptest! {
        #[test]
        fn splitting_loses_nothing_and_never_panics(source in r#"([{}%#"'\\a-c|.( )]|\PC){0,60}"#) {
            let whole: String = pieces(&source).iter().map(|piece| piece.text).collect();
            prop_assert_eq!(&whole, &source);
            mistakes(&source, |_| false, |_| false);
        }
    }
}
