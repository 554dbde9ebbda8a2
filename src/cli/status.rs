//! `relay status`: what is stuck, why, and what frees it; then everything else.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde::Deserialize;

use super::client::{AdminArgs, Office, understood};
use super::jobs::Job;
use super::table::{Table, between, plain};
use super::{Global, say};
use crate::app;
use crate::model::{LaneState, State, after};
use crate::store::Sealing;

/// A healthy destination whose oldest delivery has been due for so long is worth a word.
const LATE: Duration = Duration::from_mins(5);
/// Destinations of a relay that are named.
const NAMED: usize = 5;

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    admin: AdminArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The relay's status as the API tells it.
#[derive(Deserialize)]
struct Status {
    version: String,
    config: Config,
    loaded_at: Timestamp,
    last_reload: Option<LastReload>,
    counts: BTreeMap<State, u64>,
    sources: Vec<Source>,
    destinations: Vec<Destination>,
    jobs: Vec<Job>,
    encryption: Option<Encryption>,
    #[serde(default)]
    replicas: Vec<Replica>,
}

#[derive(Deserialize)]
struct Replica {
    name: String,
    this: bool,
    alive: bool,
    age_ms: u64,
    lanes: u64,
    upkeep: bool,
}

#[derive(Deserialize)]
struct Encryption {
    key: Option<String>,
    resealing: bool,
    left: u64,
}

#[derive(Deserialize)]
struct Source {
    name: String,
    state: String,
    reason: String,
}

#[derive(Deserialize)]
struct Config {
    hash: String,
    generation: u64,
}

#[derive(Deserialize)]
struct LastReload {
    at: Timestamp,
    errors: Vec<String>,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
struct Destination {
    name: String,
    state: LaneState,
    reason: String,
    since: Option<Timestamp>,
    held_until: Option<Timestamp>,
    next_probe: Option<Timestamp>,
    in_flight: u64,
    counts: BTreeMap<State, u64>,
    oldest_due_at: Option<Timestamp>,
    oldest_created_at: Option<Timestamp>,
    #[serde(default)]
    owner: Option<String>,
}

pub(super) async fn run(global: &Global, args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let office = Office::of(global, &args.admin)?;
    let body = office.get("/api/v1/status", &[]).await?;
    if args.json {
        say(String::from_utf8_lossy(&body));
        return Ok(ExitCode::SUCCESS);
    }
    let status: Status = understood(&body)?;
    let unready = office.get("/readyz", &[]).await.err();
    let unready = unready.map(|error| format!("The relay takes no events: {error}"));
    for line in status.trouble(unready, app::system_clock().now()) {
        say(plain(&line));
    }
    status.print(office.admin.as_str(), app::system_clock().now());
    Ok(ExitCode::SUCCESS)
}

impl Status {
    /// What is stuck, and what frees it.
    fn trouble(&self, unready: Option<String>, now: Timestamp) -> Vec<String> {
        let mut lines: Vec<String> = unready.into_iter().collect();
        if let Some(reload) = self
            .last_reload
            .as_ref()
            .filter(|last| !last.errors.is_empty())
        {
            let ago = between(reload.at, now);
            lines.push(format!(
                "The last reload, {ago} ago, changed nothing, because relay.toml has errors:"
            ));
            lines.extend(reload.errors.iter().map(|error| format!("  {error}")));
        }
        if let Some(reload) = &self.last_reload {
            let ago = between(reload.at, now);
            let told = reload.warnings.iter();
            lines.extend(told.map(|warning| format!("The reload {ago} ago warned: {warning}")));
        }
        for destination in &self.destinations {
            lines.extend(destination.trouble(now));
        }
        // Where relays share a store, each lane has one that delivers.
        let ownerless = self.destinations.iter().filter(|one| {
            !self.replicas.is_empty() && one.owner.is_none() && one.state != LaneState::Orphaned
        });
        for one in ownerless {
            lines.push(format!(
                "{} has no relay that delivers to it: one takes it within seconds, or none that runs has it in relay.toml",
                one.name
            ));
        }
        for source in &self.sources {
            if !source.reason.is_empty() {
                lines.push(format!(
                    "source {} is {}: {}",
                    source.name, source.state, source.reason
                ));
            }
        }
        if lines.is_empty() {
            lines.push("Nothing is stuck.".to_owned());
        }
        lines.push(String::new());
        lines
    }

    fn print(&self, admin: &str, now: Timestamp) {
        let mut table = Table::new(&[
            "DESTINATION",
            "STATE",
            "WAITING",
            "OLDEST",
            "SENDING",
            "DELIVERED",
            "DEAD",
        ]);
        for one in &self.destinations {
            let oldest = one.oldest_created_at.map(|oldest| between(oldest, now));
            let [waiting, delivered, dead] = [State::Waiting, State::Delivered, State::Dead]
                .map(|state| one.count(state).to_string());
            table.row([
                &one.name,
                one.state.as_str(),
                &waiting,
                oldest.as_deref().unwrap_or("-"),
                &one.in_flight.to_string(),
                &delivered,
                &dead,
            ]);
        }
        table.print();
        self.print_replicas();
        let counts = State::ALL.into_iter().filter_map(|state| {
            let count = self.counts.get(&state).filter(|count| **count > 0)?;
            Some(format!("{count} {state}"))
        });
        let counts: Vec<String> = counts.collect();
        let hash: String = self.config.hash.chars().take(12).collect();
        let all = match counts.as_slice() {
            [] => "none yet".to_owned(),
            some => some.join(", "),
        };
        say(format_args!("\ndeliveries: {all}"));
        if let Some(encryption) = &self.encryption {
            say(plain(&encryption.line()));
        }
        for job in &self.jobs {
            say(plain(&job.line()));
        }
        say(format_args!(
            "relay {} at {admin}, configuration {hash}, generation {}, in force for {}",
            plain(&self.version),
            self.config.generation,
            between(self.loaded_at, now)
        ));
    }
}

impl Status {
    /// Who shares the store, and which lanes each has.
    fn print_replicas(&self) {
        if self.replicas.is_empty() {
            return;
        }
        say("");
        let mut table = Table::new(&["RELAY", "STATE", "SEEN", "DELIVERS TO", ""]);
        for replica in &self.replicas {
            let state = if replica.alive { "alive" } else { "gone" };
            let owned = self.destinations.iter();
            let owned = owned.filter(|one| one.owner.as_ref() == Some(&replica.name));
            let mut names: Vec<&str> = owned.map(|one| &*one.name).collect();
            if names.len() > NAMED {
                names.truncate(NAMED);
                names.push("…");
            }
            let lanes = format!("{} ({})", replica.lanes, names.join(", "));
            let also = [
                replica.this.then_some("answers here"),
                replica.upkeep.then_some("does upkeep"),
            ];
            let also: Vec<&str> = also.into_iter().flatten().collect();
            table.row([
                &*replica.name,
                state,
                &format!("{} ms ago", replica.age_ms),
                if replica.lanes == 0 { "0" } else { &lanes },
                &also.join(", "),
            ]);
        }
        table.print();
    }
}

impl Encryption {
    fn line(&self) -> String {
        let stands = match &self.key {
            Some(key) => format!("payloads are encrypted by key {key}"),
            None => "the encryption of payloads is being taken off".to_owned(),
        };
        if !self.resealing {
            return format!("{stands}, all of them");
        }
        let left = if self.left >= Sealing::MOST {
            format!("{} or more", Sealing::MOST)
        } else {
            self.left.to_string()
        };
        format!("{stands}; {left} older ones are left to go through: keep every key")
    }
}

impl Destination {
    fn count(&self, state: State) -> u64 {
        self.counts.get(&state).copied().unwrap_or(0)
    }

    fn trouble(&self, now: Timestamp) -> Vec<String> {
        let Self { name, reason, .. } = self;
        let since = self.since.map(|since| between(since, now));
        let since = since.map_or(String::new(), |since| format!(" for {since}"));
        let mut lines = Vec::new();
        let (stands, way_out) = match self.state {
            LaneState::Healthy => return self.slow(now).into_iter().chain(self.dead()).collect(),
            LaneState::Open => (
                "open",
                format!(
                    "it goes on by itself once the receiver answers; at once: relay resume {name}"
                ),
            ),
            LaneState::Blocked => (
                "blocked",
                format!("correct its block in relay.toml, which frees it; or: relay resume {name}"),
            ),
            LaneState::Paused if reason.contains("relay.toml") => (
                "paused",
                "take `paused = true` out of relay.toml".to_owned(),
            ),
            LaneState::Paused => ("paused", format!("relay resume {name}")),
            LaneState::Orphaned => (
                "orphaned",
                format!(
                    "put it back, or was = \"{name}\" at its successor, or: relay move {name} TO"
                ),
            ),
        };
        let waiting = self.count(State::Waiting);
        lines.push(format!(
            "{name} is {stands}{since}, with {waiting} waiting: {reason}"
        ));
        if let Some(probe) = self.next_probe.filter(|_| self.state != LaneState::Paused) {
            let when = if probe <= now {
                "now".to_owned()
            } else {
                format!("in {}", between(now, probe))
            };
            lines.push(format!("  it is tried with one delivery {when}"));
        }
        lines.push(format!("  way out: {way_out}"));
        lines.extend(self.dead());
        lines
    }

    /// Where it is healthy and things wait all the same.
    fn slow(&self, now: Timestamp) -> Option<String> {
        let (name, waiting) = (&self.name, self.count(State::Waiting));
        if let Some(until) = self.held_until.filter(|until| *until > now) {
            let left = between(now, until);
            return Some(format!(
                "{name} asked for a pause of another {left}, with {waiting} waiting; at once: relay resume {name}"
            ));
        }
        // Of a healthy lane that is not held: its attempts fail.
        if !self.reason.is_empty() {
            let reason = &self.reason;
            return Some(format!(
                "{name} has {waiting} waiting: {reason}; it is tried again by itself"
            ));
        }
        let due = self.oldest_due_at.filter(|due| after(*due, now) >= LATE)?;
        let late = between(due, now);
        Some(format!(
            "{name} is behind by {late}, with {waiting} waiting: they go as fast as its rate_limit and concurrency allow"
        ))
    }

    fn dead(&self) -> Option<String> {
        let (name, dead) = (&self.name, self.count(State::Dead));
        (dead > 0).then(|| {
            format!(
                "{name} has {dead} dead: relay deliveries --state dead --destination {name}; once mended: \
                 relay replay --state dead --destination {name}"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("in range")
    }

    fn lane(state: LaneState, reason: &str) -> Destination {
        Destination {
            name: "ats".to_owned(),
            state,
            reason: reason.to_owned(),
            since: Some(at(0)),
            held_until: None,
            next_probe: None,
            in_flight: 0,
            counts: BTreeMap::from([(State::Waiting, 12)]),
            oldest_due_at: None,
            oldest_created_at: None,
            owner: None,
        }
    }

    #[test]
    fn a_destination_whose_attempts_fail_is_told_before_it_counts_as_open() {
        let failing = "the last 2 attempts failed: cannot connect: Connection refused";
        let told = lane(LaneState::Healthy, failing).trouble(at(30));
        let expected = format!("ats has 12 waiting: {failing}; it is tried again by itself");
        assert_eq!(told, [expected]);
    }

    #[test]
    fn what_is_stuck_comes_with_why_and_the_way_out() {
        let check = |lane: Destination, lines: &[&str]| {
            assert_eq!(lane.trouble(at(7_500)), lines);
        };
        let mut blocked = lane(LaneState::Blocked, "401 Unauthorized: key revoked");
        blocked.next_probe = Some(at(7_740));
        blocked.counts.insert(State::Dead, 1);
        check(
            blocked,
            &[
                "ats is blocked for 2 h 5 min, with 12 waiting: 401 Unauthorized: key revoked",
                "  it is tried with one delivery in 4 min",
                "  way out: correct its block in relay.toml, which frees it; or: relay resume ats",
                "ats has 1 dead: relay deliveries --state dead --destination ats; once mended: \
                 relay replay --state dead --destination ats",
            ],
        );
        check(
            lane(LaneState::Paused, "paused by an operator"),
            &[
                "ats is paused for 2 h 5 min, with 12 waiting: paused by an operator",
                "  way out: relay resume ats",
            ],
        );
        check(
            lane(LaneState::Paused, "paused = true in relay.toml"),
            &[
                "ats is paused for 2 h 5 min, with 12 waiting: paused = true in relay.toml",
                "  way out: take `paused = true` out of relay.toml",
            ],
        );
    }

    #[test]
    fn how_far_a_rotation_is() {
        let check = |key: Option<&str>, resealing: bool, left: u64, line: &str| {
            let key = key.map(str::to_owned);
            let encryption = Encryption {
                key,
                resealing,
                left,
            };
            assert_eq!(encryption.line(), line);
        };
        check(
            Some("3f"),
            false,
            0,
            "payloads are encrypted by key 3f, all of them",
        );
        check(
            Some("3f"),
            true,
            10_000,
            "payloads are encrypted by key 3f; 10000 or more older ones are left to go through: keep every key",
        );
        check(
            None,
            true,
            7,
            "the encryption of payloads is being taken off; 7 older ones are left to go through: keep every key",
        );
    }

    #[test]
    fn a_healthy_one_is_told_where_it_is_held_or_behind() {
        let mut held = lane(LaneState::Healthy, "");
        held.held_until = Some(at(70));
        assert_eq!(
            held.trouble(at(10)),
            ["ats asked for a pause of another 1 min, with 12 waiting; at once: relay resume ats"]
        );
        let mut behind = lane(LaneState::Healthy, "");
        behind.oldest_due_at = Some(at(0));
        assert!(behind.trouble(at(299)).is_empty());
        assert!(behind.trouble(at(300))[0].starts_with("ats is behind by 5 min"));
    }
}
