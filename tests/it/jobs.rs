//! Many deliveries at once: replayed, discarded and rerouted by jobs that count first, say what they left
//! out, keep out of the senders' way, and go on after a restart.

use mojito_relay::model::State;
use serde_json::{Value, json};

use crate::harness::{TestRelay, answer, attempts, submitted};

const CONFIG: &str = r#"
[sources.jobmojito]
auth = "none"
[destinations.app]
url = "http://app.test/in"
[[routes]]
to = ["app"]
"#;

async fn post(relay: &TestRelay, numbers: std::ops::Range<usize>) {
    for n in numbers {
        let id = format!("s-{n}");
        let taken = relay.post("jobmojito", submitted(&id, 1.0)).await;
        assert_eq!(taken.status, 202);
    }
}

/// Posts, and listens from time to time to what becomes of it.
async fn post_to_the_end(relay: &mut TestRelay, count: usize, state: State) {
    for begin in (0..count).step_by(100) {
        let end = count.min(begin + 100);
        post(relay, begin..end).await;
        relay.ended(state, end).await;
    }
}

/// A relay whose receiver rejected so many deliveries.
async fn rejected(count: usize) -> TestRelay {
    let config = CONFIG.replace("/in\"", "/in\"\nbreaker = { rejections = 10000 }");
    let mut relay = TestRelay::start(&config).await;
    relay.receivers.always("app.test", answer(422, "no"));
    post_to_the_end(&mut relay, count, State::Dead).await;
    relay.receivers.always("app.test", answer(200, ""));
    relay
}

/// Begins a job.
async fn begin(relay: &TestRelay, what: &str, body: Value) -> u64 {
    let begun = relay
        .ask(&format!("/api/v1/{what}"), body.to_string())
        .await;
    assert_eq!(begun.status, 200, "{:?}", begun.body);
    begun.json()["id"].as_u64().unwrap()
}

/// A job once it is over.
async fn over(relay: &TestRelay, id: u64) -> Value {
    for _ in 0..10_000 {
        let job = relay.get(&format!("/api/v1/jobs/{id}")).await.json();
        if job["state"] != "running" {
            return job;
        }
    }
    panic!("job {id} does not end");
}

async fn job(relay: &TestRelay, what: &str, body: Value) -> Value {
    let id = begin(relay, what, body).await;
    over(relay, id).await
}

fn dead() -> Value {
    json!({"filter": {"state": "dead", "destination": "app"}})
}

fn dry(mut body: Value) -> Value {
    body["dry_run"] = true.into();
    body
}

async fn counts(relay: &TestRelay) -> Value {
    relay.get("/api/v1/status").await.json()["counts"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_counted_and_then_replayed_oldest_first() {
    let mut relay = rejected(450).await;
    let counted = job(&relay, "replay", dry(dead())).await;
    assert_eq!(
        (&counted["progress"]["done"], &counted["dry_run"]),
        (&450.into(), &true.into())
    );
    assert_eq!(
        counts(&relay).await["dead"],
        450,
        "counting changes nothing"
    );
    let sent = relay.receivers.seen().len();
    let done = job(&relay, "replay", dead()).await;
    assert_eq!(done["progress"]["done"], 450);
    assert_eq!(done["progress"]["looked_at"], 450);
    assert_eq!(done["progress"]["destinations"], json!({"app": 450}));
    assert_eq!(done["state"], "done");
    relay.ended(State::Delivered, 450).await;
    let seen = relay.receivers.seen();
    let number = |at: usize| -> usize {
        let id = seen[sent + at].json()["id"].as_str().unwrap().to_owned();
        id.trim_start_matches("s-").parse().unwrap()
    };
    // Eight at once: none is further ahead of the oldest.
    assert!((0..450).all(|at| number(at) <= at + 8), "oldest first");
    assert_eq!(counts(&relay).await["dead"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_older_than_what_was_sent_is_left_out_and_listed() {
    let mut relay = rejected(2).await;
    relay.post("jobmojito", submitted("s-1", 2.0)).await;
    relay.ended(State::Delivered, 1).await;
    let done = job(&relay, "replay", dead()).await;
    assert_eq!(done["progress"]["done"], 1);
    assert_eq!(done["progress"]["left_out"], json!({"older": 1}));
    let refused = &done["progress"]["refusals"][0];
    assert_eq!(refused["destination"], "app");
    assert_eq!(
        refused["detail"],
        "the destination already got revision 2, which is newer"
    );
    let id = refused["delivery_id"].as_str().unwrap();
    let shown = relay.get(&format!("/api/v1/deliveries/{id}")).await.json();
    assert_eq!(shown["state"], "dead");
    let mut forced = dead();
    forced["force"] = true.into();
    assert_eq!(job(&relay, "replay", forced).await["progress"]["done"], 1);
    relay.ended(State::Delivered, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_latest_alone_is_wanted_only_that_is_replayed() {
    let config = CONFIG.replace(
        "/in\"",
        "/in\"\nrevisions = \"latest\"\nbreaker = { rejections = 100 }",
    );
    let mut relay = TestRelay::start(&config).await;
    relay.receivers.always("app.test", answer(422, "no"));
    for (count, score) in [(1, 1.0), (2, 2.0), (3, 3.0)] {
        relay.post("jobmojito", submitted("s-1", score)).await;
        relay.ended(State::Dead, count).await;
    }
    relay.receivers.always("app.test", answer(200, ""));
    let done = job(&relay, "replay", dead()).await;
    assert_eq!(done["progress"]["left_out"], json!({"not_latest": 2}));
    relay.ended(State::Delivered, 1).await;
    let last = relay.receivers.seen().pop().unwrap().json();
    assert_eq!(last["score"], 3.0, "one final score arrives, once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_holds_in_all_its_parts() {
    let mut relay = rejected(3).await;
    relay
        .receivers
        .always("app.test", answer(404, "other words"));
    relay.post("jobmojito", submitted("other", 1.0)).await;
    relay.ended(State::Dead, 4).await;
    let count = async |filter: Value| {
        let body = json!({"filter": filter, "dry_run": true});
        job(&relay, "replay", body).await["progress"]["done"].clone()
    };
    assert_eq!(count(json!({"state": "dead"})).await, 4);
    assert_eq!(
        count(json!({"state": "dead", "error": "OTHER words"})).await,
        1
    );
    assert_eq!(count(json!({"state": "dead", "subject": "other"})).await, 1);
    assert_eq!(count(json!({"state": "dead", "route": "nowhere"})).await, 0);
    assert_eq!(
        count(json!({"state": "dead", "type": "interview.failed"})).await,
        0
    );
    assert_eq!(count(json!({"state": "dead", "candidate": "c-1"})).await, 4);
    let now = relay.clock_now().to_string();
    relay.advance(std::time::Duration::from_secs(1));
    assert_eq!(count(json!({"state": "dead", "until": now})).await, 0);
    assert_eq!(count(json!({"state": "delivered", "since": now})).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_says_too_little_is_refused_with_words() {
    let relay = TestRelay::start(CONFIG).await;
    for (what, body, words) in [
        (
            "replay",
            json!({"filter": {}}),
            "say what is to be replayed",
        ),
        ("replay", json!({}), "missing field `filter`"),
        (
            "replay",
            json!({"filter": {"state": "waiting"}}),
            "what is waiting cannot be replayed",
        ),
        (
            "replay",
            json!({"filter": {"stat": "dead"}}),
            "unknown field `stat`",
        ),
        (
            "replay",
            json!({"filter": {"state": "dead", "since": "yesterday"}}),
            "`filter.since`",
        ),
        (
            "discard",
            json!({"filter": {}}),
            "say which of all that waits",
        ),
        (
            "discard",
            json!({"filter": {"state": "waiting"}}),
            "say which of all that waits",
        ),
        (
            "discard",
            json!({"filter": {"state": "dead", "destination": "app"}}),
            "only what is waiting",
        ),
        ("reroute", json!({"filter": {}}), "say which of all events"),
        (
            "reroute",
            json!({"filter": {"state": "dead"}}),
            "unknown field `state`",
        ),
    ] {
        let refused = relay
            .ask(&format!("/api/v1/{what}"), body.to_string())
            .await;
        assert_eq!(refused.status, 400, "{body}");
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(words), "{detail}");
    }
    let jobs = relay.get("/api/v1/jobs").await.json();
    assert_eq!(jobs, json!({"items": [], "next": null}));
    assert_eq!(relay.get("/api/v1/jobs/7").await.status, 404);
    assert_eq!(relay.ask("/api/v1/jobs/7/cancel", "").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_discarded_but_not_what_is_under_way() {
    let config = CONFIG.replace("/in\"", "/in\"\nconcurrency = 1");
    let mut relay = TestRelay::start(&config).await;
    let held = relay.receivers.hold();
    post(&relay, 0..300).await;
    relay.receivers.arrived(1).await;
    let body = json!({"filter": {"destination": "app"}});
    let done = job(&relay, "discard", body).await;
    assert_eq!(done["progress"]["done"], 299);
    assert_eq!(done["progress"]["left_out"], json!({"sending": 1}));
    held.add_permits(1);
    relay.ended(State::Delivered, 1).await;
    assert_eq!(attempts(&relay.log).count(), 1);
    let counts = counts(&relay).await;
    assert_eq!(
        (&counts["discarded"], &counts["waiting"]),
        (&299.into(), &0.into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn kept_events_get_what_the_rules_of_today_ask_for() {
    let mut relay = TestRelay::start(CONFIG).await;
    post(&relay, 0..120).await;
    relay.post("jobmojito", submitted("s-0", 2.0)).await;
    relay.ended(State::Delivered, 121).await;
    let more = CONFIG.replace(
        "[[routes]]",
        "[destinations.ats]\nurl = \"http://ats.test/in\"\nrevisions = \"latest\"\nrequire = [\"result.score\"]\n\
         [[routes]]\nname = \"scores\"\nwhen = \"result.score >= 1.0\"\nto = [\"ats\"]\n[[routes]]",
    );
    relay.reload(&more).await.expect("a sound file");
    let body = json!({"filter": {"source": "jobmojito"}});
    let counted = job(&relay, "reroute", dry(body.clone())).await;
    assert_eq!(counted["progress"]["looked_at"], 121);
    assert_eq!(counted["progress"]["destinations"], json!({"ats": 121}));
    assert_eq!(counts(&relay).await["delivered"], 121);
    let done = job(&relay, "reroute", body.clone()).await;
    assert_eq!(done["progress"]["destinations"], json!({"ats": 121}));
    relay
        .until("all at the ats", |log| {
            attempts(log)
                .filter(|one| &*one.destination == "ats")
                .count()
                >= 120
        })
        .await;
    let again = job(&relay, "reroute", body).await;
    assert_eq!(
        again["progress"]["done"], 0,
        "one event reaches one destination once"
    );
    let ats = relay.receivers.seen_at("ats.test").into_iter();
    let of_first: Vec<Value> = ats
        .map(|one| one.json())
        .filter(|body| body["id"] == "s-0")
        .collect();
    assert_eq!(of_first.last().unwrap()["score"], 2.0, "in order");
    assert_eq!(
        attempts(&relay.log)
            .filter(|one| &*one.destination == "app")
            .count(),
        121,
        "what was there is left alone"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reroute_creates_nothing_older_than_what_was_sent() {
    let mut relay = TestRelay::start(CONFIG).await;
    post(&relay, 0..1).await;
    relay.ended(State::Delivered, 1).await;
    let more = CONFIG.replace(
        "[[routes]]",
        "[destinations.ats]\nurl = \"http://ats.test/in\"\n[[routes]]\nto = [\"ats\"]\n[[routes]]",
    );
    relay.reload(&more).await.expect("a sound file");
    relay.post("jobmojito", submitted("s-0", 2.0)).await;
    relay.ended(State::Delivered, 3).await;
    let done = job(&relay, "reroute", json!({"filter": {"subject": "s-0"}})).await;
    assert_eq!(done["progress"]["left_out"], json!({"older": 1}));
    assert_eq!(done["progress"]["done"], 0);
    assert_eq!(done["task"]["filter"]["subject"], "(no longer kept)");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reroute_says_what_it_cannot_know_of_a_minimised_event() {
    let config = r#"
[sources.jobmojito]
auth = "none"
minimise = true
[destinations.app]
url = "http://app.test/in"
body = { id = "{{ result.id }}" }
[[routes]]
to = ["app"]
"#;
    let mut relay = TestRelay::start(config).await;
    post(&relay, 0..1).await;
    relay.ended(State::Delivered, 1).await;
    let more = config.replace(
        "[[routes]]",
        "[destinations.ats]\nurl = \"http://ats.test/in\"\nbody = { id = \"{{ result.id }}\" }\n\
         [[routes]]\nwhen = \"result.score > 0.0\"\nto = [\"ats\"]\n[[routes]]",
    );
    relay.reload(&more).await.expect("a sound file");
    let done = job(
        &relay,
        "reroute",
        json!({"filter": {"source": "jobmojito"}}),
    )
    .await;
    assert_eq!(done["progress"]["left_out"], json!({"minimised": 1}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_goes_on_after_a_restart_where_it_was() {
    let relay = rejected(900).await;
    relay.store.fail(&["act"]);
    let id = begin(&relay, "replay", dead()).await;
    let (_, remains) = relay.stop().await;
    let config = CONFIG.replace("[[routes]]", "paused = true\n[[routes]]");
    let relay = remains.start(&config).await;
    let done = over(&relay, id).await;
    assert_eq!(
        (&done["state"], &done["progress"]["done"]),
        (&"done".into(), &900.into())
    );
    assert_eq!(counts(&relay).await["waiting"], 900);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_leaves_room_for_what_senders_bring() {
    let config = CONFIG.replace(
        "[destinations.app]",
        "[store]\nmax_waiting = 500\n[destinations.app]\nbreaker = { rejections = 10000 }",
    );
    let mut relay = TestRelay::start(&config).await;
    relay.receivers.always("app.test", answer(422, "no"));
    post_to_the_end(&mut relay, 700, State::Dead).await;
    relay.ask("/api/v1/destinations/app/pause", "").await;
    let id = begin(&relay, "replay", dead()).await;
    // Both are read one after the other, so only together do they say that it stands.
    let stands = |job: &Value| job["waits_for_room"] == true && job["progress"]["done"] == 400;
    let mut job = Value::Null;
    while !stands(&job) {
        job = relay.get(&format!("/api/v1/jobs/{id}")).await.json();
    }
    assert_eq!(job["state"], "running");
    let status = relay.get("/api/v1/status").await.json();
    assert_eq!(status["jobs"][0]["id"], id);
    assert_eq!(
        relay.post("jobmojito", submitted("new", 1.0)).await.status,
        202
    );
    // Others are not held up by it.
    let body = json!({"filter": {"destination": "app"}, "dry_run": true});
    let counted = self::job(&relay, "discard", body).await;
    assert_eq!(counted["progress"]["done"], 401);
    let cancelled = relay
        .ask(&format!("/api/v1/jobs/{id}/cancel"), "")
        .await
        .json();
    assert_eq!(cancelled["state"], "cancelled");
    assert_eq!(relay.get("/api/v1/status").await.json()["jobs"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_about_somebody_who_is_erased_is_over_and_names_nobody() {
    let relay = rejected(2).await;
    relay.store.fail(&["act"]);
    let filter = json!({"filter": {"state": "dead", "candidate": "c-1"}});
    let id = begin(&relay, "replay", filter).await;
    let shown = relay.get(&format!("/api/v1/jobs/{id}")).await.json();
    assert_eq!(shown["task"]["filter"]["candidate"], "c-1");
    let erased = relay
        .ask("/api/v1/erase", json!({"candidate": "c-1"}).to_string())
        .await;
    assert_eq!(erased.status, 200);
    let shown = relay.get(&format!("/api/v1/jobs/{id}")).await.json();
    assert_eq!(shown["state"], "cancelled");
    assert_eq!(shown["task"]["filter"]["candidate"], "(no longer kept)");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_replayed_goes_at_the_destination_s_own_rate() {
    let config = CONFIG.replace("/in\"", "/in\"\nrate_limit = \"1/s\"");
    let mut relay = TestRelay::start(&config).await;
    relay.receivers.always("app.test", answer(422, "no"));
    post(&relay, 0..3).await;
    let dead_ones = |log: &[mojito_relay::telemetry::Happening]| {
        attempts(log).filter(|one| one.state == State::Dead).count() >= 3
    };
    relay.drive("three dead", dead_ones).await;
    relay.receivers.always("app.test", answer(200, ""));
    let begun = relay.clock_now();
    assert_eq!(job(&relay, "replay", dead()).await["progress"]["done"], 3);
    relay
        .drive("three delivered", crate::harness::delivered(3))
        .await;
    let took = relay.clock_now().duration_since(begun);
    assert!(took.as_secs() >= 2, "{took}");
}
