//! `relay demo`: the whole relay at work on this machine. It starts a relay on a store of its own and
//! three receivers, posts the life of two interviews over HTTP, and shows what becomes of them.

mod receivers;
mod show;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use bytes::Bytes;
use clap::Args;
use http::{HeaderName, Method, header};
use serde_json::Value;
use tokio::sync::broadcast::Receiver;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::client::request;
use super::say;
use crate::app::{self, Parts, Relay, sample};
use crate::clock::Clock;
use crate::config::{Inputs, Secrets};
use crate::model::{State, plus};
use crate::telemetry::Happening;
use receivers::Part;
use show::Show;

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// End once everything is delivered, with exit code 0 only if each delivery ended as it should
    #[arg(long)]
    exit: bool,
}

/// Everything should be over long before.
const PATIENCE: Duration = Duration::from_mins(1);

/// What each delivery of the story comes to: destination, revision by revision, and the other interview.
const EXPECTED: [(&str, &[State]); 3] = [
    (
        "hiring",
        &[
            State::Delivered,
            State::Delivered,
            State::Delivered,
            State::Delivered,
            State::Delivered,
        ],
    ),
    (
        "hr-app",
        &[
            State::Delivered,
            State::Delivered,
            State::Delivered,
            State::Delivered,
            State::Delivered,
        ],
    ),
    (
        "ats",
        &[
            State::Superseded,
            State::Superseded,
            State::Delivered,
            State::Delivered,
        ],
    ),
];

/// A relay of the demo's own, and who takes part.
struct Stage {
    relay: Relay,
    token: String,
    clock: Arc<dyn Clock>,
    _receivers: JoinSet<()>,
    folder: std::path::PathBuf,
}

pub(super) async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let stage = Stage::set().await?;
    let mut show = Show::new(stage.clock.clone());
    let feed = stage.relay.telemetry.listen();
    let played = tokio::select! {
        played = stage.play(&mut show, feed) => played,
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(Into::into),
    };
    let right = show.summary(&EXPECTED);
    if !args.exit && played.is_ok() {
        say(format_args!(
            "\nThe relay stays up until Ctrl-C: API at http://{}/api/v1/status",
            stage.relay.admin
        ));
        say(format_args!(
            "Post to http://{}/hooks/jobmojito with X-Relay-Token: {}",
            stage.relay.ingress, stage.token
        ));
        tokio::signal::ctrl_c().await?;
    }
    let folder = stage.folder.clone();
    stage.relay.shut_down(CancellationToken::new()).await;
    std::fs::remove_dir_all(folder).context("the demo's folder stays behind")?;
    played?;
    Ok(if right {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl Stage {
    async fn set() -> anyhow::Result<Self> {
        let clock = app::system_clock();
        let seed = app::system_seed()?;
        let token = hex::encode(seed.get(..12).unwrap_or_default());
        let signing = format!(
            "whsec_{}",
            base64::engine::general_purpose::STANDARD.encode(seed)
        );
        let folder = std::env::temp_dir().join(format!("relay-demo-{token}"));
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("{} cannot be made", folder.display()))?;
        let mut receivers = JoinSet::new();
        let slack = receivers::start(Part::Slack, &signing, &clock, &mut receivers).await?;
        let ats = receivers::start(Part::Ats, &signing, &clock, &mut receivers).await?;
        let hr_app = receivers::start(Part::App, &signing, &clock, &mut receivers).await?;
        let file = folder.join("relay.toml");
        std::fs::write(&file, include_str!("relay.toml"))?;
        let pair = |key: &str, value: String| (key.to_owned(), value);
        let note = "{{ result.candidate_external_id }}/notes";
        let inputs = Inputs {
            file,
            environment: vec![
                pair("DEMO_TOKEN", token.clone()),
                pair("DEMO_SIGNING", signing),
            ],
            flags: vec![
                pair(
                    "store.url",
                    format!("sqlite:{}", folder.join("relay.db").display()),
                ),
                pair(
                    "destinations.hiring.url",
                    format!("http://{slack}/services/T000/B000/demo"),
                ),
                pair(
                    "destinations.ats.url",
                    format!("http://{ats}/candidates/{note}"),
                ),
                pair(
                    "destinations.hr-app.url",
                    format!("http://{hr_app}/interviews"),
                ),
            ],
            secrets: Secrets::Read,
        };
        let relay = start(&inputs, seed, clock.clone()).await?;
        Ok(Self {
            relay,
            token,
            clock,
            _receivers: receivers,
            folder,
        })
    }

    /// Posts the life of one interview, and another that failed, each step once the one before was seen.
    async fn play(&self, show: &mut Show, mut feed: Receiver<Happening>) -> anyhow::Result<()> {
        let deadline = plus(self.clock.now(), PATIENCE);
        let body = |name: &str| sample(name).unwrap_or_default().to_owned();
        show.title(
            "An interview is collected: nothing for the ATS yet, the candidate has no id there",
        );
        self.post(body("collected")).await?;
        show.until(&mut feed, deadline, |seen| seen.events >= 1)
            .await?;
        show.title("The candidate submits. The ATS is down");
        self.post(body("submitted-rich")).await?;
        show.until(&mut feed, deadline, |seen| seen.attempts_at("ats") >= 1)
            .await?;
        show.title(
            "The platform sends the same again, then a new score. The ATS will get the newest only",
        );
        self.post(body("submitted-rich")).await?;
        self.post(body("submitted-rich-rescored")).await?;
        show.until(&mut feed, deadline, |seen| {
            seen.ended("ats", State::Delivered) >= 1
        })
        .await?;
        show.title("The recruiter decides, and another interview fails");
        self.post(decided()?).await?;
        self.post(body("failed")).await?;
        let all: usize = EXPECTED.iter().map(|(_, states)| states.len()).sum();
        show.until(&mut feed, deadline, |seen| {
            seen.known() >= all && seen.open() == 0
        })
        .await
    }

    async fn post(&self, body: String) -> anyhow::Result<()> {
        let url = Url::parse(&format!("http://{}/hooks/jobmojito", self.relay.ingress))?;
        let headers = vec![
            (HeaderName::from_static("x-relay-token"), self.token.clone()),
            (header::CONTENT_TYPE, "application/json".to_owned()),
        ];
        let answer = request(Method::POST, url, headers, Bytes::from(body)).await?;
        if !answer.status.is_success() {
            bail!(
                "the relay answered {}: {}",
                answer.status,
                String::from_utf8_lossy(&answer.body)
            );
        }
        Ok(())
    }
}

async fn start(inputs: &Inputs, seed: [u8; 32], clock: Arc<dyn Clock>) -> anyhow::Result<Relay> {
    let ready = app::load(inputs).map_err(|findings| {
        let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
        anyhow::anyhow!(lines.join("\n"))
    })?;
    let telemetry = app::telemetry(&ready)?;
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let parts = Parts {
        store: app::open_store(&ready.config.store, seed, clock.clone(), &telemetry).await?,
        clock,
        seed,
        transport: app::network(),
        telemetry,
        ingress: app::listen(loopback).await?,
        admin: app::listen(loopback).await?,
    };
    Ok(Relay::start(ready, parts).await?)
}

/// The rescored result with the recruiter's yes.
fn decided() -> anyhow::Result<String> {
    let rescored = sample("submitted-rich-rescored").context("a bundled sample")?;
    let mut body: Value = serde_json::from_str(rescored)?;
    body["recruiter_go_next_round"] = Value::Bool(true);
    Ok(body.to_string())
}
