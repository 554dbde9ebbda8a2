//! A body without the fields that nobody uses. What is left is byte for byte as it was received.

use super::{Body, Node, Reader, unescape};
use crate::model::Kept;

impl Body<'_> {
    /// The body with its `kept` top-level fields alone, in their order; of repeated keys the last, which is the
    /// one that counts. A body that is no object has no fields that a rule could name: its kind is left, so that
    /// rules find it neither null nor an object, and of a list those elements that a pointer of the source picks.
    pub fn keeping(&self, kept: &Kept) -> Vec<u8> {
        let left = match &self.root {
            Node::Object(_) => self.fields(kept),
            Node::List(items) => self.elements(items.len(), kept),
            Node::Text(_) => "\"\"".to_owned(),
            Node::Number(_) => "0".to_owned(),
            Node::Bool(_) => "false".to_owned(),
            Node::Null => "null".to_owned(),
        };
        left.into_bytes()
    }

    fn fields(&self, kept: &Kept) -> String {
        let mut fields: Vec<(&str, &str)> = Vec::new();
        for (name, value) in Reader::members(self.text) {
            let plain = unescape(name);
            if kept.holds(&plain) {
                fields.retain(|(known, _)| unescape(known) != plain);
                fields.push((name, value));
            }
        }
        let fields = fields.iter();
        let fields: Vec<String> = fields
            .map(|(name, value)| format!("\"{name}\":{value}"))
            .collect();
        format!("{{{}}}", fields.join(","))
    }

    /// Positions stay what they are: what is not kept before the last one that is becomes null.
    fn elements(&self, count: usize, kept: &Kept) -> String {
        let picked = |at: usize| kept.iter().any(|field| field.parse() == Ok(at));
        let until = (0..count).rposition(picked).map_or(0, |last| last + 1);
        let elements = Reader::elements(self.text).into_iter().enumerate();
        let elements = elements.take(until);
        let elements: Vec<&str> = elements
            .map(|(at, element)| if picked(at) { element } else { "null" })
            .collect();
        format!("[{}]", elements.join(","))
    }
}

impl<'a> Reader<'a> {
    /// Names and values of the object that `text` is, each as it is written; `text` has been read before.
    fn members(text: &'a str) -> Vec<(&'a str, &'a str)> {
        let mut reader = Reader { text, at: 0 };
        let mut members = Vec::new();
        while reader.next_item().is_some()
            && let Ok(name) = reader.string()
        {
            reader.space();
            reader.took(b':');
            let Some(value) = reader.written() else { break };
            members.push((name, value));
        }
        members
    }

    /// The elements of the list that `text` is, likewise.
    fn elements(text: &'a str) -> Vec<&'a str> {
        let mut reader = Reader { text, at: 0 };
        let mut elements = Vec::new();
        while reader.next_item().is_some()
            && let Some(value) = reader.written()
        {
            elements.push(value);
        }
        elements
    }

    /// Steps over what stands before an item: the bracket that opens, or a comma.
    fn next_item(&mut self) -> Option<()> {
        self.space();
        let stands = matches!(self.peek(), Some(b'{' | b'[' | b','));
        self.at += usize::from(stands);
        self.space();
        stands.then_some(())
    }

    fn written(&mut self) -> Option<&'a str> {
        self.space();
        let start = self.at;
        self.value(0).ok()?;
        self.text.get(start..self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kept(fields: &[&str]) -> Kept {
        fields.iter().map(|field| (*field).to_owned()).collect()
    }

    fn keeping(body: &str, fields: &[&str]) -> String {
        let body = Body::parse(body.as_bytes()).expect(body);
        String::from_utf8(body.keeping(&kept(fields))).expect("it was a text")
    }

    #[test]
    fn kept_fields_are_as_they_were_received() {
        for (body, left) in [
            (r#" { "a" : 1 , "b" : 2 , "c" : 3 } "#, r#"{"a":1,"c":3}"#),
            (r#"{"c":3,"b":{"a":9},"a":1}"#, r#"{"c":3,"a":1}"#),
            (
                r#"{"a":1e999,"b":1,"c":-0.10E+2}"#,
                r#"{"a":1e999,"c":-0.10E+2}"#,
            ),
            (r#"{"a":"\ud800 \/","b":"\ud800"}"#, r#"{"a":"\ud800 \/"}"#),
            (
                "{\"c\": [ 1,\n {\"x\" : [ ] } ] ,\"b\":[{}]}",
                "{\"c\":[ 1,\n {\"x\" : [ ] } ]}",
            ),
            (r#"{"a":null,"d":{}}"#, r#"{"a":null}"#),
            (r#"{"b":1}"#, "{}"),
            ("{ }", "{}"),
        ] {
            assert_eq!(keeping(body, &["a", "c"]), left, "{body}");
        }
    }

    #[test]
    fn of_repeated_keys_the_last_is_left_however_it_is_spelled() {
        assert_eq!(
            keeping(r#"{"a":"first","c":1,"\u0061":"last","b":2}"#, &["a", "c"]),
            r#"{"c":1,"\u0061":"last"}"#
        );
        assert_eq!(
            keeping(r#"{"a":"first","a":null}"#, &["a"]),
            r#"{"a":null}"#
        );
    }

    #[test]
    fn a_body_that_is_no_object_keeps_its_kind_alone() {
        for (body, left) in [
            ("\"secret\"", "\"\""),
            (" 4417820 ", "0"),
            ("true", "false"),
            ("null", "null"),
            ("[1,\"secret\"]", "[]"),
            ("[]", "[]"),
        ] {
            assert_eq!(keeping(body, &["a"]), left, "{body}");
        }
        let list = r#"["secret", {"event" : "x"}, 3]"#;
        assert_eq!(keeping(list, &["1"]), r#"[null,{"event" : "x"}]"#);
        assert_eq!(keeping(list, &["7"]), "[]");
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            "\\PC{0,8}".prop_map(Into::into),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::btree_map("[a-d]", inner, 0..5)
                    .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// Fields that are kept have the digests and values that they had, others are gone, and once is enough.
        #[test]
        fn what_is_kept_is_equal(body in json(), fields in prop::collection::btree_set("[a-d]", 0..4)) {
            let fields: Kept = fields.into_iter().collect();
            let text = body.to_string();
            let whole = Body::parse(text.as_bytes()).unwrap();
            let bytes = whole.keeping(&fields);
            let left = Body::parse(&bytes).unwrap();
            prop_assert_eq!(left.keeping(&fields), bytes.clone());
            if let serde_json::Value::Object(mut expected) = body {
                expected.retain(|field, _| fields.holds(field));
                prop_assert_eq!(left.value(), serde_json::Value::Object(expected));
                let differing = whole.digests(&[1; 32]).differing(&left.digests(&[1; 32]), |_| false);
                prop_assert!(differing.iter().all(|field| !fields.holds(field)));
            }
        }
    }
}
