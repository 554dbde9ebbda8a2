//! The demo's receivers: a Slack webhook that asks for patience once, an ATS that fails twice, and an
//! app of one's own that checks signatures.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderValue, Request, Response, StatusCode, header};
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use crate::app;
use crate::clock::Clock;
use crate::http::body::{BodyBudget, BodyLimits, Inbound, read_body};
use crate::http::{Handler, Peer, Reply, Server, ServerLimits, Stop};
use crate::model::Secret;
use crate::source::Auth;

/// How a receiver behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Answers the text `ok`, and its first post with 429 and Retry-After.
    Slack,
    /// Fails the first two requests with 503.
    Ats,
    /// Takes only what is signed.
    App,
}

struct Receiver {
    part: Part,
    seen: AtomicU32,
    signatures: Auth,
    clock: Arc<dyn Clock>,
}

/// Starts a receiver on a free port of loopback and answers with its address.
pub(super) async fn start(
    part: Part,
    signing: &str,
    clock: &Arc<dyn Clock>,
    running: &mut JoinSet<()>,
) -> anyhow::Result<SocketAddr> {
    let listener = app::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    let address = listener.local_addr()?;
    let signatures = Auth::StandardWebhooks(vec![Secret::new(signing)]);
    let receiver = Receiver {
        part,
        seen: AtomicU32::new(0),
        signatures,
        clock: clock.clone(),
    };
    let server = Server::new(ServerLimits::admin(), None, clock.clone());
    running.spawn(server.run(
        listener,
        Arc::new(receiver),
        Stop::default(),
        TaskTracker::new(),
    ));
    Ok(address)
}

#[async_trait]
impl Handler for Receiver {
    async fn handle(&self, request: Request<Inbound>, _peer: Peer) -> Response<Reply> {
        let number = self.seen.fetch_add(1, Ordering::Relaxed) + 1;
        let (parts, body) = request.into_parts();
        let limits = BodyLimits {
            max_body: 1 << 20,
            deadline: Duration::from_secs(5),
        };
        let body = read_body(body, limits, &BodyBudget::new(8 << 20)).await;
        let body = body.map(|body| body.bytes).unwrap_or_default();
        let (status, text) = match self.part {
            Part::Slack if number == 1 => (
                StatusCode::TOO_MANY_REQUESTS,
                "{\"ok\":false,\"error\":\"ratelimited\"}",
            ),
            Part::Slack => (StatusCode::OK, "ok"),
            Part::Ats if number <= 2 => (
                StatusCode::SERVICE_UNAVAILABLE,
                "{\"error\":\"maintenance\"}",
            ),
            Part::Ats => (StatusCode::CREATED, "{\"id\":\"note_1\"}"),
            Part::App
                if self
                    .signatures
                    .verify(&parts.headers, &body, self.clock.now())
                    .is_ok() =>
            {
                (StatusCode::NO_CONTENT, "")
            }
            Part::App => (StatusCode::BAD_REQUEST, "the signature is wrong"),
        };
        let mut response = Response::new(Reply::new(text));
        *response.status_mut() = status;
        if status == StatusCode::TOO_MANY_REQUESTS {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
