//! Many deliveries at once, at the command line: counted first, done when confirmed, shown as jobs.

use serde_json::Value;

use crate::operate::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_of_a_filter_are_counted_and_replayed_when_confirmed() {
    let scene = Scene::start().await;
    for subject in ["s-1", "s-2", "s-3"] {
        scene.post(subject, 1).await;
        scene.process.until_it_says("attempt 1 to app: delivered");
    }
    let filter = ["replay", "--state", "delivered", "--destination", "app"];
    let (code, text) = scene.asked(&[&filter[..], &["--dry-run"]].concat());
    assert_eq!(
        (code, text.as_str()),
        (0, "job 1: 3 deliveries would be replayed (app 3)\n")
    );
    let (code, text) = scene.asked(&filter);
    assert_eq!(code, 2, "nobody is there to be asked");
    assert!(
        text.ends_with("nothing was done: --yes does replay them without asking\n"),
        "{text}"
    );
    let (code, text) = scene.asked(&[&filter[..], &["--yes"]].concat());
    assert_eq!(code, 0, "{text}");
    insta::assert_snapshot!(text, @r"
job 3: 3 deliveries would be replayed (app 3)
job 4: 3 deliveries replayed (app 3)
job 4 is under way, also without this command; relay jobs 4 shows it, --cancel ends it
");
    for _ in 0..3 {
        scene.process.until_it_says("attempt 1 to app: delivered");
    }
    let (code, text) = scene.asked(&["jobs"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.starts_with("JOB  WHAT"), "{text}");
    assert!(text.contains("replay, counted only"), "{text}");
    let (_, text) = scene.asked(&["jobs", "4"]);
    assert_eq!(text, "job 4: 3 deliveries replayed (app 3)\n");
    let all = scene.json(&["jobs"]);
    assert_eq!(all["items"].as_array().map(Vec::len), Some(4));
    let counted = scene.json(&[&filter[..], &["--dry-run"]].concat());
    assert_eq!(counted["progress"]["done"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_out_is_named_with_the_reason() {
    let scene = Scene::start().await;
    let first = scene.post("s-1", 1).await;
    scene.process.until_it_says("attempt 1 to app: delivered");
    scene.post("s-1", 2).await;
    scene.process.until_it_says("attempt 1 to app: delivered");
    let filter = ["--state", "delivered", "--event", &first];
    let (_, text) = scene.asked(&[&["replay", "--yes"], &filter[..]].concat());
    let id = first.replace("evt_", "dlv_");
    assert_eq!(
        text,
        format!(
            "job 1: 0 deliveries would be replayed\n1 left out: older 1\n  {id}_0 to app: the destination already got revision 2, which is newer\nthere is nothing to do\n"
        )
    );
    let forced = scene.json(&[&["replay", "--yes", "--force"], &filter[..]].concat());
    assert_eq!(forced["progress"]["done"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_discarded_one_by_one_or_by_a_filter() {
    let scene = Scene::start().await;
    let first = scene.post("s-1", 1).await;
    scene.process.until_it_says("lane is blocked");
    scene.post("s-2", 1).await;
    let id = first.replace("evt_", "dlv_");
    let told = (0, format!("{id}_1 is discarded\n"));
    assert_eq!(scene.asked(&["discard", &format!("{id}_1")]), told);
    let (code, text) = scene.asked(&["discard", &format!("{id}_1")]);
    assert_eq!(code, 1);
    assert!(text.contains("It is discarded already."), "{text}");
    let done = scene.json(&["discard", "--destination", "ats", "--yes"]);
    assert_eq!(done["progress"]["done"], 1);
    assert_eq!(scene.json(&["status"])["counts"]["discarded"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn kept_events_are_rerouted_by_the_routes_of_today() {
    let scene = Scene::start().await;
    scene.post("s-1", 1).await;
    scene.process.until_it_says("attempt 1 to app: delivered");
    let file = std::fs::read_to_string(scene.folder.file("relay.toml")).unwrap();
    let more = file.replace(
        "[[routes]]",
        "[destinations.more]\nurl = \"http://127.0.0.1:1/in\"\npaused = true\n[[routes]]\nto = [\"more\"]\n[[routes]]",
    );
    scene.folder.write("relay.toml", &more);
    assert_eq!(scene.asked(&["reload"]).0, 0);
    let done: Value = scene.json(&["reroute", "--since", "1h", "--yes"]);
    assert_eq!(done["progress"]["destinations"]["more"], 1);
    let (_, text) = scene.asked(&["reroute", "--since", "1h"]);
    assert!(
        text.ends_with("0 deliveries would be rerouted\nthere is nothing to do\n"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_says_too_little_is_told_what_to_say() {
    let scene = Scene::start().await;
    let id = "dlv_01a2027bd6807004aad6e31a7f8bc4c9_0";
    for (command, words) in [
        (
            &["replay"][..],
            "say which: an id, or a filter such as --state dead",
        ),
        (
            &["replay", id, "--state", "dead"],
            "say which: an id, or a filter",
        ),
        (
            &["discard"],
            "say which: an id, or a filter such as --destination ats",
        ),
        (&["reroute"], "say which: a filter such as --since 7d"),
    ] {
        let (code, text) = scene.asked(command);
        assert_eq!(code, 2, "{text}");
        assert!(text.contains(words), "{text}");
    }
    let (code, text) = scene.asked(&["replay", "--destination", "app"]);
    assert_eq!(code, 1);
    assert!(
        text.contains("say what is to be replayed, such as dead"),
        "{text}"
    );
}
