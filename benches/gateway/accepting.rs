//! Accepting: a bare server, a bare server with a synced log, and the relay, which stores an event and two
//! deliveries for lanes that stand still, so that accepting is measured alone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::contenders::{Contender, Server};
use super::figures::quantile;
use super::load::{Answered, Until, post};
use super::relay::{Relay, folder, rules};
use super::report::{Goal, Report};
use super::{Effort, machine};

const CONNECTIONS: [usize; 4] = [1, 16, 64, 256];
const NOWHERE: &str = "url = \"http://127.0.0.1:9/in\"\npaused = true";

pub(crate) async fn measure(effort: Effort, report: &mut Report) {
    for connections in CONNECTIONS {
        for _ in 0..effort.rounds {
            for contender in [Contender::Bare, Contender::Log] {
                let server = Server::start(contender);
                let answered = load(server.address, connections, effort).await;
                let who = if contender == Contender::Bare {
                    'a'
                } else {
                    'd'
                };
                note(report, who, connections, &answered);
            }
            relay(connections, effort, report).await;
        }
    }
    report.goal("accepts/s, 64 connections", Goal::at_least('a', 0.27, 0.33));
    report.goal("accepts/s, 64 connections", Goal::at_least('d', 0.5, 0.65));
    report.goal(
        "acknowledge p50, 1 connection",
        Goal::at_most('d', 1.5, 1.2),
    );
    report.goal(
        "acknowledge p99, 64 connections",
        Goal::at_most('d', 1.0, 0.6),
    );
    report.goal("commits per event, 64 connections", Goal::below('b', 0.1));
    report.goal(
        "resident memory, accepting, 64 connections",
        Goal::at_most('b', 64.0, 40.0),
    );
}

async fn relay(connections: usize, effort: Effort, report: &mut Report) {
    let folder = folder();
    let relay = Relay::start(folder.path(), &rules(2, NOWHERE));
    let before = machine::cpu(relay.id());
    let answered = load(relay.ingress, connections, effort).await;
    note(report, 'b', connections, &answered);
    let events = answered.count as f64;
    if let (Some(before), Some(after)) = (before, machine::cpu(relay.id())) {
        let row = format!("CPU per accepted event, {}", said(connections));
        report.add(&row, "µs", 'b', (after - before) * 1e6 / events);
    }
    let commits = relay.metric("relay_store_commit_seconds_count") / events;
    report.add(
        &format!("commits per event, {}", said(connections)),
        "",
        'b',
        commits,
    );
    if let Some(bytes) = machine::resident(relay.id()) {
        let row = format!("resident memory, accepting, {}", said(connections));
        report.add(&row, "MB", 'b', bytes as f64 / 1e6);
    }
}

async fn load(to: SocketAddr, connections: usize, effort: Effort) -> Answered {
    let next = Arc::new(AtomicU64::new(0));
    post(to, connections, Until::After(effort.cell), &next).await
}

fn note(report: &mut Report, who: char, connections: usize, answered: &Answered) {
    let said = said(connections);
    report.add(
        &format!("accepts/s, {said}"),
        "/s",
        who,
        answered.per_second(),
    );
    for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
        let row = format!("acknowledge {name}, {said}");
        report.add(&row, "µs", who, quantile(&answered.latencies, share));
    }
}

fn said(connections: usize) -> String {
    let s = if connections == 1 { "" } else { "s" };
    format!("{connections} connection{s}")
}
