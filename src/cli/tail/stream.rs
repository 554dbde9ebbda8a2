//! Server-sent events, put together from the pieces that they come in.

use serde_json::Value;

/// One thing that happened.
#[derive(Debug, PartialEq)]
pub(super) struct Told {
    pub(super) kind: String,
    pub(super) data: Value,
}

/// What has come of a stream and is not complete yet.
#[derive(Default)]
pub(super) struct Lines {
    rest: Vec<u8>,
    kind: String,
    data: String,
}

impl Told {
    /// As one object, with its kind in it.
    pub(super) fn json(&self) -> String {
        let mut object =
            serde_json::Map::from_iter([("kind".to_owned(), self.kind.clone().into())]);
        match &self.data {
            Value::Object(data) => object.extend(data.clone()),
            other => drop(object.insert("data".to_owned(), other.clone())),
        }
        Value::Object(object).to_string()
    }
}

impl Lines {
    /// What is complete with this piece. Comments and what is no JSON are passed over.
    pub(super) fn take(&mut self, piece: &[u8]) -> Vec<Told> {
        self.rest.extend_from_slice(piece);
        let mut told = Vec::new();
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            told.extend(self.line(line.trim_end_matches(['\n', '\r'])));
        }
        told
    }

    fn line(&mut self, line: &str) -> Option<Told> {
        if line.is_empty() {
            let kind = std::mem::take(&mut self.kind);
            let data = std::mem::take(&mut self.data);
            let data: Value = serde_json::from_str(&data).ok()?;
            let within = data["kind"].as_str().map(str::to_owned);
            return Some(Told {
                kind: within.unwrap_or(kind),
                data,
            });
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.kind),
            "data" => self.data.push_str(value),
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn things_are_whole_however_they_are_cut() {
        let text = ": hello\nretry: 2000\n\nid: 1\nevent: lane\ndata: {\"state\":\"žluť\"}\n\n\
                    : still here\n\nid: 2\ndata: {\"kind\":\"event\",\"id\":\"evt_1\"}\r\n\r\n";
        let expect = [
            Told {
                kind: "lane".to_owned(),
                data: json!({ "state": "žluť" }),
            },
            Told {
                kind: "event".to_owned(),
                data: json!({ "kind": "event", "id": "evt_1" }),
            },
        ];
        for size in 1..text.len() {
            let mut lines = Lines::default();
            let pieces = text.as_bytes().chunks(size);
            let told: Vec<Told> = pieces.flat_map(|piece| lines.take(piece)).collect();
            assert_eq!(told, expect, "in pieces of {size}");
        }
        assert_eq!(expect[0].json(), r#"{"kind":"lane","state":"žluť"}"#);
        assert_eq!(expect[1].json(), r#"{"kind":"event","id":"evt_1"}"#);
    }
}
