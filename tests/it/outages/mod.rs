//! Receivers in trouble, for hours and days: nothing is lost, nothing is sent twice, and nobody is run down
//! when it comes back.

mod backlog;
mod sockets;
pub mod town;

use std::time::Duration;

use http::HeaderValue;

use mojito_relay::model::State;
use mojito_relay::telemetry::Happening;

use crate::harness::{answer, attempts, submitted};
use mojito_relay::transport::Answer;
use town::{Town, post, settled, taken};

const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);

/// One destination with these keys, beside one that is always well.
fn beside_another(keys: &str) -> String {
    format!(
        "[sources.jobmojito]\nauth = \"none\"\n[destinations.app]\nurl = \"http://app.test/in\"\n{keys}\n\
         [destinations.other]\nurl = \"http://other.test/in\"\n[[routes]]\nto = [\"app\", \"other\"]\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_of_six_hours_arrives_once_in_order_and_at_the_rate() {
    backlog::six_hours_down(2_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_dead_for_longer_than_give_up_after_loses_nothing() {
    let town = Town::new(|one| {
        if one.host == "app.test" && one.at < 4 * DAY {
            None
        } else {
            Some(taken())
        }
    });
    let relay = town.relay(&beside_another("")).await;
    post(&relay, 50, 1).await;
    town.live(&relay, || town.now() >= 3 * DAY + DAY / 2).await;
    assert_eq!(town.taken("other.test"), 50);
    let status = relay.get("/api/v1/status").await.json();
    assert_eq!(status["destinations"][0]["state"], "open");
    let reason = status["destinations"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("cannot connect"), "{reason}");
    let count = |state: &str| status["counts"][state].as_u64().unwrap();
    assert_eq!(
        (count("waiting") + count("sending"), count("dead")),
        (50, 0)
    );
    // Its own age does not run while the lane stands still.
    town.live(&relay, || town.taken("app.test") >= 50).await;
    assert_eq!(settled(&relay).await["dead"], 0);
    town.is_in_order_and_once("app.test");
    let tries = town.arrivals("app.test").len();
    assert!(tries < 50 + 700, "{tries}: one probe in ten minutes");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_alone_is_never_taken_is_given_up_after_its_days_and_shown() {
    let town = Town::new(|one| {
        if one.subject == "s-0" && one.host == "app.test" {
            Some(answer(500, "not this one"))
        } else {
            Some(taken())
        }
    });
    let keys = "retry = { attempts = 1000 }\nbreaker = { failures = 1000 }";
    let mut relay = town.relay(&beside_another(keys)).await;
    post(&relay, 20, 1).await;
    let dead = |log: &[Happening]| attempts(log).any(|one| one.state == State::Dead);
    relay.drive("the end", dead).await;
    let status = relay.get("/api/v1/status").await.json();
    assert_eq!(status["destinations"][0]["state"], "healthy");
    let dead = relay.get("/api/v1/deliveries?state=dead").await.json();
    let dead = dead["items"].as_array().unwrap();
    assert_eq!(dead.len(), 1);
    let error = dead[0]["last_error"].as_str().unwrap();
    assert!(
        error.contains("not this one") && error.contains("give_up_after"),
        "{error}"
    );
    let last = town
        .arrivals("app.test")
        .into_iter()
        .rev()
        .find(|one| !one.taken);
    let last = last.unwrap().at;
    assert!(last > 2 * DAY && last <= 3 * DAY + DAY / 4, "{last:?}");
    let id = dead[0]["id"].as_str().unwrap();
    let replayed = relay
        .tell(&format!("/api/v1/deliveries/{id}/replay"), "")
        .await;
    assert_eq!(replayed.status, 200, "{replayed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_comes_and_goes_gets_everything_once_and_in_order() {
    let town = Town::new(|one| {
        let up = (one.at.as_secs() / 300) % 2 == 1;
        if one.host == "other.test" || up {
            Some(taken())
        } else {
            None
        }
    });
    let relay = town.relay(&beside_another("rate_limit = \"1/s\"")).await;
    for revision in 1..=5 {
        post(&relay, 100, revision).await;
        town.until_taken("other.test", 100 * revision as usize)
            .await;
        town.live(&relay, || town.now() >= revision * 3 * MINUTE)
            .await;
    }
    town.live(&relay, || town.taken("app.test") >= 500).await;
    assert_eq!(settled(&relay).await["dead"], 0);
    assert_eq!(town.taken("app.test"), 500);
    let last = town.is_in_order_and_once("app.test");
    assert!(last.len() == 100 && last.values().all(|revision| *revision == 5));
    assert!(town.busiest("app.test") <= 1);
}

fn busy(retry_after: Option<&'static str>) -> Answer {
    let mut busy = answer(429, "slow down");
    if let Some(wait) = retry_after {
        let wait = HeaderValue::from_static(wait);
        busy.headers.insert("retry-after", wait);
    }
    busy
}

#[tokio::test(flavor = "multi_thread")]
async fn storms_of_429_are_sat_out_at_no_charge() {
    let town = Town::new(|one| match one.at.as_secs() {
        _ if one.host == "other.test" => Some(taken()),
        0..600 => Some(busy(Some("30"))),
        600..1_800 => Some(busy(None)),
        // A receiver of three seconds' work in ten.
        seconds if seconds % 10 > 2 => Some(busy(Some("1"))),
        _ => Some(taken()),
    });
    let keys = "retry = { attempts = 2 }\nrate_limit = \"20/s\"";
    let relay = town.relay(&beside_another(keys)).await;
    post(&relay, 300, 1).await;
    town.until_taken("other.test", 300).await;
    town.live(&relay, || town.taken("app.test") >= 300).await;
    assert_eq!(settled(&relay).await["dead"], 0);
    town.is_in_order_and_once("app.test");
    let arrivals = town.arrivals("app.test");
    let before = |seconds| {
        let early = arrivals.iter().filter(|one| one.at.as_secs() < seconds);
        early.count()
    };
    // What was under way at the first 429, and from then on one when its time has come.
    assert!(before(600) <= 8 + 20, "{}", before(600));
    assert!(before(1_800) <= 8 + 20 + 20, "{}", before(1_800));
    // Once they pass, at most one in ten or so meets another.
    let turned_away = arrivals.len() - 300 - before(1_800);
    assert!(turned_away <= 300, "{turned_away}");
}

/// A lane that is dead is nothing that another would notice: at every step of time it sends what it would
/// send alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_lane_moves_no_arrival_of_another() {
    let mut arrivals = Vec::new();
    for dead in [false, true] {
        let town = Town::new(move |one| {
            if one.host == "app.test" && dead {
                None
            } else {
                Some(taken())
            }
        });
        let toml = beside_another("").replace(
            "\"http://other.test/in\"",
            "\"http://other.test/in\"\nrate_limit = \"1/s\"",
        );
        let relay = town.relay(&toml).await;
        // One after the other, so that they are taken in this order.
        for n in 0..100 {
            relay
                .post("jobmojito", submitted(&format!("s-{n}"), 1.0))
                .await;
        }
        for count in 1..=100 {
            relay.advance(Duration::from_millis(1_011));
            town.until_taken("other.test", count).await;
        }
        let when = |one: &town::Arrival| (one.at, one.subject.clone());
        let seen = town.arrivals("other.test");
        arrivals.push(seen.iter().map(when).collect::<Vec<_>>());
        assert_eq!(town.taken("app.test") > 0, !dead);
    }
    assert_eq!(arrivals[0], arrivals[1]);
}
