//! What it costs to have the relay at all: size, start-up, memory while nothing happens.

use super::relay::{BINARY, Relay, folder, rules};
use super::report::{Goal, Report};
use super::{Effort, machine};

/// A start takes milliseconds: more of them make the median steadier.
const STARTS: usize = 5;

pub(crate) async fn measure(effort: Effort, report: &mut Report) {
    let size = std::fs::metadata(BINARY).unwrap().len();
    report.add("binary", "MB", 'b', size as f64 / 1e6);
    for _ in 0..effort.rounds * STARTS {
        let folder = folder();
        let keys = "url = \"http://127.0.0.1:9/in\"";
        let relay = Relay::start(folder.path(), &rules(2, keys));
        report.add(
            "ready after start, empty store",
            "ms",
            'b',
            relay.ready_after.as_secs_f64() * 1e3,
        );
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        if let Some(bytes) = machine::resident(relay.id()) {
            report.add("resident memory, idle", "MB", 'b', bytes as f64 / 1e6);
        }
    }
    report.goal("binary", Goal::at_most('b', 20.0, 12.0));
    report.goal(
        "ready after start, empty store",
        Goal::at_most('b', 100.0, 30.0),
    );
    report.goal("resident memory, idle", Goal::at_most('b', 20.0, 12.0));
}
