//! Receivers are down for six hours while events go on coming in, and come back to all of it.

use std::time::Duration;

use crate::outages::town::{Town, post, settled, taken};

const HOUR: Duration = Duration::from_hours(1);
const RATE: usize = 100;

const CONFIGURATION: &str = r#"
[sources.jobmojito]
auth = "none"
[destinations.all]
url = "http://all.test/in"
rate_limit = "100/s"
[destinations.latest]
url = "http://latest.test/in"
rate_limit = "100/s"
revisions = "latest"
[destinations.other]
url = "http://other.test/in"
[[routes]]
to = ["all", "latest", "other"]
"#;

/// `backlog` deliveries wait in one lane in the end, from four revisions of a quarter as many subjects.
#[expect(
    clippy::print_stdout,
    reason = "arrivals against the limit are worth a look"
)]
pub async fn six_hours_down(backlog: u32) {
    let outage = 6 * HOUR;
    let town = Town::new(move |one| {
        if one.host == "other.test" || one.at >= outage {
            Some(taken())
        } else {
            None
        }
    });
    let relay = town.relay(CONFIGURATION).await;
    let subjects = backlog / 4;
    let every = subjects as usize * 4;
    for (revision, hour) in [(1, 1), (2, 3), (3, 4), (4, 6)] {
        post(&relay, subjects, revision).await;
        // The other lane needs no time at all.
        town.until_taken("other.test", subjects as usize * revision as usize)
            .await;
        town.live(&relay, || town.now() >= hour * HOUR).await;
    }
    let during = town.arrivals("all.test").len();
    assert!(during < 100, "{during} tries of something that is down");
    let status = relay.get("/api/v1/status").await.json();
    assert_eq!(status["counts"]["dead"], 0);
    let done = || town.taken("all.test") >= every && town.taken("latest.test") >= subjects as usize;
    town.live(&relay, done).await;
    let counts = settled(&relay).await;
    assert_eq!(counts["dead"], 0, "{counts}");
    assert_eq!(town.taken("all.test"), every);
    assert_eq!(town.taken("other.test"), every);
    for host in ["all.test", "other.test"] {
        let last = town.is_in_order_and_once(host);
        assert_eq!(last.len(), subjects as usize);
    }
    let last = town.is_in_order_and_once("latest.test");
    assert_eq!(town.taken("latest.test"), subjects as usize);
    assert!(last.values().all(|revision| *revision == 4));
    for host in ["all.test", "latest.test"] {
        let busiest = town.busiest(host);
        assert!(busiest <= RATE, "{busiest} in a second at {host}");
        let took = town
            .arrivals(host)
            .last()
            .map(|one| one.at.saturating_sub(outage));
        println!(
            "outages: {host} took {} in {:.0?} after six hours, at most {busiest} a second of {RATE}; {during} tries while it was down",
            town.taken(host),
            took.unwrap_or_default()
        );
    }
}
