//! What an operator does at night: sees what is stuck and why, frees it, replays what was given up.

use mojito_relay::app::Ended;
use mojito_relay::model::State;

use crate::browser::{Looks, Page, visit, visit_at};
use crate::harness::{PLAIN, TestRelay, answer, delivered, submitted};

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_lane_says_why_and_a_click_frees_it() {
    let mut relay = TestRelay::start(PLAIN).await;
    let refusal = answer(403, "the key was revoked by an administrator");
    relay.receivers.answer("app.test", [refusal]);
    visit(&mut relay, Looks::default(), async |page, relay| {
        page.until_it_shows("Everything is on its way.").await;
        relay.post("jobmojito", submitted("a", 1.0)).await;
        relay.attempts(1).await;
        page.until_it_shows("app is blocked. 1 delivery waits there.")
            .await;
        page.until_it_shows("the key was revoked by an administrator")
            .await;
        let row = page.text("tr[data-key=app]").await;
        assert!(row.contains("next probe in"), "{row}");
        page.click("Resume app").await;
        relay.until("the delivery", delivered(1)).await;
        page.until_it_shows("Everything is on its way.").await;
        page.until("document.querySelector('tr[data-key=app]').innerText.includes('healthy')")
            .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pausing_asks_first_and_holds_until_it_is_resumed() {
    let mut relay = TestRelay::start(PLAIN).await;
    visit(&mut relay, Looks::default(), async |page, relay| {
        page.click("Pause app").await;
        page.until("document.getElementById('confirm').open").await;
        page.click("Cancel").await;
        page.until("!document.getElementById('confirm').open").await;
        let state = async || relay.get("/api/v1/status").await.json()["destinations"][0]["state"].clone();
        assert_eq!(state().await, "healthy");
        page.click("Pause app").await;
        page.click("Pause").await;
        page.until_it_shows("app is paused.").await;
        assert_eq!(state().await, "paused");
        relay.post("jobmojito", submitted("a", 1.0)).await;
        page.until("document.querySelector('tr[data-key=app] [data-title=Waiting]').innerText.includes('1')")
            .await;
        page.click("Resume app").await;
        relay.until("the delivery", delivered(1)).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chosen_dead_letters_are_replayed_and_each_says_what_became_of_it() {
    let mut relay = TestRelay::start(PLAIN).await;
    let refusals = ["one", "two", "three"].map(|words| answer(422, words));
    relay.receivers.answer("app.test", refusals);
    for subject in ["a", "b", "c"] {
        relay.post("jobmojito", submitted(subject, 1.0)).await;
    }
    relay.ended(State::Dead, 3).await;
    // One of them is older than what has been delivered since.
    relay.post("jobmojito", submitted("a", 2.0)).await;
    relay.ended(State::Delivered, 1).await;
    visit(&mut relay, Looks::default(), async |page, relay| {
        page.click("look and replay").await;
        page.until("document.querySelectorAll('tbody tr[data-key]').length === 3")
            .await;
        page.click_on("tbody tr:nth-child(1) input[type=checkbox]")
            .await;
        page.until_it_shows("Replay 1 selected").await;
        page.click_on("#all").await;
        page.click("Replay 3 selected").await;
        page.until_it_shows("Replay 3 dead letters?").await;
        page.click("Replay").await;
        page.until_it_shows("2 of 3 replayed, 1 not.").await;
        page.until_it_shows("not replayed: The destination already got revision 2")
            .await;
        relay.ended(State::Delivered, 3).await;
        page.click("Replay 1 selected").await;
        page.click_on("#confirm-check").await;
        page.click("Replay").await;
        page.until_it_shows("1 of 1 replayed.").await;
        relay.ended(State::Delivered, 4).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_dead_letters_of_a_destination_are_replayed_by_a_job() {
    let config = PLAIN.replace("[[routes]]", "breaker = { rejections = 1000 }\n[[routes]]");
    let mut relay = TestRelay::start(&config).await;
    relay.receivers.always("app.test", answer(422, "no"));
    for n in 0..130 {
        relay
            .post("jobmojito", submitted(&format!("s-{n}"), 1.0))
            .await;
    }
    relay.ended(State::Dead, 130).await;
    relay.receivers.always("app.test", answer(200, ""));
    // One of them is older than what has been delivered since.
    relay.post("jobmojito", submitted("s-7", 2.0)).await;
    relay.ended(State::Delivered, 1).await;
    visit(&mut relay, Looks::default(), async |page, relay| {
        page.click("look and replay").await;
        page.until("document.querySelectorAll('tbody tr[data-key]').length === 100")
            .await;
        page.click("Replay all…").await;
        page.until_it_shows("Replay 129 dead letters?").await;
        page.until_it_shows("1 left out: older 1").await;
        page.click("Replay all").await;
        page.until_it_shows("129 dead letters replayed; 1 left out: older 1")
            .await;
        relay.ended(State::Delivered, 130).await;
        page.until("document.querySelectorAll('tbody tr[data-key]').length === 1")
            .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_under_way_is_seen_and_can_be_cancelled() {
    let config = PLAIN.replace(
        "[destinations.app]",
        "[store]\nmax_waiting = 5\n[destinations.app]",
    );
    let mut relay = TestRelay::start(&config).await;
    relay.receivers.always("app.test", answer(422, "no"));
    relay.post("jobmojito", submitted("a", 1.0)).await;
    relay.ended(State::Dead, 1).await;
    relay.ask("/api/v1/destinations/app/pause", "").await;
    for subject in ["b", "c", "d", "e"] {
        relay.post("jobmojito", submitted(subject, 1.0)).await;
    }
    let dead = r#"{"filter": {"state": "dead"}}"#;
    assert_eq!(relay.ask("/api/v1/replay", dead).await.status, 200);
    visit(&mut relay, Looks::default(), async |page, relay| {
        page.until_it_shows("Job 1, replay: 0 deliveries done; it waits until less is waiting")
            .await;
        page.click("Cancel job 1").await;
        page.until_it_shows("Job 1 is cancelled; what it did stays done.")
            .await;
        page.until("document.querySelector('#jobs-title').closest('section').hidden")
            .await;
        let job = relay.get("/api/v1/jobs/1").await.json();
        assert_eq!(job["state"], "cancelled");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_found_and_shows_every_attempt_and_folds_its_payload_away() {
    let mut relay = TestRelay::start(PLAIN).await;
    relay
        .receivers
        .answer("app.test", [answer(503, "maintenance until noon")]);
    relay.post("jobmojito", submitted("wanted", 1.5)).await;
    relay.post("jobmojito", submitted("other", 1.5)).await;
    relay.drive("both", delivered(2)).await;
    relay.post("jobmojito", submitted("wanted", 2.5)).await;
    relay.until("the third", delivered(3)).await;
    visit(&mut relay, Looks::default(), async |page, _| {
        page.click("Events").await;
        page.until("document.querySelectorAll('tbody tr[data-key]').length === 3")
            .await;
        page.fill("#filter-subject", "wanted").await;
        page.click("Filter").await;
        page.until("document.querySelectorAll('tbody tr[data-key]').length === 2")
            .await;
        assert_eq!(
            page.js("location.hash").await,
            "#/events",
            "no name in an address"
        );
        page.click_on("tbody tr:nth-child(2) a").await;
        page.until_it_shows("interview.submitted, revision 1").await;
        shows_both_attempts(page).await;
        let payload = "document.querySelector('pre.payload').textContent";
        assert_eq!(page.js(payload).await, "");
        page.click_on("details.personal summary").await;
        page.until(&format!("{payload}.includes('\"score\": 1.5')"))
            .await;
        page.click("Revision 2").await;
        page.until_it_shows("interview.submitted, revision 2").await;
        page.until_it_shows("score").await;
    })
    .await;
}

async fn shows_both_attempts(page: &Page) {
    page.until("document.querySelectorAll('article .point').length === 3")
        .await;
    let line = page.text("article").await;
    for words in [
        "Attempt 1: retry, status 503",
        "Attempt 2: accepted, status 200",
        "5 s after it was taken",
    ] {
        assert!(line.contains(words), "{words}: {line}");
    }
    page.click("What the receiver said").await;
    page.until_it_shows("maintenance until noon").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_appear_by_themselves_and_older_ones_on_pages() {
    let mut relay = TestRelay::start(PLAIN).await;
    visit(&mut relay, Looks::default(), async |page, relay| {
        page.click("Events").await;
        page.until("document.getElementById('link').innerText === 'live'")
            .await;
        page.until_it_shows("No event is like that.").await;
        for n in 0..60 {
            relay
                .post("jobmojito", submitted(&format!("s{n}"), 1.0))
                .await;
        }
        page.until("document.querySelectorAll('tbody tr[data-key]').length === 50")
            .await;
        page.click("Older").await;
        page.until("document.querySelectorAll('tbody tr[data-key]').length === 10")
            .await;
        page.click("Newer").await;
        page.until("document.querySelectorAll('tbody tr[data-key]').length === 50")
            .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_says_when_the_relay_is_gone() {
    let relay = TestRelay::start(PLAIN).await;
    let base = format!("http://{}", relay.relay.admin);
    visit_at(&base, Looks::default(), async |page| {
        page.until("document.getElementById('link').innerText === 'live'")
            .await;
        let (ended, _remains) = relay.stop().await;
        assert_eq!(ended, Ended::Clean);
        page.until("document.getElementById('link').innerText === 'reconnecting'")
            .await;
        page.until_it_shows("The relay does not answer.").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_of_the_last_reload_are_shown_until_one_works() {
    let mut relay = TestRelay::start(PLAIN).await;
    let mistaken = PLAIN.replace("auth", "outh");
    assert!(relay.reload(&mistaken).await.is_err());
    visit(&mut relay, Looks::default(), async |page, relay| {
        page.until_it_shows("changed nothing:").await;
        page.until_it_shows("sources.jobmojito.outh").await;
        page.click("Reload relay.toml").await;
        page.until_it_shows("relay.toml has mistakes; nothing has changed.")
            .await;
        std::fs::write(relay.file("relay.toml"), PLAIN).unwrap();
        page.click("Reload relay.toml").await;
        page.until_it_shows("relay.toml is in force, generation 2.")
            .await;
        page.until("!document.body.innerText.includes('changed nothing:')")
            .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_that_the_receiver_asked_for_is_shown_and_can_be_cut_short() {
    let mut relay = TestRelay::start(PLAIN).await;
    let full = answer(429, "come back later");
    relay.receivers.answer("app.test", [full]);
    relay.post("jobmojito", submitted("a", 1.0)).await;
    relay.attempts(1).await;
    visit(&mut relay, Looks::default(), async |page, relay| {
        page.until_it_shows("it asked for a pause, over ").await;
        page.click("Resume app").await;
        relay.until("the delivery", delivered(1)).await;
    })
    .await;
}
