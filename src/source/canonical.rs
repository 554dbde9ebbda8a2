//! One spelling for equal JSON values, and its keyed digest.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::body::{Node, unescape};

/// Keyed BLAKE3 of the value's one spelling, 16 bytes of it. `room` is where it is spelled.
pub(super) fn digest(node: &Node<'_>, key: &[u8; 32], room: &mut Vec<u8>) -> [u8; 16] {
    room.clear();
    spell(node, room);
    let hash = blake3::keyed_hash(key, room);
    let (half, _) = hash
        .as_bytes()
        .split_first_chunk()
        .expect("a digest has 32 bytes");
    *half
}

/// Writes a tag, and lengths before anything whose end could be mistaken.
fn spell(node: &Node<'_>, out: &mut Vec<u8>) {
    match node {
        Node::Null => out.push(b'n'),
        Node::Bool(bit) => out.push(if *bit { b't' } else { b'f' }),
        Node::Number(digits) => {
            out.push(b'd');
            sized(decimal(digits).as_bytes(), out);
        }
        Node::Text(raw) => {
            out.push(b's');
            spell_text(raw, out);
        }
        Node::List(items) => {
            out.push(b'l');
            count(items.len(), out);
            for item in items {
                spell(item, out);
            }
        }
        Node::Object(members) => {
            let last_wins: BTreeMap<_, _> = members
                .iter()
                .map(|(name, value)| (unescape(name), value))
                .collect();
            out.push(b'o');
            count(last_wins.len(), out);
            for (name, value) in last_wins {
                sized(name.as_bytes(), out);
                spell(value, out);
            }
        }
    }
}

/// A text that holds a lone surrogate is spelled as written, or all such texts would look alike.
fn spell_text(raw: &str, out: &mut Vec<u8>) {
    match unescape(raw) {
        Cow::Owned(text) if text.contains(char::REPLACEMENT_CHARACTER) => {
            out.push(b'\\');
            sized(raw.as_bytes(), out);
        }
        text => sized(text.as_bytes(), out),
    }
}

fn sized(bytes: &[u8], out: &mut Vec<u8>) {
    count(bytes.len(), out);
    out.extend_from_slice(bytes);
}

fn count(number: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&(number as u64).to_be_bytes());
}

/// A number as its digits without leading or trailing zeros and the power of ten of the last digit,
/// so that 5, 5.0 and 50e-1 are spelled alike however long they are.
fn decimal(number: &str) -> String {
    let (sign, unsigned) = match number.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", number),
    };
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return "0".to_owned();
    }
    let dropped = digits.len() - significant.len();
    let shift = i128::try_from(dropped).unwrap_or(0) - i128::try_from(fraction.len()).unwrap_or(0);
    match exponent
        .parse::<i128>()
        .ok()
        .and_then(|exponent| exponent.checked_add(shift))
    {
        Some(power) => format!("{sign}{significant}e{power}"),
        // An exponent of 39 digits: only the same text is the same number to us.
        None => number.to_ascii_lowercase(),
    }
}
