//! A large backlog: a store is filled with waiting deliveries, and then memory, start-up and accepting are
//! measured beside those of an empty one.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::load::{Until, post};
use super::relay::{Relay, folder, rules};
use super::report::{Goal, Report};
use super::{Effort, machine};

const CONNECTIONS: usize = 64;
/// Two destinations that take nothing: one event makes two waiting deliveries.
const NOWHERE: &str = "url = \"http://127.0.0.1:9/in\"\npaused = true";

pub(crate) async fn measure(effort: Effort, report: &mut Report) {
    let full = folder();
    let rules = rules(2, NOWHERE);
    let next = Arc::new(AtomicU64::new(0));
    let relay = Relay::start(full.path(), &rules);
    post(relay.ingress, 256, Until::Count(effort.waiting / 2), &next).await;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count"
    )]
    let waiting = relay.metric("relay_waiting") as u64;
    assert_eq!(waiting, effort.waiting / 2 * 2);
    drop(relay);
    let with = format!("{} waiting", effort.waiting);
    for _ in 0..effort.rounds {
        let empty = folder();
        for (path, what) in [
            (empty.path(), "nothing waiting"),
            (full.path(), with.as_str()),
        ] {
            let relay = Relay::start(path, &rules);
            report.add(
                &format!("ready after start, {what}"),
                "ms",
                'b',
                relay.ready_after.as_secs_f64() * 1e3,
            );
            let answered = post(relay.ingress, CONNECTIONS, Until::After(effort.cell), &next).await;
            report.add(
                &format!("accepts/s, {what}"),
                "/s",
                'b',
                answered.per_second(),
            );
            if let Some(bytes) = machine::resident(relay.id()) {
                report.add(
                    &format!("resident memory, {what}"),
                    "MB",
                    'b',
                    bytes as f64 / 1e6,
                );
            }
        }
    }
    report.goal(
        &format!("resident memory, {with}"),
        Goal::at_most('b', 80.0, 50.0),
    );
    report.goal(
        &format!("ready after start, {with}"),
        Goal::at_most('b', 2_000.0, 100.0),
    );
    let compare = |row: &str| format!("{row}, {with}, against nothing waiting");
    for row in ["accepts/s", "resident memory"] {
        let pair = (format!("{row}, {with}"), format!("{row}, nothing waiting"));
        report.compare(&compare(row), &pair.0, &pair.1);
    }
    report.goal(&compare("accepts/s"), Goal::at_least('b', 0.8, 1.0));
    report.goal(&compare("resident memory"), Goal::at_most('b', 1.5, 1.1));
}
