//! The long form: the sender's service without and with each attack, in turn, and the ratio of the two.

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::attacks::{ATTACKS, Attack};
use crate::process::Relay;
use crate::sender::{Sender, Service};
use crate::tool::{MODES, Tool};

/// Of the service without an attack, what is left during it, at least.
const GOAL: f64 = 0.7;
/// Until an attack is in full swing, and until one is over.
const RAMP: Duration = Duration::from_secs(3);
/// How long each side is measured.
const MEASURED: Duration = Duration::from_secs(10);

/// An attack that is under way, until it is dropped.
enum Underway {
    Connections(Option<Runtime>),
    Tool { _running: Tool },
}

impl Drop for Underway {
    fn drop(&mut self) {
        if let Self::Connections(runtime) = self
            && let Some(runtime) = runtime.take()
        {
            runtime.shutdown_timeout(RAMP);
        }
    }
}

/// Measures every attack, or those whose name contains `only`.
pub fn run(only: Option<&str>) {
    let relay = Relay::start("", None);
    let sender = Sender::start(relay.ingress);
    let wanted = |name: &str| only.is_none_or(|only| name.contains(only));
    println!(
        "{:<32} {:>7} {:>9} {:>9} {:>9} {:>9} {:>6} {:>7}",
        "attack", "ratio", "p50", "p50 under", "p99", "p99 under", "files", "MiB"
    );
    let mut short = Vec::new();
    let mut measured = |name: &str, begin: &dyn Fn() -> Underway| {
        let ratio = measure(&relay, &sender, name, begin);
        if ratio < GOAL {
            short.push(format!("{name}: {ratio:.2}"));
        }
    };
    for attack in ATTACKS.iter().filter(|attack| wanted(attack.name)) {
        measured(attack.name, &|| connections(attack, &relay));
    }
    for (name, mode) in MODES.iter().filter(|(name, _)| wanted(name)) {
        measured(name, &|| tool(mode, &relay));
    }
    sender.end();
    assert!(short.is_empty(), "below {GOAL}: {short:?}");
}

fn measure(relay: &Relay, sender: &Sender, name: &str, begin: &dyn Fn() -> Underway) -> f64 {
    let without = serviced(sender);
    let attack = begin();
    std::thread::sleep(RAMP);
    let under = serviced(sender);
    let taken = relay.taken();
    drop(attack);
    std::thread::sleep(RAMP);
    let count = |service: &Service| f64::from(u32::try_from(service.in_time).unwrap());
    let ratio = count(&under) / count(&without);
    let ms = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1000.0);
    println!(
        "{name:<32} {ratio:>7.2} {:>9} {:>9} {:>9} {:>9} {:>6} {:>7}",
        ms(without.p50),
        ms(under.p50),
        ms(without.p99),
        ms(under.p99),
        taken.files,
        taken.memory
    );
    ratio
}

fn serviced(sender: &Sender) -> Service {
    sender.begin();
    std::thread::sleep(MEASURED);
    sender.service()
}

/// Connections that come back as soon as they are cut, on one thread: an attacker elsewhere takes none of our time.
fn connections(attack: &Attack, relay: &Relay) -> Underway {
    let runtime = Builder::new_multi_thread();
    let runtime = { runtime }.worker_threads(1).enable_all().build().unwrap();
    let (life, ingress) = (attack.life, relay.ingress);
    for _ in 0..attack.connections.0 {
        runtime.spawn(async move {
            loop {
                life(ingress).await;
            }
        });
    }
    Underway::Connections(Some(runtime))
}

fn tool(mode: &[&str], relay: &Relay) -> Underway {
    let seconds = (RAMP + MEASURED + RAMP).as_secs();
    let running = Tool::start(mode, relay.ingress, 1000, seconds);
    Underway::Tool {
        _running: running.expect("slowhttptest is installed"),
    }
}
