//! `relay tail`: what happens, as it happens. A relay that reloads does not interrupt it, and one that
//! restarts is waited for.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde_json::Value;

use super::client::{AdminArgs, NoAnswer, Office};
use super::table::{plain, second};
use super::{Global, complain};
use crate::app;
use crate::clock::Clock;
use crate::transport::Incoming;

mod stream;

use self::stream::{Lines, Told};

/// How long between tries to reach a relay that is gone.
const AGAIN: Duration = Duration::from_secs(1);
/// A relay says something every 15 seconds; one that is silent for so long is gone.
const SILENCE: Duration = Duration::from_mins(1);

#[derive(Debug, Args)]
pub(super) struct TailArgs {
    /// Print JSON, one object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

/// How following a stream ended.
enum Ended {
    /// The relay closed it, or is gone.
    Gone,
    /// Nobody reads what is printed.
    Unread,
}

struct Tail {
    office: Office,
    clock: Arc<dyn Clock>,
    json: bool,
}

pub(super) async fn run(global: &Global, args: &TailArgs) -> anyhow::Result<ExitCode> {
    let office = Office::of(global, &args.admin)?;
    let tail = Tail {
        office,
        clock: app::system_clock(),
        json: args.json,
    };
    let mut gone: Option<Timestamp> = None;
    let mut heard = false;
    loop {
        match tail.office.open("/api/v1/stream").await {
            Ok(incoming) => {
                if let Some(since) = gone.take() {
                    complain(format_args!(
                        "the relay is back; what it did meanwhile: relay events --since {}",
                        second(since)
                    ));
                }
                if !heard {
                    complain(format_args!("following the relay at {}", tail.office.admin));
                }
                heard = true;
                if let Ended::Unread = tail.follow(incoming).await {
                    return Ok(ExitCode::SUCCESS);
                }
            }
            // One that was heard before is starting, or stopping.
            Err(error) if heard && error.may_pass() => {}
            Err(error) => return Err(error.into()),
        }
        if gone.is_none() {
            gone = Some(tail.clock.now());
            complain(format_args!(
                "the relay at {} is gone; waiting for it",
                tail.office.admin
            ));
        }
        tail.clock.pause(AGAIN).await;
    }
}

impl Tail {
    async fn follow(&self, mut incoming: Incoming) -> Ended {
        let mut lines = Lines::default();
        loop {
            let chunk = tokio::select! {
                chunk = incoming.chunk() => chunk,
                () = self.clock.pause(SILENCE) => None,
            };
            let Some(chunk) = chunk else {
                return Ended::Gone;
            };
            for told in lines.take(&chunk) {
                let line = if self.json {
                    told.json()
                } else {
                    plain(&words(&told))
                };
                // Not `say`: where the reader is gone, so are we.
                if writeln!(std::io::stdout(), "{line}").is_err() {
                    return Ended::Unread;
                }
            }
        }
    }
}

impl NoAnswer {
    /// A relay that restarts looks like this for a while.
    fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { status, .. } => status.is_server_error(),
            Self::Token { .. } => false,
        }
    }
}

/// One thing in a line.
fn words(told: &Told) -> String {
    let text = |key: &str| match &told.data[key] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let at = ["at", "received_at"].map(text).concat();
    // The second within its day is enough for eyes.
    let at = at.split_once('T').map_or("", |(_, time)| time);
    let at: String = at.chars().take(8).collect();
    let rest = match told.kind.as_str() {
        "event" => {
            let duplicate = told.data["duplicate"] == true;
            let fields: Vec<&str> = told.data["changed"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            let changed = match fields.as_slice() {
                _ if duplicate => ", a duplicate".to_owned(),
                [] => String::new(),
                some => format!(", changed: {}", some.join(", ")),
            };
            format!(
                "{} from {}, revision {}{changed}  {}",
                text("type"),
                text("source"),
                text("revision"),
                text("id")
            )
        }
        "attempt" => format!(
            "{}  #{} {} {} in {} ms, {}: {}  {}",
            text("destination"),
            text("attempt"),
            text("status"),
            text("verdict"),
            text("duration_ms"),
            text("state"),
            text("reason"),
            text("delivery_id")
        ),
        "delivery" => format!("{}  {}  {}", text("destination"), text("state"), text("id")),
        "lane" => match text("reason").as_str() {
            "" => format!("{} is {}", text("destination"), text("state")),
            reason => format!("{} is {}: {reason}", text("destination"), text("state")),
        },
        "source" => format!("{} is {} {}", text("source"), text("state"), text("reason")),
        "missed" => format!(
            "{} things, because this reader was too slow",
            text("missed")
        ),
        _ => told.data.to_string(),
    };
    format!("{at:<8}  {:<8}  {rest}", told.kind)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_thing_is_told_in_a_line() {
        let check = |kind: &str, data: Value, line: &str| {
            let kind = kind.to_owned();
            assert_eq!(words(&Told { kind, data }), line);
        };
        check(
            "event",
            json!({ "id": "evt_1", "source": "jobmojito", "type": "interview.submitted", "revision": 2,
                    "changed": ["score"], "received_at": "2026-11-22T09:30:00.5Z", "duplicate": false }),
            "09:30:00  event     interview.submitted from jobmojito, revision 2, changed: score  evt_1",
        );
        check(
            "attempt",
            json!({ "delivery_id": "dlv_1_0", "destination": "ats", "attempt": 1, "at": "2026-11-22T09:30:01Z",
                    "duration_ms": 12, "status": 503, "verdict": "retry", "reason": "busy", "state": "waiting" }),
            "09:30:01  attempt   ats  #1 503 retry in 12 ms, waiting: busy  dlv_1_0",
        );
        check(
            "lane",
            json!({ "at": "2026-11-22T09:30:02Z", "destination": "ats", "state": "blocked", "reason": "401" }),
            "09:30:02  lane      ats is blocked: 401",
        );
        check(
            "missed",
            json!({ "missed": 7 }),
            "          missed    7 things, because this reader was too slow",
        );
    }
}
