//! What deploy/ shows fits the relay: its configurations pass `relay check`, and the metrics that its
//! dashboard and alerts ask for are there.

use std::collections::BTreeSet;

use mojito_relay::model::State;

use crate::check::check;
use crate::harness::{TestRelay, submitted};

/// The metrics of the contract.
const PROMISED: [&str; 27] = [
    "relay_events_total",
    "relay_requests_refused_total",
    "relay_accept_duration_seconds",
    "relay_deliveries_total",
    "relay_attempts_total",
    "relay_attempt_duration_seconds",
    "relay_waiting",
    "relay_oldest_waiting_seconds",
    "relay_oldest_undelivered_seconds",
    "relay_destination_state",
    "relay_end_to_end_seconds",
    "relay_expression_errors_total",
    "relay_store_commit_seconds",
    "relay_store_batch_size",
    "relay_config_reload_success_timestamp_seconds",
    "relay_config_reloads_total",
    "relay_build_info",
    "relay_source_secret_uses_total",
    "relay_source_silent",
    "relay_source_last_event_timestamp_seconds",
    "relay_subjects_stuck",
    "relay_store_writable",
    "relay_waiting_limit",
    "relay_config_last_reload_successful",
    "relay_admin_requests_refused_total",
    // In the text format a histogram's series have names of their own.
    "relay_store_batch_size_sum",
    "relay_store_batch_size_count",
];

const BUSY: &str = r#"
[sources.jobmojito]
auth = { header = "X-Relay-Token", secrets = ["sesame"] }
silent_after = "26h"
stuck_after = "2d"
[destinations.app]
url = "http://app.test/in"
[[routes]]
name = "odd"
when = "result.recruiter_go_next_round > 4.0"
to = ["app"]
[[routes]]
name = "all"
to = ["app"]
"#;

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// Every word of `text` that is the name of a metric.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let names = words.filter(|word| word.starts_with("relay_"));
    names.map(ToOwned::to_owned).collect()
}

/// What a relay shows that has done a bit of everything.
async fn scrape() -> String {
    let mut relay = TestRelay::start(BUSY).await;
    relay.post("jobmojito", submitted("a", 1.0)).await;
    let token = [("X-Relay-Token", "sesame")];
    relay
        .post_with("jobmojito", submitted("a", 1.0), &token)
        .await;
    relay.ended(State::Delivered, 1).await;
    String::from_utf8(relay.get("/metrics").await.body.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_that_is_promised_drawn_or_alerted_on_is_there() {
    let there = named(&scrape().await);
    let dashboard = read("deploy/grafana/dashboard.json");
    let asked: serde_json::Value = serde_json::from_str(&dashboard).unwrap();
    assert!(asked["panels"].as_array().unwrap().len() > 20);
    let mut wanted = named(&dashboard);
    wanted.extend(named(&read("deploy/prometheus/alerts.yml")));
    wanted.extend(named(&read("docs/operations.md")));
    wanted.extend(PROMISED.map(ToOwned::to_owned));
    let missing: Vec<&String> = wanted.difference(&there).collect();
    assert!(missing.is_empty(), "{missing:?} of {there:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_takes_no_writes_and_a_refused_reload_show_at_the_next_scrape() {
    let relay = TestRelay::start(BUSY).await;
    let metrics = async || String::from_utf8(relay.get("/metrics").await.body.to_vec()).unwrap();
    let text = metrics().await;
    assert!(text.contains("relay_store_writable 1\n"), "{text}");
    assert!(text.contains("relay_config_last_reload_successful 1\n"));
    assert!(text.contains("relay_waiting_limit 1000000\n"));
    // The first death is an increase only from a value that was there before it.
    assert!(text.contains("relay_deliveries_total{destination=\"app\",state=\"dead\"} 0\n"));
    relay.store.fail(&["ready"]);
    relay.reload("[serverr]").await.unwrap_err();
    let text = metrics().await;
    assert!(text.contains("relay_store_writable 0\n"), "{text}");
    assert!(text.contains("relay_config_last_reload_successful 0\n"));
    relay.store.fail(&[]);
    assert!(metrics().await.contains("relay_store_writable 1\n"));
}

#[test]
fn every_alert_is_explained_and_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() {
    let (alerts, cases) = (
        read("deploy/prometheus/alerts.yml"),
        read("deploy/prometheus/alerts_test.yml"),
    );
    let page = read("docs/operations.md");
    let names: Vec<&str> = alerts.split("- alert: ").skip(1).collect();
    assert!(names.len() > 8);
    for name in names {
        let name = name.lines().next().unwrap();
        for case in ["fires", "is quiet"] {
            assert!(
                cases.contains(&format!("- name: {name} {case}\n")),
                "{name} {case}"
            );
        }
        assert!(page.contains(&format!("| `{name}` |")), "{name}");
    }
}

#[test]
fn the_configurations_of_compose_and_kubernetes_pass_check() {
    for store in ["", "-postgres"] {
        let compose = read(&format!("deploy/compose{store}/relay.toml"));
        assert_eq!(check(&compose), "");
        let map = read(&format!("deploy/kubernetes{store}/configmap.yaml"));
        let (_, block) = map.split_once("relay.toml: |\n").unwrap();
        let lines: Vec<&str> = block
            .lines()
            .map(|line| line.strip_prefix("    ").unwrap_or(line))
            .collect();
        assert_eq!(check(&lines.join("\n")), "");
    }
}

/// Every path below `folder` that a configuration names.
fn secrets_under(folder: &str, text: &str) -> BTreeSet<String> {
    let named = text.split(folder).skip(1);
    let names = named.map(|rest| rest.split('"').next().unwrap().to_owned());
    names.collect()
}

#[test]
fn replicas_keep_nothing_get_the_database_from_a_secret_and_are_as_confined_as_the_sidecar() {
    let replicas = read("deploy/kubernetes-postgres/deployment.yaml");
    let sidecar = read("deploy/kubernetes/statefulset.yaml");
    assert!(!replicas.contains("persistentVolumeClaim") && !replicas.contains("volumeClaim"));
    assert!(replicas.contains("kind: PodDisruptionBudget") && replicas.contains("replicas: 3"));
    for kept in [
        "path: /readyz",
        "path: /healthz",
        "runAsNonRoot: true",
        "runAsUser: 65532",
        "seccompProfile: { type: RuntimeDefault }",
        "automountServiceAccountToken: false",
        "allowPrivilegeEscalation: false",
        "readOnlyRootFilesystem: true",
        "capabilities: { drop: [\"ALL\"] }",
        "terminationGracePeriodSeconds: 60",
    ] {
        assert!(replicas.contains(kept) && sidecar.contains(kept), "{kept}");
    }
    let map = read("deploy/kubernetes-postgres/configmap.yaml");
    let wanted = secrets_under("/run/secrets/relay/", &map);
    assert!(wanted.contains("database-url"), "{wanted:?}");
    let listed = replicas.split("- name: secrets # ").nth(1).unwrap();
    let listed = listed.lines().next().unwrap().split(", ");
    assert_eq!(listed.map(str::to_owned).collect::<BTreeSet<_>>(), wanted);
}

#[test]
fn compose_gives_the_relay_each_secret_that_its_configuration_reads() {
    for store in ["", "-postgres"] {
        let compose = read(&format!("deploy/compose{store}/compose.yaml"));
        let wanted = read(&format!("deploy/compose{store}/relay.toml"));
        let wanted = secrets_under("/run/secrets/", &wanted);
        assert!(wanted.len() >= 3, "{wanted:?}");
        for name in wanted {
            assert!(compose.contains(&format!("      - {name}\n")), "{name}");
            let file = format!("  {name}:\n    file: ./secrets/{name}\n");
            assert!(compose.contains(&file), "{name}");
        }
    }
}
