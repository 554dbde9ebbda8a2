//! Nothing that a rule uses is lost: each request is the same from what is kept as from the whole body,
//! and so is each decision.

use bytes::Bytes;
use jiff::Timestamp;
use mojito_relay::app::{AsKept, Past, Question, Ready, SAMPLES, compile, explain};
use mojito_relay::config;
use mojito_relay::model::{EventId, Kept};
use mojito_relay::source::{Body, Source};
use proptest::prelude::*;
use serde_json::Value;

use crate::harness::inputs_without_a_file;
use crate::hostile::payloads::payload;
use crate::presets::OPERATORS;

/// Every preset with all that it can show, and a route that looks at several fields.
fn all_presets(minimise: bool) -> Ready {
    let mut toml = format!(
        "[sources.jobmojito]\nauth = \"none\"\nminimise = {minimise}\n\
         [sources.shop]\nkind = \"generic\"\nauth = \"none\"\ntype = \"/event\"\nsubject = \"/data/id\"\nminimise = {minimise}\n"
    );
    for (preset, keys) in OPERATORS {
        let block = format!(
            "[destinations.{preset}]\npreset = \"{preset}\"\n{keys}\nwith.analysis = true\n\
             [[routes]]\nname = \"to-{preset}\"\nevents = [\"*\"]\nto = [\"{preset}\"]\n"
        );
        toml += &block;
    }
    toml += "[destinations.newest]\nurl = \"http://newest.test/{{ result.id }}\"\nrevisions = \"latest\"\n\
             body = { was = \"{{ previous.interview_id }}\", deep = \"{{ result.nested.deep }}\", changed = \"{{ event.changed }}\" }\n\
             [[routes]]\nname = \"decided\"\nevents = [\"*\"]\nchanged = [\"recruiter_go_next_round\"]\nto = [\"newest\"]\n\
             [[routes]]\nname = \"linked\"\nevents = [\"*\"]\nchanged = [\"profile_interview_id\"]\nto = [\"newest\"]\n\
             [[routes]]\nname = \"moved\"\nevents = [\"*\"]\nto = [\"newest\"]\n\
             when = \"previous != null && previous.processing_status != result.processing_status\"\n\
             [[routes]]\nname = \"high\"\nevents = [\"*\"]\nto = [\"newest\"]\nwhen = \"result.score > 4.0 || result['interview_id'] == 7.0\"\n";
    let loaded = config::load_text(&inputs_without_a_file(), &toml);
    let loaded = loaded.unwrap_or_else(|findings| panic!("{findings:#?}"));
    compile(loaded, true).unwrap_or_else(|findings| panic!("{findings:#?}"))
}

struct Pair {
    whole: Ready,
    minimised: Ready,
}

impl Pair {
    fn new() -> Self {
        Self {
            whole: all_presets(false),
            minimised: all_presets(true),
        }
    }

    /// Compares what becomes of `body` after `previous`, where that is of the same subject: once as it comes in,
    /// and once as it stands in the store. Answers how many deliveries there were.
    fn compare(&self, source: &str, body: &str, previous: Option<&str>) -> usize {
        let (body, previous) = (
            Bytes::from(body.to_owned()),
            previous.map(|text| Bytes::from(text.to_owned())),
        );
        let told = |ready: &Ready| explained(ready, source, &body, previous.as_ref());
        let Some(expected) = told(&self.whole) else {
            return 0;
        };
        let fresh = told(&self.minimised).expect("the same body");
        assert_eq!(fresh, expected, "{body:?} after {previous:?}");
        let stored = self.stored(source, &body, previous.as_ref(), &expected);
        for key in ["deliveries", "type", "subject", "revision", "changed"] {
            assert_eq!(
                stored[key], expected[key],
                "{key} of {body:?} after {previous:?}, from the store"
            );
        }
        let matched = |told: &Value| -> Vec<bool> {
            let routes = told["routes"].as_array().unwrap().iter();
            routes.map(|route| route["matched"] == true).collect()
        };
        assert_eq!(matched(&stored), matched(&expected), "{body:?}");
        expected["deliveries"].as_array().unwrap().len()
    }

    /// What is told of the event once only its payloads in the store are there to look at.
    fn stored(
        &self,
        source: &str,
        body: &Bytes,
        previous: Option<&Bytes>,
        expected: &Value,
    ) -> Value {
        let (source, kept) = self.source(source);
        let part = |body: &Bytes| Bytes::from(Body::parse(body).unwrap().keeping(kept));
        let supposed = |body: &Bytes| Past {
            payload: part(body),
            kept: Some(kept.clone()),
            ..Past::supposed(&self.minimised, source, body, now()).unwrap()
        };
        let history: Vec<Past> = previous.map(supposed).into_iter().collect();
        let payload = part(body);
        let changed = expected["changed"].as_array().unwrap().iter();
        let changed: Vec<String> = changed
            .map(|field| field.as_str().unwrap().to_owned())
            .collect();
        let question = Question {
            stored: Some((EventId::first_at(now()), now())),
            as_kept: Some(AsKept {
                kept: Some(kept),
                payload: &payload,
                changed: &changed,
            }),
            ..Question::new(source, &payload, &history, now())
        };
        serde_json::to_value(explain(&self.minimised, question).unwrap()).unwrap()
    }

    fn source(&self, name: &str) -> (&Source, &Kept) {
        let rules = &self.minimised.compiled.rules;
        (&rules.sources[name], &rules.kept[name])
    }
}

fn now() -> Timestamp {
    "2026-11-22T09:00:00Z".parse().unwrap()
}

/// None where it goes nowhere, or `previous` is no revision of it.
fn explained(ready: &Ready, source: &str, body: &Bytes, previous: Option<&Bytes>) -> Option<Value> {
    let source = &ready.compiled.rules.sources[source];
    let supposed = |body: &Bytes| Past::supposed(ready, source, body, now()).unwrap();
    let history: Vec<Past> = previous.map(supposed).into_iter().collect();
    let told = explain(ready, Question::new(source, body, &history, now())).ok()?;
    (!told.duplicate).then(|| serde_json::to_value(told).unwrap())
}

/// The body with more in it than any rule uses.
fn padded(body: &str, id: &str) -> String {
    let mut value: Value = serde_json::from_str(body).unwrap();
    value["id"] = id.into();
    value["profile_interview_id"] = 7.into();
    value["unused"] = serde_json::json!({"text": body, "list": [1, null, {"id": 2}]});
    value.to_string()
}

#[test]
fn every_preset_sends_the_same_for_every_sample_and_every_step_between_two() {
    let pair = Pair::new();
    let (_, kept) = pair.source("jobmojito");
    assert!(!kept.holds("unused") && kept.holds("interview_id") && kept.holds("nested"));
    let mut compared = 0;
    for (_, body) in SAMPLES {
        let body = padded(body, "r-1");
        compared += pair.compare("jobmojito", &body, None);
        for (_, previous) in SAMPLES.iter().step_by(3) {
            compared += pair.compare("jobmojito", &body, Some(&padded(previous, "r-1")));
        }
    }
    assert!(compared > 500, "only {compared} deliveries were compared");
}

#[test]
fn a_generic_source_keeps_what_its_pointers_lead_to() {
    let pair = Pair::new();
    let (_, kept) = pair.source("shop");
    assert!(kept.holds("event") && kept.holds("data") && !kept.holds("unused"));
    for body in [
        r#"{"event":"order.paid","data":{"id":7},"score":9,"unused":[1]}"#,
        r#"{"unused":1}"#,
        "[1,2]",
        "\"text\"",
        "null",
    ] {
        assert!(pair.compare("shop", body, None) > 0, "{body}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_payload_is_sent_alike(result in payload(), previous in prop::option::of(payload())) {
        thread_local!(static PAIR: Pair = Pair::new());
        let of_subject = |mut value: Value| {
            if value.is_object() {
                value["id"] = "r-1".into();
            }
            value.to_string()
        };
        let (body, previous) = (of_subject(result), previous.map(of_subject));
        PAIR.with(|pair| pair.compare("jobmojito", &body, previous.as_deref()));
    }
}
