//! `relay sink`: a receiver that prints what it gets and fails on demand.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use clap::Args;
use http::{HeaderMap, Request, Response, StatusCode, header};
use tokio_util::task::TaskTracker;

use super::say;
use crate::app;
use crate::clock::Clock;
use crate::http::body::{BodyBudget, BodyLimits, Inbound, read_body};
use crate::http::{Handler, Peer, Reply, Server, ServerLimits, Stop};

#[derive(Debug, Args)]
pub(super) struct SinkArgs {
    /// Port on loopback to listen on
    #[arg(long, default_value_t = 9000)]
    port: u16,
    /// Status to answer with
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(200..=599))]
    status: u16,
    /// Wait so long before each answer, such as 2s
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    delay: Duration,
    /// Answer the first N requests with 503 (or with --status where that is an error), then with 200
    #[arg(long, value_name = "N")]
    fail_first: Option<u32>,
    /// Also send Retry-After with each error, in seconds
    #[arg(long, value_name = "SECONDS")]
    retry_after: Option<u32>,
}

struct Sink {
    args: SinkArgs,
    clock: Arc<dyn Clock>,
    seen: AtomicU32,
}

pub(super) async fn run(args: SinkArgs) -> anyhow::Result<ExitCode> {
    let clock = app::system_clock();
    let listener = app::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, args.port))).await?;
    say(format_args!(
        "sink listens on http://{}; Ctrl-C ends it",
        listener.local_addr()?
    ));
    let stop = Stop::default();
    let sink = Arc::new(Sink {
        args,
        clock: clock.clone(),
        seen: AtomicU32::new(0),
    });
    let serving = Server::new(ServerLimits::admin(), None, clock).run(
        listener,
        sink,
        stop,
        TaskTracker::new(),
    );
    tokio::select! {
        () = serving => {}
        ended = tokio::signal::ctrl_c() => ended?,
    }
    Ok(ExitCode::SUCCESS)
}

impl Sink {
    fn status(&self, number: u32) -> StatusCode {
        let status = StatusCode::from_u16(self.args.status).unwrap_or(StatusCode::OK);
        let failing = if status.is_success() {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            status
        };
        match self.args.fail_first {
            Some(first) if number <= first => failing,
            Some(_) => StatusCode::OK,
            None => status,
        }
    }
}

#[async_trait]
impl Handler for Sink {
    async fn handle(&self, request: Request<Inbound>, _peer: Peer) -> Response<Reply> {
        let number = self.seen.fetch_add(1, Ordering::Relaxed) + 1;
        let status = self.status(number);
        let (parts, body) = request.into_parts();
        let limits = BodyLimits {
            max_body: 16 << 20,
            deadline: Duration::from_mins(1),
        };
        let body = read_body(body, limits, &BodyBudget::new(64 << 20)).await;
        say(format_args!(
            "#{number} {} {} -> {status}",
            parts.method, parts.uri
        ));
        say(headers(&parts.headers));
        match body {
            Ok(body) => say(format_args!(
                "{}\n",
                String::from_utf8_lossy(&body.bytes).trim_end()
            )),
            Err(error) => say(format_args!("({error})\n")),
        }
        self.clock.pause(self.args.delay).await;
        let text = if status.is_success() { "ok" } else { "no" };
        let mut response = Response::new(Reply::new(text));
        *response.status_mut() = status;
        if let Some(seconds) = self.args.retry_after.filter(|_| !status.is_success()) {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// The headers that a receiver of webhooks looks at, one a line.
fn headers(all: &HeaderMap) -> String {
    let wanted = |name: &str| {
        name.starts_with("webhook-")
            || name.starts_with("relay-")
            || name.starts_with("content-type")
    };
    let lines = all.iter().filter(|(name, _)| wanted(name.as_str()));
    let lines = lines
        .map(|(name, value)| format!("  {name}: {}", String::from_utf8_lossy(value.as_bytes())));
    lines.collect::<Vec<String>>().join("\n")
}
