//! The operators' door: health, metrics and the API. Everything with data in it asks for the token.

mod guard;
mod guesses;
mod jobs;
mod lists;
mod media;
mod openapi;
mod query;
mod replicas;
mod stream;
mod views;

pub use guesses::Guesses;
pub use stream::Streams;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use subtle::ConstantTimeEq as _;

use super::body::{BodyBudget, BodyLimits, Inbound, read_body};
use super::call::{AdminCall, names_one_host};
use super::problem::{AdminProblem, Problem, Unavailable};
use super::{Handler, Peer, Reply};
use crate::clock::Clock;
use crate::dispatch::{Handle, Snapshot, Stopped};
use crate::model::{LaneState, Name, Secret, State};
use crate::store::{Store, StoreError, Tally, Whose};
use crate::telemetry::{LaneGauges, Telemetry};
use crate::upkeep::{Eraser, Jobs, Mover, Senders};

/// For so long after an event was not taken the relay is not ready, unless another one was taken since: as long as its
/// sender was asked to wait.
const LATELY: Duration = TRY_AGAIN;
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// Largest body of an admin request, in bytes.
const MAX_BODY: u64 = 64 * 1024;

/// What the admin API works with.
pub struct Admin {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub telemetry: Arc<Telemetry>,
    pub lanes: Handle,
    /// None: the port is on loopback, and whoever reaches it may do everything.
    pub token: Option<Secret>,
    pub in_force: Arc<ArcSwap<InForce>>,
    /// Set when the relay begins to shut down.
    pub draining: Arc<AtomicBool>,
    pub reload: Arc<dyn Reload>,
    pub eraser: Eraser,
    pub mover: Mover,
    pub jobs: Arc<Jobs>,
    pub streams: Streams,
    pub senders: Arc<Senders>,
    pub guesses: Guesses,
}

/// Reads the configuration again.
#[async_trait]
pub trait Reload: Send + Sync {
    /// Puts it in force, and warns of what follows for deliveries that wait; or says what is wrong with it, and
    /// then nothing has changed.
    async fn reload(&self) -> Result<Vec<String>, Vec<String>>;
}

/// Which configuration is in force.
#[derive(Clone, Debug, Serialize)]
pub struct InForce {
    /// Digest of relay.toml.
    pub hash: String,
    /// 1 at start, one more with each reload.
    pub generation: u64,
    pub loaded_at: Timestamp,
    #[serde(skip)]
    pub last_reload: Option<LastReload>,
}

/// What came of the last reload.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct LastReload {
    pub at: Timestamp,
    /// Empty where it is in force now; else what is wrong, in the words of `relay check`.
    pub errors: Vec<String>,
    /// What it means for deliveries that wait: which lack fields that are used now
    pub warnings: Vec<String>,
}

type Answer = Result<Response<Reply>, AdminProblem>;

impl Admin {
    async fn answer(&self, request: Request<Inbound>, peer: Peer) -> Answer {
        let (parts, body) = request.into_parts();
        if !names_one_host(&parts) {
            return Err(AdminProblem::BadHost);
        }
        let call = AdminCall::parse(&parts.method, &parts.uri)?;
        if !call.is_open() {
            self.authorize(&parts, peer).inspect_err(|problem| {
                let status = problem.status().as_u16();
                let now = self.clock.now();
                self.telemetry.turned_away(now, status, peer.ip);
            })?;
            media::acceptable(&parts.headers, call.media_type())?;
        }
        let query = parts.uri.query().unwrap_or_default();
        match call {
            AdminCall::Page(file) => Ok(file.answer()),
            AdminCall::Health => Ok(text("text/plain; charset=utf-8", "ok\n".to_owned())),
            AdminCall::Ready => self.ready().await,
            AdminCall::Metrics => self.metrics().await,
            AdminCall::OpenApi => Ok(text("application/json", openapi::text())),
            AdminCall::Status => self.status().await,
            AdminCall::Events => {
                let (filter, limit) = query::events(query)?;
                self.events(filter, limit).await
            }
            AdminCall::Event(id) => {
                let detail = self.store.event(id).await?.ok_or(AdminProblem::NotFound)?;
                let sending = self.lanes.snapshot().await?.sending;
                Ok(json(&views::event_detail(detail, &sending)))
            }
            AdminCall::Deliveries => {
                let (filter, limit) = query::deliveries(query)?;
                self.deliveries(filter, limit).await
            }
            AdminCall::Delivery(id) => {
                let detail = self
                    .store
                    .event(id.event)
                    .await?
                    .ok_or(AdminProblem::NotFound)?;
                let mut deliveries = detail.deliveries.into_iter();
                let found = deliveries.find(|delivery| delivery.id == id);
                let sending = self.lanes.snapshot().await?.sending;
                found
                    .map(|delivery| json(&views::delivery_detail(delivery, &sending)))
                    .ok_or(AdminProblem::NotFound)
            }
            AdminCall::Stream => {
                let stream = self.streams.open(&self.telemetry, &self.clock);
                stream.ok_or(AdminProblem::Unavailable {
                    reason: Unavailable::Streams,
                    retry_after: TRY_AGAIN,
                })
            }
            AdminCall::Jobs => self.jobs().await,
            AdminCall::Job(id) => self.job(id).await,
            change => self.change(change, &parts.headers, body).await,
        }
    }

    /// What is asked for by POST.
    async fn change(&self, call: AdminCall, headers: &HeaderMap, body: Inbound) -> Answer {
        match call {
            AdminCall::Replay(id) => self.replay(id, &read(headers, body).await?).await,
            AdminCall::Discard(id) => self.discard(id).await,
            AdminCall::ReplayMany => {
                let many: jobs::ReplayManyBody = read(headers, body).await?;
                self.begin(many).await
            }
            AdminCall::DiscardMany => {
                let many: jobs::DiscardManyBody = read(headers, body).await?;
                self.begin(many).await
            }
            AdminCall::Reroute => {
                let many: jobs::RerouteBody = read(headers, body).await?;
                self.begin(many).await
            }
            AdminCall::Cancel(id) => self.cancel(id).await,
            AdminCall::Move(from) => {
                let how: query::MoveBody = read(headers, body).await?;
                self.move_backlog(&from, &how.to).await
            }
            AdminCall::Erase => {
                let whose: query::EraseBody = read(headers, body).await?;
                self.erase(whose.into()).await
            }
            AdminCall::Reload => self.reload().await,
            AdminCall::Pause(name) => self.pause(&name, true).await,
            AdminCall::Resume(name) => self.pause(&name, false).await,
            _ => Err(AdminProblem::NotFound),
        }
    }

    /// The right token is let in whatever else came from its address: a stranger behind the same proxy must not
    /// be able to lock the operators out. So it is the token's length that keeps guesses hopeless; the limit
    /// keeps them few, and visible.
    fn authorize(&self, parts: &Parts, peer: Peer) -> Result<(), AdminProblem> {
        let Some(token) = &self.token else {
            return guard::check(parts);
        };
        let given = parts.headers.get(header::AUTHORIZATION);
        let Some(given) = given else {
            return Err(AdminProblem::Unauthorized);
        };
        let given = given.to_str().unwrap_or_default();
        let given = given
            .split_once(' ')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let given = given.map_or("", |(_, token)| token.trim());
        // Digests compare in the same time whatever the lengths.
        let digests = (
            blake3::hash(given.as_bytes()),
            blake3::hash(token.expose().as_bytes()),
        );
        let same: bool = digests.0.as_bytes().ct_eq(digests.1.as_bytes()).into();
        if same {
            return Ok(());
        }
        let waiting = self.guesses.wrong(peer.ip);
        Err(waiting.map_or_else(
            |retry_after| AdminProblem::TooManyGuesses { retry_after },
            |()| AdminProblem::Unauthorized,
        ))
    }

    async fn ready(&self) -> Answer {
        if self.draining.load(Ordering::Relaxed) {
            return Err(AdminProblem::Unavailable {
                reason: Unavailable::Draining,
                retry_after: TRY_AGAIN,
            });
        }
        self.writable().await?;
        Ok(text("text/plain; charset=utf-8", "ready\n".to_owned()))
    }

    /// A write succeeds now, and that of the last event did: a small one may still find room where an event does not.
    async fn writable(&self) -> Result<(), AdminProblem> {
        self.store.ready().await?;
        let failing = self.telemetry.failing(self.clock.now(), LATELY);
        let unready = |words| AdminProblem::StoreFails {
            words,
            retry_after: TRY_AGAIN,
        };
        failing.map_or(Ok(()), |words| Err(unready(words)))
    }

    async fn metrics(&self) -> Answer {
        // Without a store there are still metrics: those of the lanes are as they were.
        if let Ok(tallies) = self.store.tallies(self.clock.now()).await {
            let snapshot = self.lanes.snapshot().await.unwrap_or_default();
            self.telemetry
                .metrics
                .set_lanes(self.clock.now(), &gauges(&snapshot, &tallies));
        }
        self.senders.measure().await;
        let writable = self.writable().await.is_ok();
        self.telemetry.metrics.set_writable(writable);
        Ok(text(
            "text/plain; version=0.0.4; charset=utf-8",
            self.telemetry.metrics.text(),
        ))
    }

    async fn status(&self) -> Answer {
        let tallies = self.store.tallies(self.clock.now()).await?;
        let snapshot = self.lanes.snapshot().await?;
        let roll = self.roll().await?;
        let senders = self.senders.look().await?;
        let running = self.running().await?;
        let sealing = self.store.sealing().await?;
        Ok(json(&views::status(
            &self.in_force.load(),
            (&self.telemetry.pace(self.clock.now()), &senders),
            &views::Standing {
                snapshot: &snapshot,
                roll: roll.as_ref(),
                tallies: &tallies,
            },
            (sealing, running),
        )))
    }

    /// What waits for a destination that is not in relay.toml any more, to one that is.
    async fn move_backlog(&self, from: &Name, to: &Name) -> Answer {
        let tallies = self.store.tallies(self.clock.now()).await?;
        let snapshot = self.lanes.snapshot().await?;
        let here = |name: &Name| snapshot.lanes.iter().any(|lane| lane.destination == *name);
        let served = |name: &Name| here(name) || snapshot.elsewhere.contains(name);
        if served(from) {
            let detail = "The destination is in relay.toml: only an orphan's backlog is moved.";
            return Err(conflict(detail.to_owned()));
        }
        if !served(to) {
            return Err(AdminProblem::Unprocessable {
                detail: "There is no destination of that name in relay.toml to move to.".into(),
            });
        }
        if !tallies.iter().any(|tally| tally.destination == *from) {
            return Err(AdminProblem::NotFound);
        }
        let moved = self.mover.move_backlog(from, to).await?;
        Ok(json(&views::MovedView {
            from: from.clone(),
            to: to.clone(),
            moved: moved.deliveries,
            discarded: moved.discarded,
        }))
    }

    /// The answer comes once it is done.
    async fn erase(&self, whose: Whose) -> Answer {
        Ok(json(&views::erasure(self.eraser.erase(whose).await?)))
    }

    async fn reload(&self) -> Answer {
        match self.reload.reload().await {
            Ok(warnings) => {
                let config = views::config(&self.in_force.load());
                Ok(json(&views::ReloadedView { config, warnings }))
            }
            Err(errors) => Err(AdminProblem::Unprocessable {
                detail: errors.join("\n").into(),
            }),
        }
    }
}

#[async_trait]
impl Handler for Admin {
    async fn handle(&self, request: Request<Inbound>, peer: Peer) -> Response<Reply> {
        let mut response = self.answer(request, peer).await.unwrap_or_else(|problem| {
            if let AdminProblem::StoreFails { words, .. } = &problem {
                self.telemetry.not_answered(self.clock.now(), words);
            }
            Problem::from(problem).into()
        });
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        response
    }
}

impl From<StoreError> for AdminProblem {
    fn from(error: StoreError) -> Self {
        Self::StoreFails {
            words: error.to_string(),
            retry_after: TRY_AGAIN,
        }
    }
}

impl From<Stopped> for AdminProblem {
    fn from(_: Stopped) -> Self {
        Self::Unavailable {
            reason: Unavailable::Draining,
            retry_after: TRY_AGAIN,
        }
    }
}

/// One for each lane, and one for each destination that is known only from what it still has waiting. A lane that another
/// relay has is that one's to measure.
fn gauges(snapshot: &Snapshot, tallies: &[Tally]) -> Vec<LaneGauges> {
    let mut names = views::destinations(&views::Standing {
        snapshot,
        roll: None,
        tallies,
    });
    names.retain(|name, _| !snapshot.elsewhere.contains(name));
    let gauge = |(destination, state): (Name, LaneState)| {
        let waiting = tallies
            .iter()
            .find(|t| t.destination == destination && t.state == State::Waiting);
        LaneGauges {
            state,
            waiting: waiting.map_or(0, |tally| tally.count),
            oldest_due: waiting.and_then(|tally| tally.oldest_due),
            oldest_created: waiting.and_then(|tally| tally.oldest_created),
            destination,
        }
    };
    names.into_iter().map(gauge).collect()
}

fn conflict(detail: String) -> AdminProblem {
    AdminProblem::Conflict {
        detail: detail.into(),
    }
}

/// The body of a request, where it has one.
async fn read<T: query::Body>(headers: &HeaderMap, body: Inbound) -> Result<T, AdminProblem> {
    let limits = BodyLimits {
        max_body: MAX_BODY,
        deadline: TRY_AGAIN,
    };
    let body = read_body(body, limits, &BodyBudget::new(MAX_BODY)).await?;
    if !body.bytes.is_empty() {
        media::is_json(headers)?;
    }
    T::read(&body.bytes)
}

fn json(value: &impl Serialize) -> Response<Reply> {
    let body = serde_json::to_vec(value).expect("views have text keys only");
    text("application/json", body)
}

fn text(content_type: &'static str, body: impl Into<bytes::Bytes>) -> Response<Reply> {
    let mut response = Response::new(Reply::new(body));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
