//! A JSON body, read once into borrowed slices: whatever the grammar allows (RFC 8259) is taken, also
//! what a strict reader chokes on (lone surrogates, numbers beyond a double, repeated keys).

mod minimise;

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::canonical;
use crate::model::FieldDigests;

/// Arrays and objects inside one another, at most.
pub const MAX_DEPTH: usize = 64;

/// Room that is made at once for an object's members: an interview result has about as many.
const MEMBERS: usize = 16;

/// A body that was found to be JSON. It borrows the bytes.
#[derive(Debug)]
pub struct Body<'a> {
    text: &'a str,
    root: Node<'a>,
}

/// Why bytes are no JSON that can be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("the body is not JSON (at byte {at})")]
    NotJson { at: usize },
    #[error("the body is nested over {MAX_DEPTH} levels deep")]
    TooDeep,
}

/// A JSON value whose texts and numbers are slices of the body, escapes and all.
#[derive(Debug)]
pub(super) enum Node<'a> {
    Null,
    Bool(bool),
    Number(&'a str),
    /// Between the quotes, not unescaped.
    Text(&'a str),
    List(Vec<Node<'a>>),
    Object(Vec<(&'a str, Node<'a>)>),
}

impl<'a> Body<'a> {
    /// Reads a body. UTF-8 without a byte order mark, one value, nothing after it but white space.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(bytes).map_err(|error| Malformed::NotJson {
            at: error.valid_up_to(),
        })?;
        let mut reader = Reader { text, at: 0 };
        reader.space();
        let root = reader.value(0)?;
        reader.space();
        if reader.at < text.len() {
            Err(reader.malformed())
        } else {
            Ok(Self { text, root })
        }
    }

    /// Keyed digests of the top-level fields that are not null; a body that is no object counts as one
    /// field without a name. Equal values have equal digests: key order aside, numbers as exact
    /// decimals, of repeated keys the last.
    pub fn digests(&self, key: &[u8; 32]) -> FieldDigests {
        let mut fields = FieldDigests::default();
        let mut spelling = Vec::with_capacity(self.text.len());
        let mut digest = |value: &Node<'_>| canonical::digest(value, key, &mut spelling);
        let Node::Object(members) = &self.root else {
            fields.set("", digest(&self.root));
            return fields;
        };
        for (name, value) in members {
            let name = unescape(name);
            match value {
                Node::Null => fields.clear(&name),
                _ => fields.set(name, digest(value)),
            }
        }
        fields
    }

    /// The body as a value for expressions and templates. Where the grammar allows more than a value
    /// can hold: a lone surrogate becomes U+FFFD, a number beyond a double its own text.
    pub fn value(&self) -> Value {
        serde_json::from_str(self.text).unwrap_or_else(|_| lenient(&self.root))
    }

    /// A top-level field as text: a text itself, or a number as written.
    pub(super) fn text_field(&self, name: &str) -> Option<Cow<'a, str>> {
        member(&self.root, name).and_then(as_text)
    }

    /// A top-level field that is a text, not a number.
    pub(super) fn string_field(&self, name: &str) -> Option<Cow<'a, str>> {
        match member(&self.root, name)? {
            Node::Text(raw) => Some(unescape(raw)),
            _ => None,
        }
    }

    /// What a JSON pointer (RFC 6901) leads to, as text.
    pub(super) fn pointed(&self, pointer: &str) -> Option<Cow<'a, str>> {
        let mut node = &self.root;
        for token in pointer.strip_prefix('/')?.split('/') {
            let token = token.replace("~1", "/").replace("~0", "~");
            node = match node {
                Node::List(items) => items.get(token.parse::<usize>().ok()?)?,
                _ => member(node, &token)?,
            };
        }
        as_text(node)
    }
}

fn member<'n, 'a>(node: &'n Node<'a>, name: &str) -> Option<&'n Node<'a>> {
    let Node::Object(members) = node else {
        return None;
    };
    members
        .iter()
        .rev()
        .find(|(raw, _)| is_named(raw, name))
        .map(|(_, value)| value)
}

/// Whether a name stands for this text. Escaped, it would be longer.
fn is_named(raw: &str, name: &str) -> bool {
    *raw == *name || (raw.len() > name.len() && unescape(raw) == name)
}

fn as_text<'a>(node: &Node<'a>) -> Option<Cow<'a, str>> {
    match node {
        Node::Text(raw) => Some(unescape(raw)),
        Node::Number(digits) => Some(Cow::Borrowed(digits)),
        _ => None,
    }
}

fn lenient(node: &Node<'_>) -> Value {
    match node {
        Node::Null => Value::Null,
        Node::Bool(bit) => Value::Bool(*bit),
        Node::Number(digits) => {
            serde_json::from_str(digits).unwrap_or_else(|_| Value::String((*digits).to_owned()))
        }
        Node::Text(raw) => Value::String(unescape(raw).into_owned()),
        Node::List(items) => Value::Array(items.iter().map(lenient).collect()),
        Node::Object(members) => {
            let fields: Map<String, Value> = members
                .iter()
                .map(|(name, value)| (unescape(name).into_owned(), lenient(value)))
                .collect();
            Value::Object(fields)
        }
    }
}

/// The text that `raw` stands for; a lone surrogate becomes U+FFFD. `raw` has been read by a [`Reader`].
pub(super) fn unescape(raw: &str) -> Cow<'_, str> {
    let Some(first) = memchr::memchr(b'\\', raw.as_bytes()) else {
        return Cow::Borrowed(raw);
    };
    let (plain, mut rest) = raw.split_at(first);
    let mut text = String::with_capacity(raw.len());
    text.push_str(plain);
    while let Some(escape) = rest.strip_prefix('\\') {
        let (kind, after) = escape.split_at(1);
        rest = after;
        match kind {
            "n" => text.push('\n'),
            "t" => text.push('\t'),
            "r" => text.push('\r'),
            "b" => text.push('\u{8}'),
            "f" => text.push('\u{c}'),
            "u" => {
                let (unit, after) = code_unit(rest);
                rest = after;
                let low = rest.strip_prefix("\\u").map(code_unit);
                let pair = low.and_then(|(low, after)| Some((combine(unit, low)?, after)));
                if let Some((whole, after)) = pair {
                    rest = after;
                    text.push(whole);
                } else {
                    text.push(
                        char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER),
                    );
                }
            }
            literal => text.push_str(literal),
        }
        let plain_until = rest.find('\\').unwrap_or(rest.len());
        let (plain, after) = rest.split_at(plain_until);
        text.push_str(plain);
        rest = after;
    }
    Cow::Owned(text)
}

fn code_unit(text: &str) -> (u16, &str) {
    let (digits, rest) = text.split_at(4);
    (u16::from_str_radix(digits, 16).unwrap_or(0), rest)
}

fn combine(high: u16, low: u16) -> Option<char> {
    char::decode_utf16([high, low])
        .next()?
        .ok()
        .filter(|whole| whole.len_utf16() == 2)
}

/// Walks over a text and finds the values in it.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Node<'a>, Malformed> {
        match self.peek() {
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.list(depth + 1),
            Some(b'"') => self.string().map(Node::Text),
            Some(b't') => self.word("true", Node::Bool(true)),
            Some(b'f') => self.word("false", Node::Bool(false)),
            Some(b'n') => self.word("null", Node::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.malformed()),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Node<'a>, Malformed> {
        self.open(depth)?;
        let mut members = Vec::with_capacity(if depth == 1 { MEMBERS } else { 0 });
        if self.took(b'}') {
            return Ok(Node::Object(members));
        }
        loop {
            let name = self.string()?;
            self.space();
            self.need(b':')?;
            self.space();
            members.push((name, self.value(depth)?));
            self.space();
            if self.took(b'}') {
                return Ok(Node::Object(members));
            }
            self.need(b',')?;
            self.space();
        }
    }

    fn list(&mut self, depth: usize) -> Result<Node<'a>, Malformed> {
        self.open(depth)?;
        let mut items = Vec::new();
        if self.took(b']') {
            return Ok(Node::List(items));
        }
        loop {
            items.push(self.value(depth)?);
            self.space();
            if self.took(b']') {
                return Ok(Node::List(items));
            }
            self.need(b',')?;
            self.space();
        }
    }

    fn open(&mut self, depth: usize) -> Result<(), Malformed> {
        if depth > MAX_DEPTH {
            return Err(Malformed::TooDeep);
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    fn string(&mut self) -> Result<&'a str, Malformed> {
        self.need(b'"')?;
        let start = self.at;
        loop {
            self.plain()?;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return self
                        .text
                        .get(start..self.at - 1)
                        .ok_or_else(|| self.malformed());
                }
                Some(b'\\') => self.escape()?,
                _ => return Err(self.malformed()),
            }
        }
    }

    /// Goes to the next quote or escape in a string, which is most of the work of reading a body.
    fn plain(&mut self) -> Result<(), Malformed> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let length = memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
        let plain = rest.get(..length).unwrap_or_default();
        if plain.iter().any(|byte| *byte < 0x20) {
            let control = plain.iter().position(|byte| *byte < 0x20);
            self.at += control.unwrap_or(length);
            return Err(self.malformed());
        }
        self.at += length;
        Ok(())
    }

    fn escape(&mut self) -> Result<(), Malformed> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.peek().is_some_and(|b| b.is_ascii_hexdigit()) {
                        return Err(self.malformed());
                    }
                    self.at += 1;
                }
            }
            _ => return Err(self.malformed()),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Node<'a>, Malformed> {
        let start = self.at;
        self.took(b'-');
        if !self.took(b'0') {
            self.digits()?;
        }
        if self.took(b'.') {
            self.digits()?;
        }
        if self.took(b'e') || self.took(b'E') {
            let _sign = self.took(b'+') || self.took(b'-');
            self.digits()?;
        }
        self.text
            .get(start..self.at)
            .map(Node::Number)
            .ok_or_else(|| self.malformed())
    }

    fn digits(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start {
            Err(self.malformed())
        } else {
            Ok(())
        }
    }

    fn word(&mut self, word: &str, node: Node<'a>) -> Result<Node<'a>, Malformed> {
        let here = self.text.as_bytes().get(self.at..self.at + word.len());
        if here != Some(word.as_bytes()) {
            return Err(self.malformed());
        }
        self.at += word.len();
        Ok(node)
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn took(&mut self, byte: u8) -> bool {
        let here = self.peek() == Some(byte);
        self.at += usize::from(here);
        here
    }

    fn need(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.took(byte) {
            Ok(())
        } else {
            Err(self.malformed())
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn malformed(&self) -> Malformed {
        Malformed::NotJson { at: self.at }
    }
}

#[cfg(test)]
mod tests;
