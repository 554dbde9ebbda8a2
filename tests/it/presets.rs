//! The presets of applicant tracking systems: what is sent, and what their answers mean.

use http::HeaderValue;
use mojito_relay::config::presets;
use mojito_relay::model::State;

use crate::harness::{TestRelay, answer, attempts, sample};

/// Each ATS preset with the least that an operator writes, at a receiver of the test's.
const ATS: [(&str, &str); 6] = [
    (
        "lever",
        "with = { perform_as = \"8d49b010-cc6a-4f40-ace5-e86061c677ed\" }",
    ),
    ("ashby", ""),
    (
        "workable",
        "with = { subdomain = \"acme\", member_id = \"3247e8c7\" }",
    ),
    ("smartrecruiters", ""),
    ("recruitee", "with = { company = \"acme\" }"),
    ("bamboohr", "with = { company = \"acme\" }"),
];

fn configuration(preset: &str, keys: &str) -> String {
    format!(
        "[sources.jobmojito]\nauth = \"none\"\n[destinations.ats]\npreset = \"{preset}\"\nbase_url = \"http://ats.test\"\n\
         api_key = \"k3y-of-the-test\"\nrate_limit = \"none\"\n{keys}\n[[routes]]\nto = [\"ats\"]\n"
    )
}

/// Everything that arrived, as it can be read.
fn sent(relay: &TestRelay) -> String {
    let show = |request: crate::harness::Request| {
        let headers = ["authorization", "x-smarttoken", "accept", "content-type"];
        let headers: Vec<String> = headers
            .iter()
            .filter(|name| !request.header(name).is_empty())
            .map(|name| format!("{name}: {}", request.header(name)))
            .collect();
        let body = serde_json::to_string_pretty(&request.json()).unwrap();
        format!(
            "{} {}\n{}\n{body}\n",
            request.method,
            request.url,
            headers.join("\n")
        )
    };
    relay
        .receivers
        .seen()
        .into_iter()
        .map(show)
        .collect::<Vec<_>>()
        .join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_sends_one_note_for_a_result_and_one_for_what_changed() {
    for (preset, keys) in ATS {
        let mut relay = TestRelay::start(&configuration(preset, keys)).await;
        let body = r#"{"success":true,"results":{"id":"n1"},"data":{"id":"n1"},"note":{"id":1},"id":"n1"}"#;
        relay.receivers.always("ats.test", answer(200, body));
        relay.post("jobmojito", sample("submitted-rich")).await;
        relay.ended(State::Delivered, 1).await;
        relay
            .post("jobmojito", sample("submitted-rich-selected"))
            .await;
        relay.ended(State::Delivered, 2).await;
        insta::assert_snapshot!(format!("preset-{preset}"), sent(&relay));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_without_a_candidate_is_skipped_with_the_field_s_name() {
    for (preset, keys) in ATS {
        let mut relay = TestRelay::start(&configuration(preset, keys)).await;
        relay.post("jobmojito", sample("collected")).await;
        relay.ended(State::Skipped, 1).await;
        assert!(relay.receivers.seen().is_empty(), "{preset}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sample_is_sent_or_skipped_and_none_is_dead() {
    for (preset, keys) in ATS {
        let with = if keys.is_empty() {
            "with = { analysis = true }".to_owned()
        } else {
            keys.replace("{ ", "{ analysis = true, ")
        };
        let mut relay = TestRelay::start(&configuration(preset, &with)).await;
        relay
            .receivers
            .always("ats.test", answer(200, r#"{"success":true}"#));
        let mut count = 0;
        for (_, body) in mojito_relay::app::SAMPLES {
            count += relay.post("jobmojito", *body).await.json()["deliveries"]
                .as_u64()
                .unwrap_or(0);
        }
        let ended = |log: &[mojito_relay::telemetry::Happening]| {
            log.iter().filter(|one| is_final(one)).count() as u64
        };
        relay.drive("every end", |log| ended(log) >= count).await;
        let dead: Vec<_> = attempts(&relay.log)
            .filter(|attempt| attempt.state == State::Dead)
            .collect();
        assert!(dead.is_empty(), "{preset}: {dead:?}");
    }
}

fn is_final(happening: &mojito_relay::telemetry::Happening) -> bool {
    use mojito_relay::telemetry::Happening;
    match happening {
        Happening::Attempt(attempted) => attempted.state.is_final(),
        Happening::Delivery { state, .. } => state.is_final(),
        _ => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_200_that_says_no_is_rejected_with_the_vendor_s_words() {
    for body in [
        r#"{"success":false,"errorInfo":{"code":"candidate_not_found","message":"Candidate not found"}}"#,
        r#"{"success":false,"errors":["candidate_not_found"]}"#,
    ] {
        let mut relay = TestRelay::start(&configuration("ashby", "")).await;
        relay.receivers.always("ats.test", answer(200, body));
        relay.post("jobmojito", sample("submitted-rich")).await;
        relay.ended(State::Dead, 1).await;
        let reason = attempts(&relay.log).next().unwrap().reason.clone();
        assert!(reason.to_lowercase().contains("candidate"), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn throttling_waits_and_a_wrong_key_blocks() {
    for (preset, keys) in ATS {
        let mut relay = TestRelay::start(&configuration(preset, keys)).await;
        let mut busy = answer(429, "{}");
        busy.headers
            .insert("retry-after", HeaderValue::from_static("7"));
        relay.receivers.answer("ats.test", [busy]);
        relay.receivers.always(
            "ats.test",
            answer(401, r#"{"error":"bad key k3y-of-the-test"}"#),
        );
        relay.post("jobmojito", sample("submitted-rich")).await;
        relay
            .drive("two attempts", |log| attempts(log).count() >= 2)
            .await;
        let all = relay.attempts(2).await;
        assert_eq!(all[1].at.as_second() - all[0].at.as_second(), 7, "{preset}");
        assert!(
            !all[1].reason.contains("k3y-of-the-test"),
            "{}",
            all[1].reason
        );
        let status = relay.get("/api/v1/status").await.json();
        assert_eq!(status["destinations"][0]["state"], "blocked", "{preset}");
    }
}

#[test]
fn a_preset_names_what_its_operator_forgot() {
    let toml = configuration("workable", "").replace("api_key = \"k3y-of-the-test\"\n", "");
    let findings = mojito_relay::config::load_text(&crate::harness::inputs_without_a_file(), &toml)
        .unwrap_err();
    let text: Vec<String> = findings
        .iter()
        .map(|finding| format!("{}: {}", finding.key, finding.problem))
        .collect();
    assert_eq!(text.len(), 3, "{text:#?}");
    for key in ["api_key", "with.subdomain", "with.member_id"] {
        assert!(
            text.iter()
                .any(|line| line.starts_with(&format!("destinations.ats.{key}"))),
            "{key} in {text:#?}"
        );
    }
}

#[test]
fn presets_only_write_notes() {
    for about in presets() {
        for verb in [
            "/stage",
            "/move",
            "/reject",
            "/advance",
            "/disqualify",
            "changeStage",
            "archive",
        ] {
            let path = about.text.lines().find(|line| line.starts_with("path"));
            assert!(
                !path.is_some_and(|path| path.contains(verb)),
                "{}",
                about.name
            );
        }
    }
}
