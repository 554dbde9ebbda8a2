//! Relays, lanes and who has which, step by step.

use std::fmt;

use mojito_relay::dispatch::owner;

use super::Args;

/// Simulated seconds of one step.
pub(crate) const STEP: f64 = 0.1;
/// Calls that share a commit in a relay under load, and rows of one in the database's log: measured, docs/scaling.md.
const CALLS_PER_COMMIT: f64 = 25.0;

/// All of it.
pub(crate) struct Fleet {
    args: Args,
    now: f64,
    relays: Vec<Relay>,
    lanes: Vec<Lane>,
    died: Option<f64>,
    seen: Seen,
}

struct Relay {
    alive: bool,
    /// When it looks at the leases next.
    tick_at: f64,
    lease_until: f64,
}

struct Lane {
    name: String,
    /// Deliveries a second.
    load: f64,
    owner: Option<usize>,
    waiting: f64,
    without_since: Option<f64>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    facts: Vec<(String, String)>,
    pub(crate) longest_without: f64,
    moved: usize,
    most_waiting: f64,
    caught_up_after: Option<f64>,
}

impl Fleet {
    pub(crate) fn new(args: &Args) -> Self {
        let weights: Vec<f64> = (1..=args.lanes)
            .map(|n| (n as f64).powf(-args.skew))
            .collect();
        let all: f64 = weights.iter().sum();
        let deliveries = args.events * args.fan_out;
        let lane = |(n, weight): (usize, &f64)| Lane {
            name: format!("destination-{n}"),
            load: deliveries * weight / all,
            owner: None,
            waiting: 0.0,
            without_since: None,
        };
        let lanes = weights.iter().enumerate().map(lane).collect();
        // They do not look at the same moment.
        let phase = |n: usize| args.tick * n as f64 / args.replicas as f64;
        let relays = (0..args.replicas).map(|n| Relay {
            alive: true,
            tick_at: phase(n),
            lease_until: 0.0,
        });
        Self {
            args: args.clone(),
            now: 0.0,
            relays: relays.collect(),
            lanes,
            died: None,
            seen: Seen::default(),
        }
    }

    /// These end without a word: their leases run out.
    pub(crate) fn kill(&mut self, count: usize) {
        self.describe_load();
        self.died = Some(self.now);
        self.relays
            .iter_mut()
            .take(count)
            .for_each(|relay| relay.alive = false);
        for lane in &mut self.lanes {
            if lane.owner.is_some_and(|owner| owner < count) {
                lane.without_since = Some(self.now);
                self.seen.moved += 1;
            }
        }
    }

    pub(crate) fn step(&mut self) {
        for relay in 0..self.relays.len() {
            if self.relays[relay].alive && self.relays[relay].tick_at <= self.now {
                self.tick(relay);
            }
        }
        self.deliver();
        self.now += STEP;
    }

    /// What a relay does about leases: it renews its own, and takes lanes that are free and fall to it.
    fn tick(&mut self, own: usize) {
        self.relays[own].tick_at += self.args.tick;
        self.relays[own].lease_until = self.now + self.args.lease;
        let now = self.now;
        let alive: Vec<u64> = (0..self.relays.len())
            .filter(|relay| self.relays[*relay].lease_until > now)
            .map(|relay| relay as u64)
            .collect();
        for lane in &mut self.lanes {
            let held = lane
                .owner
                .is_some_and(|owner| self.relays[owner].lease_until > now);
            let falls_to = owner(&lane.name, alive.iter().copied()).map(|relay| relay as usize);
            if !held && falls_to == Some(own) {
                lane.owner = Some(own);
                if let Some(since) = lane.without_since.take() {
                    self.seen.longest_without = self.seen.longest_without.max(now - since);
                }
            } else if lane.owner == Some(own) && falls_to != Some(own) {
                // Given back at once: what is under way is not simulated.
                lane.owner = None;
            }
        }
    }

    /// What comes in waits; each relay settles what it can, of each of its lanes alike.
    fn deliver(&mut self) {
        let mut asked = vec![0.0; self.relays.len()];
        for lane in &mut self.lanes {
            lane.waiting += lane.load * STEP;
            if let Some(owner) = lane.owner {
                asked[owner] += lane.waiting;
            }
        }
        for lane in &mut self.lanes {
            if let Some(owner) = lane.owner.filter(|owner| self.relays[*owner].alive) {
                let share = (self.args.capacity * STEP / asked[owner]).min(1.0);
                lane.waiting -= lane.waiting * share;
            }
        }
        let waiting = self.lanes.iter().map(|lane| lane.waiting).sum();
        if let Some(died) = self.died {
            self.seen.most_waiting = self.seen.most_waiting.max(waiting);
            let little = self.args.events * self.args.fan_out * STEP;
            let settled = self.lanes.iter().all(|lane| lane.without_since.is_none());
            if settled && waiting <= little && self.seen.caught_up_after.is_none() {
                self.seen.caught_up_after = Some(self.now - died);
            }
        }
    }

    fn describe_load(&mut self) {
        let mut loads = vec![0.0; self.relays.len()];
        for lane in &self.lanes {
            if let Some(owner) = lane.owner {
                loads[owner] += lane.load;
            }
        }
        let mean = loads.iter().sum::<f64>() / loads.len() as f64;
        let most = loads.iter().copied().fold(0.0, f64::max);
        let largest = self.lanes.first().map_or(0.0, |lane| lane.load);
        self.fact(
            "deliveries a second, by all relays",
            mean * loads.len() as f64,
        );
        self.fact("the busiest relay's share of the mean", most / mean);
        self.fact("the largest lane's, a second", largest);
        self.fact(
            "relays needed if all were alike",
            (mean * loads.len() as f64 / self.args.capacity).ceil(),
        );
        let calls = self.args.events * (1.0 + self.args.fan_out);
        self.fact("statements a second: accepted and settled", calls);
        self.fact("commits a second", calls / CALLS_PER_COMMIT);
        self.fact(
            "renewals a second",
            self.relays.len() as f64 / self.args.tick,
        );
    }

    fn fact(&mut self, what: &str, figure: f64) {
        let figure = match figure {
            _ if figure >= 100.0 => format!("{figure:.0}"),
            _ => format!("{figure:.2}"),
        };
        self.seen.facts.push((what.to_owned(), figure));
    }

    pub(crate) fn seen(mut self) -> Seen {
        let Seen {
            moved,
            longest_without,
            most_waiting,
            caught_up_after,
            ..
        } = self.seen.clone();
        self.fact("lanes that changed hands by the deaths", moved as f64);
        self.fact("longest that one had no owner, s", longest_without);
        self.fact("most that waited then", most_waiting);
        if let Some(after) = caught_up_after {
            self.fact("caught up after, s", after);
        } else {
            let never = (
                "caught up after, s".to_owned(),
                "not in this time".to_owned(),
            );
            self.seen.facts.push(never);
        }
        self.seen
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| what | figure |\n| --- | --- |")?;
        self.facts
            .iter()
            .try_for_each(|(what, figure)| writeln!(f, "| {what} | {figure} |"))
    }
}
