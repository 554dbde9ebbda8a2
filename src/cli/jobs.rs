//! `relay jobs`, and a job as the relay tells it: how far it is, and what it left out.

use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use serde::Deserialize;

use super::act::How;
use super::client::{Office, understood};
use super::table::{Table, plain, second};
use super::{Global, complain, say};
use crate::model::JobState;
use crate::store::Progress;

/// Left out deliveries that are named one by one.
const NAMED: usize = 10;

#[derive(Debug, Args)]
pub(super) struct JobsArgs {
    /// Only this one, in full
    id: Option<u32>,
    /// End it; what it did stays done
    #[arg(long, requires = "id")]
    cancel: bool,
    #[command(flatten)]
    how: How,
}

/// A job as the API tells it.
#[derive(Deserialize)]
pub(super) struct Job {
    pub(super) id: u32,
    pub(super) task: Kind,
    pub(super) dry_run: bool,
    pub(super) state: JobState,
    pub(super) waits_for_room: bool,
    pub(super) created_at: Timestamp,
    pub(super) progress: Progress,
}

/// What a job does.
#[derive(Deserialize)]
pub(super) struct Kind {
    pub(super) kind: String,
}

#[derive(Deserialize)]
struct Jobs {
    items: Vec<Job>,
}

pub(super) async fn run(global: &Global, args: &JobsArgs) -> anyhow::Result<ExitCode> {
    let office = Office::of(global, &args.how.admin)?;
    let Some(id) = args.id else {
        return list(&office, args.how.json).await;
    };
    let body = if args.cancel {
        let path = format!("/api/v1/jobs/{id}/cancel");
        office.post(&path, &serde_json::Value::Null).await?
    } else {
        office.get(&format!("/api/v1/jobs/{id}"), &[]).await?
    };
    if args.how.json {
        say(String::from_utf8_lossy(&body));
    } else {
        let job: Job = understood(&body)?;
        say(plain(&job.line()));
        job.left_out().iter().for_each(|line| say(plain(line)));
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(office: &Office, json: bool) -> anyhow::Result<ExitCode> {
    let body = office.get("/api/v1/jobs", &[]).await?;
    if json {
        say(String::from_utf8_lossy(&body));
        return Ok(ExitCode::SUCCESS);
    }
    let jobs: Jobs = understood(&body)?;
    let mut table = Table::new(&[
        "JOB",
        "WHAT",
        "BEGUN",
        "STATE",
        "LOOKED AT",
        "DONE",
        "LEFT OUT",
    ]);
    for job in &jobs.items {
        let dry = if job.dry_run { ", counted only" } else { "" };
        table.row([
            &job.id.to_string(),
            &format!("{}{dry}", job.task.kind),
            &second(job.created_at),
            job.state.as_str(),
            &job.progress.looked_at.to_string(),
            &job.progress.done.to_string(),
            &job.out().to_string(),
        ]);
    }
    table.print();
    if jobs.items.is_empty() {
        complain("there are no jobs yet");
    }
    Ok(ExitCode::SUCCESS)
}

impl Job {
    /// `replayed`, `discarded`, `rerouted`.
    fn past(&self) -> String {
        let kind = &self.task.kind;
        format!("{}ed", kind.strip_suffix('e').unwrap_or(kind))
    }

    fn out(&self) -> u64 {
        self.progress.left_out.values().sum()
    }

    /// How it stands, in a line.
    pub(super) fn line(&self) -> String {
        let (id, done) = (self.id, self.progress.done);
        let would = if self.dry_run { "would be " } else { "" };
        let to = self.progress.destinations.iter();
        let to: Vec<String> = to.map(|(name, count)| format!("{name} {count}")).collect();
        let to = match to.as_slice() {
            [] => String::new(),
            some => format!(" ({})", some.join(", ")),
        };
        let stands = match self.state {
            JobState::Running if self.waits_for_room => {
                "waits until less is waiting: senders come first; ".to_owned()
            }
            JobState::Running => match self.progress.reached {
                Some(reached) => format!("under way, up to {}; ", second(reached)),
                None => "under way; ".to_owned(),
            },
            JobState::Done => String::new(),
            JobState::Cancelled => "cancelled; ".to_owned(),
        };
        let deliveries = if done == 1 { "delivery" } else { "deliveries" };
        format!(
            "job {id}: {stands}{done} {deliveries} {would}{}{to}",
            self.past()
        )
    }

    /// What it left out, by reason, and the first of them by name.
    pub(super) fn left_out(&self) -> Vec<String> {
        let out = self.out();
        if out == 0 {
            return Vec::new();
        }
        let reasons = self.progress.left_out.iter().map(|(code, count)| {
            let code = serde_json::to_value(code).unwrap_or_default();
            format!("{} {count}", code.as_str().unwrap_or_default())
        });
        let reasons: Vec<String> = reasons.collect();
        let mut lines = vec![format!("{out} left out: {}", reasons.join(", "))];
        for one in self.progress.refusals.iter().take(NAMED) {
            let what = match &one.delivery_id {
                Some(delivery) => delivery.to_string(),
                None => one.event_id.to_string(),
            };
            let to = one.destination.as_deref().unwrap_or("-");
            lines.push(format!("  {what} to {to}: {}", one.detail));
        }
        let named = self.progress.refusals.len().min(NAMED) as u64;
        if out > named {
            let more = out - named;
            lines.push(format!("  and {more} more: relay jobs {} --json", self.id));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_says_how_far_it_is_and_what_it_left_out() {
        let check = |more: serde_json::Value, line: &str, out: &[&str]| {
            let mut job = serde_json::json!({
                "id": 3, "task": {"kind": "replay"}, "dry_run": false, "state": "running",
                "waits_for_room": false, "created_at": "2026-11-22T09:00:00Z",
                "progress": {"looked_at": 9, "done": 7, "destinations": {"ats": 6, "app": 1},
                    "left_out": {}, "refusals": [], "reached": "2026-11-20T10:00:00Z"},
            });
            for (key, value) in more.as_object().expect("an object") {
                job[key] = value.clone();
            }
            let job: Job = serde_json::from_value(job).expect("a job");
            assert_eq!(job.line(), line);
            assert_eq!(job.left_out(), out);
        };
        check(
            serde_json::json!({}),
            "job 3: under way, up to 2026-11-20T10:00:00Z; 7 deliveries replayed (app 1, ats 6)",
            &[],
        );
        check(
            serde_json::json!({"waits_for_room": true, "task": {"kind": "reroute"}}),
            "job 3: waits until less is waiting: senders come first; 7 deliveries rerouted (app 1, ats 6)",
            &[],
        );
        let event = "01a2027bd6807004aad6e31a7f8bc4c9";
        check(
            serde_json::json!({"state": "done", "dry_run": true, "task": {"kind": "discard"},
                "progress": {"looked_at": 4, "done": 1, "destinations": {}, "left_out": {"older": 2, "sending": 1},
                    "refusals": [{"event_id": format!("evt_{event}"), "delivery_id": format!("dlv_{event}_0"),
                        "destination": "ats", "reason": "older", "detail": "too old"}], "reached": null}}),
            "job 3: 1 delivery would be discarded",
            &[
                "3 left out: sending 1, older 2",
                "  dlv_01a2027bd6807004aad6e31a7f8bc4c9_0 to ats: too old",
                "  and 2 more: relay jobs 3 --json",
            ],
        );
    }
}
