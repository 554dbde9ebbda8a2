//! What Slack takes, and what may not be live in it. Lengths are UTF-16 units, which are never fewer
//! than code points.

use mojito_relay::template::text::units;
use serde_json::Value;

/// A message that Slack takes, in which nothing from outside is live.
pub fn within_slacks_limits(message: &Value) {
    let text = message["text"].as_str().expect("a text for notifications");
    assert!((1..=3000).contains(&units(text)), "{}", units(text));
    let blocks = message["blocks"].as_array().expect("blocks");
    assert!((1..=50).contains(&blocks.len()), "{}", blocks.len());
    let total: usize = blocks.iter().map(block).sum();
    assert!(total <= 10_000, "{total}");
    inert(message);
}

fn block(block: &Value) -> usize {
    let list = |key: &str| block[key].as_array().cloned();
    let (most, texts) = match block["type"].as_str().expect("a type") {
        "header" => (150, vec![block["text"].clone()]),
        "section" => {
            let fields = list("fields").unwrap_or_default();
            assert!(fields.len() <= 10);
            let each = fields.iter().map(|field| text(field, 2000));
            let length: usize = each.sum();
            let own: Vec<Value> = block.get("text").cloned().into_iter().collect();
            assert!(!(own.is_empty() && fields.is_empty()), "an empty section");
            return length + own.iter().map(|own| text(own, 3000)).sum::<usize>();
        }
        "context" => (2000, list("elements").expect("elements")),
        "actions" => return list("elements").expect("elements").iter().map(button).sum(),
        other => panic!("a block of type {other}"),
    };
    assert!((1..=10).contains(&texts.len()), "{block}");
    texts.iter().map(|each| text(each, most)).sum()
}

fn button(button: &Value) -> usize {
    let url = button["url"].as_str().expect("a link");
    assert!(url.starts_with("http") && units(url) <= 3000, "{url}");
    text(&button["text"], 75)
}

fn text(object: &Value, most: usize) -> usize {
    let text = object["text"].as_str().expect("a text");
    assert!((1..=most).contains(&units(text)), "{}: {text}", units(text));
    assert!(!text.trim().is_empty(), "a text of nothing");
    if object["type"] == "mrkdwn" {
        // Labels and numbers: whatever else comes from outside stands in plain text.
        assert!(
            text.chars()
                .filter(|c| matches!(c, '*' | '_' | '`' | '~'))
                .count()
                <= 2,
            "{text}"
        );
    } else {
        assert_eq!(
            (&object["type"], &object["emoji"]),
            (&"plain_text".into(), &false.into())
        );
    }
    units(text)
}

/// No text holds a character that begins a mention or a link, none is half an entity, and none is null.
fn inert(value: &Value) {
    match value {
        Value::String(text) if text.starts_with("http") => {
            assert!(!text.contains(['<', '>', '|', ' ']), "{text}");
        }
        Value::String(text) => {
            assert!(!text.contains(['<', '>']), "{text}");
            let bare = ["&amp;", "&lt;", "&gt;"];
            let bare = bare
                .iter()
                .fold(text.clone(), |text, entity| text.replace(entity, ""));
            assert!(!bare.contains('&'), "{text}");
        }
        Value::Array(items) => items.iter().for_each(inert),
        Value::Object(fields) => fields.values().for_each(inert),
        Value::Null => panic!("null in a message"),
        Value::Bool(_) | Value::Number(_) => {}
    }
}
