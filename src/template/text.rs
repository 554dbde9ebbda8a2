//! Text from outside made fit for people: hidden characters out, escaped for Slack, cut at graphemes.
//! Lengths are UTF-16 code units: never fewer than code points, so the stricter of the two.

use unicode_segmentation::UnicodeSegmentation;

const ELLIPSIS: &str = "…";

/// Escapes text for Slack: the three characters that Slack gives a meaning, and nothing else. Hidden
/// characters go, newlines stay. With `limit`, the *result* has at most so many units.
pub fn mrkdwn(text: &str, limit: Option<usize>) -> String {
    let shown = visible(text, limit);
    let Some(limit) = limit else {
        return escape(&shown);
    };
    let mut escaped = String::with_capacity(shown.len());
    let whole = push_within(&mut escaped, &shown, limit, escape);
    finish(escaped, whole, limit)
}

/// One line of text: hidden characters out, every run of white space a single space.
pub fn plain(text: &str, limit: Option<usize>) -> String {
    let shown = visible(text, None);
    let mut line = String::with_capacity(shown.len());
    for word in shown.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    match limit {
        Some(limit) => shorten(&line, limit),
        None => line,
    }
}

/// At most `limit` units of `text`, cut between graphemes, with an ellipsis where something is missing.
pub fn shorten(text: &str, limit: usize) -> String {
    let mut short = String::new();
    let whole = push_within(&mut short, text, limit, str::to_owned);
    finish(short, whole, limit)
}

/// Length in UTF-16 code units.
pub fn units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// `text` without characters that change how other text looks or that cannot be seen. Joiners inside
/// emoji and scripts stay. Stops soon after `limit` units, where whatever follows would be cut anyway.
fn visible(text: &str, limit: Option<usize>) -> String {
    let enough = limit.unwrap_or(usize::MAX);
    let mut shown = String::with_capacity(text.len().min(enough.saturating_mul(4)));
    let mut length = 0_usize;
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        let kept = match char {
            '\r' if chars.peek() == Some(&'\n') => continue,
            '\n' | '\r' | '\u{2028}' | '\u{2029}' => '\n',
            '\t' => ' ',
            hidden if is_hidden(hidden) => continue,
            other => other,
        };
        shown.push(kept);
        length += kept.len_utf16();
        if length > enough {
            break;
        }
    }
    shown
}

/// Control characters, marks and overrides of writing direction, and characters of no width, except
/// the two joiners that emoji and some scripts are written with.
pub(super) fn is_hidden(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{00ad}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}'
            | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Appends `text` grapheme by grapheme as `write` has it. True where all of it fits; else what was
/// appended leaves room for the ellipsis.
fn push_within(
    result: &mut String,
    text: &str,
    limit: usize,
    write: impl Fn(&str) -> String,
) -> bool {
    let room = limit.saturating_sub(units(ELLIPSIS));
    let mut length = 0;
    let mut safe_end = 0;
    for grapheme in text.graphemes(true) {
        let written = write(grapheme);
        length += units(&written);
        if length > limit {
            result.truncate(safe_end);
            return false;
        }
        result.push_str(&written);
        if length <= room {
            safe_end = result.len();
        }
    }
    true
}

fn finish(mut text: String, whole: bool, limit: usize) -> String {
    if whole {
        return text;
    }
    text.truncate(text.trim_end().len());
    if limit > 0 {
        text.push_str(ELLIPSIS);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn mrkdwn_escapes_three_characters_once_and_in_order() {
        for (input, expected) in [
            ("a & b < c > d", "a &amp; b &lt; c &gt; d"),
            ("&amp;", "&amp;amp;"),
            ("<!channel>", "&lt;!channel&gt;"),
            ("*b* _i_ ~s~ `c` \"q\" 'q'", "*b* _i_ ~s~ `c` \"q\" 'q'"),
            ("a\r\nb\rc\u{2028}d\te\u{0}", "a\nb\nc\nd e"),
            ("\u{202e}gnp.exe\u{200b}", "gnp.exe"),
            ("👩🏽‍💻 می‌خواهم", "👩🏽‍💻 می‌خواهم"),
        ] {
            assert_eq!(mrkdwn(input, None), expected, "{input:?}");
        }
    }

    #[test]
    fn cutting_keeps_graphemes_and_entities_whole() {
        for (input, limit, expected) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("a<b", 6, "a&lt;b"),
            ("a<b", 5, "a…"),
            ("<<", 4, "…"),
            ("👩🏽‍💻!", 8, "👩🏽‍💻!"),
            ("👩🏽‍💻!", 7, "…"),
            ("one two", 5, "one…"),
            ("e\u{301}e\u{301}x", 4, "e\u{301}…"),
            ("abc", 0, ""),
            ("", 0, ""),
        ] {
            assert_eq!(mrkdwn(input, Some(limit)), expected, "{input:?} {limit}");
        }
        assert_eq!(shorten("a<bc", 3), "a<…");
    }

    #[test]
    fn plain_is_one_line() {
        assert_eq!(plain("  a\r\n\tb \u{a0} c\u{200f}  ", None), "a b c");
        assert_eq!(plain(" \u{0} \n ", None), "");
        assert_eq!(plain("abc def", Some(5)), "abc…");
    }

    proptest! {
        #[test]
        fn a_cut_result_is_within_its_limit_and_has_no_live_character(
            text in r"([<>&]|\PC|\p{Cc}|👩🏽‍💻|é|&amp;|<!channel>){0,60}", limit in 0_usize..80
        ) {
            let cut = mrkdwn(&text, Some(limit));
            prop_assert!(units(&cut) <= limit, "{cut:?}");
            prop_assert!(!cut.contains(['<', '>']));
            let bare = cut.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "");
            prop_assert!(!bare.contains('&'), "{cut:?}");
            prop_assert!(!cut.chars().any(|c| c.is_control() && c != '\n'));
            let whole = mrkdwn(&text, None);
            prop_assert!(cut == whole || limit == 0 || cut.ends_with('…'));
            prop_assert!(whole.starts_with(cut.trim_end_matches('…').trim_end()));
        }

        #[test]
        fn shortened_text_is_a_prefix_at_a_grapheme(text in r"(\PC|👩🏽‍💻|🇨🇿|e\u{301}){0,40}", limit in 1_usize..60) {
            let short = shorten(&text, limit);
            prop_assert!(units(&short) <= limit);
            if let Some(kept) = short.strip_suffix('…').filter(|_| short != text) {
                let ends: Vec<usize> = text.grapheme_indices(true).map(|(at, _)| at).collect();
                prop_assert!(text.starts_with(kept));
                let next = text.get(kept.len()..).unwrap_or_default();
                let blank = next.len() - next.trim_start().len();
                prop_assert!(ends.contains(&kept.len()) || blank > 0 || next.is_empty());
            }
        }
    }
}
