//! How it looks: dark and light, wide and on a telephone. The pictures are for people to look at.

use std::time::Duration;

use mojito_relay::model::State;

use crate::browser::{Looks, Page, visit};
use crate::harness::{TestRelay, answer, submitted};

const SEVERAL: &str = r#"
[sources.jobmojito]
auth = "none"
[destinations.hiring]
url = "http://hiring.test/in"
[destinations.ats]
url = "http://ats.test/in"
[destinations.warehouse-of-everything]
url = "http://warehouse.test/in"
[destinations.archive]
url = "http://archive.test/in"
[[routes]]
name = "all"
events = ["*"]
to = ["hiring", "ats", "warehouse-of-everything", "archive"]
"#;

/// A relay with something of everything.
async fn busy() -> TestRelay {
    let mut relay = TestRelay::start(SEVERAL).await;
    let too_long = format!("{{\"error\":\"{}\"}}", "no_such_field ".repeat(6));
    relay.receivers.answer(
        "hiring.test",
        [answer(422, &too_long), answer(503, "try later")],
    );
    relay.receivers.always(
        "ats.test",
        answer(
            401,
            "{\"message\":\"API key 7 was revoked by an administrator\"}",
        ),
    );
    relay.tell("/api/v1/destinations/archive/pause", "").await;
    for n in 0..12_u32 {
        let subject = format!("0198c6d2-e0a0-7000-b3a1-{n:012}");
        relay
            .post("jobmojito", submitted(&subject, f64::from(n) / 2.0))
            .await;
        if n % 4 == 3 {
            relay.post("jobmojito", submitted(&subject, 9.5)).await;
        }
        relay.advance(Duration::from_secs(u64::from(17 + n * 9)));
    }
    relay.ended(State::Dead, 1).await;
    relay
}

async fn go(page: &Page, hash: &str, shown: &str) {
    page.js(&format!("location.hash = '{hash}'")).await;
    page.until_it_shows(shown).await;
}

async fn every_view(page: &Page, relay: &TestRelay, look: &str) {
    let dead = relay.get("/api/v1/deliveries?state=dead").await.json();
    let event = dead["items"][0]["event_id"].as_str().unwrap().to_owned();
    page.until_it_shows("ats is blocked. 15 deliveries wait there.")
        .await;
    let errors = "[...document.querySelectorAll('table')].find((one) => one.textContent.includes('Last errors'))";
    page.until(&format!("{errors}.querySelector('[data-key]')"))
        .await;
    for (view, hash, shown) in [
        ("overview", "#/", "Last errors"),
        ("events", "#/events", "interview.submitted"),
        ("dead", "#/dead", "no_such_field"),
        ("event", &format!("#/events/{event}"), "Attempt 1: rejected"),
    ] {
        go(page, hash, shown).await;
        page.picture(&format!("{look}-{view}")).await;
        let over = page
            .js("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            .await;
        assert_eq!(over, 0, "{view} is wider than the screen");
        let text = page.text("main").await;
        for stray in ["null", "undefined", "[object"] {
            assert!(!text.contains(stray), "{view} shows {stray}: {text}");
        }
    }
    page.click_on("details.personal summary").await;
    page.click("Replay to hiring").await;
    page.until("document.getElementById('confirm').open").await;
    page.picture(&format!("{look}-dialog")).await;
}

/// How light the page's paper is, from 0 to 255.
async fn paper(page: &Page) -> f64 {
    let red = "Number(getComputedStyle(document.body).backgroundColor.match(/[0-9]+/)[0])";
    page.js(red).await.as_f64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_light_where_light_is_preferred() {
    let mut relay = busy().await;
    visit(&mut relay, Looks::default(), async |page, relay| {
        every_view(page, relay, "light").await;
        assert!(paper(page).await > 200.0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_dark_where_dark_is_preferred() {
    let mut relay = busy().await;
    let looks = Looks {
        dark: true,
        narrow: false,
    };
    visit(&mut relay, looks, async |page, relay| {
        every_view(page, relay, "dark").await;
        assert!(paper(page).await < 60.0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_fits_a_telephone() {
    let mut relay = busy().await;
    let looks = Looks {
        dark: false,
        narrow: true,
    };
    visit(&mut relay, looks, async |page, relay| {
        assert_eq!(page.js("innerWidth").await, 375);
        every_view(page, relay, "narrow").await;
    })
    .await;
}
