//! `relay serve`: starts the relay, reloads it on SIGHUP, ends it on SIGTERM or SIGINT.

use std::process::ExitCode;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Global, complain, logging, supervisor, unusable};
use crate::app::{self, Ended, Parts, Ready, Relay};
use crate::config::Secrets;

/// The signals that a relay listens to.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

/// What a signal asks for.
enum Heard {
    End,
    Reload,
}

pub(super) async fn run(global: &Global) -> anyhow::Result<ExitCode> {
    let inputs = global.inputs(Secrets::Read);
    let ready = match app::load(&inputs) {
        Ok(ready) => ready,
        Err(findings) => return Ok(unusable(&findings)),
    };
    ready.warnings.iter().for_each(complain);
    // A relay that ran before starts all the same: what it has taken must go out.
    let doomed = app::rehearse(&ready, app::system_clock().now()).doomed();
    doomed.iter().for_each(complain);
    let _written_to_the_end = logging::start(ready.config.log);
    // Before the first request: a signal that comes early is not lost.
    let mut signals = Signals::listen()?;
    let mut relay = start(ready).await?;
    tracing::info!(ingress = %relay.ingress, admin = %relay.admin, version = env!("CARGO_PKG_VERSION"), "relay is ready");
    supervisor::ready();
    loop {
        tokio::select! {
            heard = signals.next() => match heard {
                Heard::End => break,
                Heard::Reload => {
                    supervisor::reloading();
                    let _told_by_the_log = relay.reloader.reload("SIGHUP").await;
                    supervisor::ready();
                }
            },
            name = relay.broken() => {
                tracing::error!(task = name, "a task ended unexpectedly: the relay ends, too");
                supervisor::stopping();
                relay.shut_down(CancellationToken::new()).await;
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    supervisor::stopping();
    tracing::info!("shutting down; a second signal forces it");
    let force = CancellationToken::new();
    let ended = {
        let shutting_down = relay.shut_down(force.clone());
        tokio::pin!(shutting_down);
        loop {
            tokio::select! {
                ended = &mut shutting_down => break ended,
                Heard::End = signals.next() => force.cancel(),
            }
        }
    };
    match ended {
        Ended::Clean => tracing::info!("relay ended; nothing was under way"),
        Ended::Forced => tracing::warn!(
            "relay ended before everything under way did; it is sent again after the next start"
        ),
    }
    Ok(ExitCode::SUCCESS)
}

async fn start(ready: Ready) -> anyhow::Result<Relay> {
    let clock = app::system_clock();
    let telemetry = app::telemetry(&ready)?;
    let store = app::open_store(
        &ready.config.store,
        app::system_seed()?,
        clock.clone(),
        &telemetry,
    )
    .await?;
    let parts = Parts {
        ingress: app::listen(ready.config.server.listen).await?,
        admin: app::listen(ready.config.admin.listen).await?,
        seed: app::system_seed()?,
        transport: app::network(),
        clock,
        store,
        telemetry,
    };
    Ok(Relay::start(ready, parts).await?)
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("signals cannot be listened to");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Heard {
        tokio::select! {
            _ = self.terminate.recv() => Heard::End,
            _ = self.interrupt.recv() => Heard::End,
            _ = self.hang_up.recv() => Heard::Reload,
        }
    }
}
