//! Sending: events accepted, sent and settled, against a bare client that posts to the same receiver.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use super::contenders::client_loop;
use super::figures::quantile;
use super::load::{Sender, Until, post};
use super::relay::{Relay, folder, rules};
use super::report::{Goal, Report};
use super::sink::Sink;
use super::{Effort, machine};

/// Requests under way at once, by all lanes together.
const AT_ONCE: usize = 64;

pub(crate) async fn throughput(effort: Effort, report: &mut Report) {
    for destinations in [1, 3, 10] {
        let row = format!(
            "deliveries/s, {destinations} destination{}",
            if destinations == 1 { "" } else { "s" }
        );
        for _ in 0..effort.rounds {
            let sink = Sink::start().await;
            let address = sink.address;
            let cell = effort.cell;
            let bare = tokio::task::spawn_blocking(move || client_loop(address, AT_ONCE, cell));
            let bare = bare.await.unwrap();
            report.add(&row, "/s", 'c', bare);
            relayed(destinations, &row, effort, report).await;
        }
    }
    report.goal(
        "deliveries/s, 1 destination",
        Goal::at_least('c', 0.25, 0.35),
    );
    report.goal(
        "deliveries/s, 10 destinations",
        Goal::at_least('c', 0.45, 0.6),
    );
}

async fn relayed(destinations: usize, row: &str, effort: Effort, report: &mut Report) {
    let sink = Sink::start().await;
    let folder = folder();
    let at_once = (AT_ONCE / destinations).max(1);
    let keys = format!(
        "url = \"http://{}/in\"\nconcurrency = {at_once}",
        sink.address
    );
    let relay = Relay::start(folder.path(), &rules(destinations, &keys));
    let next = Arc::new(AtomicU64::new(0));
    let before = machine::cpu(relay.id());
    let started = Instant::now();
    // As many as a good pace makes in the time of a cell: until the last of them is settled counts.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count"
    )]
    let events = (effort.cell.as_secs_f64() * 30_000.0 / destinations as f64) as u64;
    post(relay.ingress, AT_ONCE, Until::Count(events), &next).await;
    relay.drained().await;
    let took = started.elapsed().as_secs_f64();
    let deliveries = events * destinations as u64;
    assert_eq!(sink.count(), deliveries, "each delivery came once");
    report.add(row, "/s", 'b', deliveries as f64 / took);
    if let (Some(before), Some(after)) = (before, machine::cpu(relay.id())) {
        let row = row.replace("deliveries/s", "CPU per event accepted and delivered");
        report.add(&row, "µs", 'b', (after - before) * 1e6 / events as f64);
    }
    let commits = relay.metric("relay_store_commit_seconds_count") / events as f64;
    report.add(
        &row.replace("deliveries/s", "commits per event delivered"),
        "",
        'b',
        commits,
    );
    if let Some(bytes) = machine::resident(relay.id()) {
        let row = row.replace("deliveries/s", "resident memory, delivering");
        report.add(&row, "MB", 'b', bytes as f64 / 1e6);
    }
}

/// From reading the acknowledgement to the first byte at the receiver, at 50 events a second. What comes
/// before the sender has read its acknowledgement counts as nothing.
pub(crate) async fn latency(effort: Effort, report: &mut Report) {
    const PACE: Duration = Duration::from_millis(20);
    for _ in 0..effort.rounds {
        let sink = Sink::start().await;
        sink.note_times();
        let folder = folder();
        let keys = format!("url = \"http://{}/in\"", sink.address);
        let relay = Relay::start(folder.path(), &rules(1, &keys));
        let mut sender = Sender::connect(relay.ingress).await;
        let (started, mut number) = (Instant::now(), 0);
        let mut took = Vec::new();
        while number < 10 || started.elapsed() < effort.cell {
            tokio::time::sleep_until((started + PACE * u32::try_from(number).unwrap()).into())
                .await;
            sender.post(number).await;
            let acknowledged = Instant::now();
            took.push(
                sink.came(number)
                    .await
                    .saturating_duration_since(acknowledged),
            );
            number += 1;
        }
        took.sort_unstable();
        for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
            let row = format!("acknowledged to first byte at the receiver, {name}, 50/s");
            report.add(&row, "ms", 'b', quantile(&took, share) / 1e3);
        }
    }
    let row = "acknowledged to first byte at the receiver, p50, 50/s";
    report.goal(row, Goal::at_most('b', 1.0, 0.4));
}
