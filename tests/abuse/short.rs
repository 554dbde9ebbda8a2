//! The short form: every attack at once, each connection until the relay is done with it.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::attacks::{ATTACKS, Attack};
use crate::process::Relay;
use crate::sender::{PATIENCE, Sender};
use crate::tool::{MODES, Tool};

/// The relay's deadlines here.
const DEADLINES: &str = "header_deadline = \"1s\"\nbody_deadline = \"1s\"";
/// Within this, each attacker is cut off or answered. It holds a debug build on a busy machine.
const CUT: Duration = Duration::from_mins(1);
/// The relay at rest, the budget of bodies, and what 700 connections take.
const MEMORY: u64 = 256;

pub fn run() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let at_rest = runtime.block_on(all_at_once());
    runtime.block_on(more_connections_than_files(256, false));
    // Half of so few is more than the relay at rest leaves, which opens some more as it reads.
    let few = u32::try_from(2 * at_rest - 8).unwrap();
    runtime.block_on(more_connections_than_files(few, true));
    println!("abuse: every attacker was cut off, every post of the sender acknowledged");
}

/// It answers with the files that are open at rest.
async fn all_at_once() -> usize {
    let relay = Relay::start(DEADLINES, None);
    let before = relay.taken();
    let sender = Sender::start(relay.ingress);
    let mut lives = JoinSet::new();
    for Attack {
        name,
        connections: (_, count),
        life,
    } in ATTACKS
    {
        for _ in 0..count {
            let one = life(relay.ingress);
            lives.spawn(async move {
                let over = timeout(CUT, one).await;
                assert!(over.is_ok(), "{name}: not cut off");
            });
        }
    }
    let tools = MODES.map(|(_, mode)| Tool::start(mode, relay.ingress, 50, 3));
    if tools.iter().any(Option::is_none) {
        println!("abuse: WITHOUT slowhttptest, which is not installed");
    }
    let mut most = 0;
    while let Some(ended) = lives.join_next().await {
        ended.unwrap();
        most = most.max(relay.taken().memory);
    }
    assert!(most <= MEMORY, "{most} MiB");
    sender.end();
    drop(tools);
    let until = Instant::now() + PATIENCE;
    while relay.taken().files > before.files + 10 {
        assert!(
            Instant::now() < until,
            "{:?}, before {before:?}",
            relay.taken()
        );
        sleep(Duration::from_millis(50)).await;
    }
    before.files
}

/// Idle connections take all that the door may have open, and more: who is at work is served all the same. Where so few files
/// may be open that there are none left, that is said.
async fn more_connections_than_files(files: u32, none_left: bool) {
    let relay = Relay::start("", Some(files));
    let few = "so few files may be open";
    assert!(relay.said().contains(few), "{}", relay.said());
    let sender = Sender::start(relay.ingress);
    let mut lives = JoinSet::new();
    let (most, kept) = (300, usize::try_from(files / 2).unwrap());
    for _ in 0..most {
        lives.spawn((ATTACKS[0].life)(relay.ingress));
    }
    // Those above the limit make room for others, long before their deadline.
    for _ in 0..most - kept {
        let cut = timeout(CUT, lives.join_next()).await;
        assert!(cut.is_ok(), "{:?}: {}", relay.taken(), relay.said());
    }
    sender.end();
    let told = relay
        .said()
        .matches("connections cannot be accepted")
        .count();
    assert_eq!(told, usize::from(none_left), "{}", relay.said());
}
