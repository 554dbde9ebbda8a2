//! What may happen next, and how often it does.

use std::collections::BTreeMap;
use std::time::Duration;

use mojito_relay::model::{DeliveryId, Name, State};
use mojito_relay::store::{DeliveryFilter, EventFilter, Task};
use mojito_relay::transport::FailureKind;
use mojito_relay::upkeep::Asked;
use rand::RngExt as _;
use rand::seq::IndexedRandom as _;

use crate::gate::{Call, Fate, Reply};
use crate::rules::{Post, Rules};
use crate::world::{End, Life, World};

/// How receivers feel, by host; without a mood they take everything.
pub type Moods = BTreeMap<String, Mood>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Fine,
    /// Anything at all.
    Any,
    Down,
    Failing,
    Busy,
    Rejecting,
    Blocking,
    /// Takes everything but one subject.
    Picky,
}

const HOSTS: [&str; 4] = ["all.test", "latest.test", "slow.test", "loose.test"];
/// Far more than it takes from any state to all being well.
const PATIENCE: usize = 3_000;
const MINUTE: Duration = Duration::from_mins(1);

impl Mood {
    const ALL: [Self; 8] = [
        Self::Fine,
        Self::Any,
        Self::Down,
        Self::Failing,
        Self::Busy,
        Self::Rejecting,
        Self::Blocking,
        Self::Picky,
    ];

    fn replies(self) -> &'static [Reply] {
        use Reply::{Failure, Status};
        match self {
            Self::Fine => &[Status(200, None)],
            Self::Any => &[
                Status(200, None),
                Status(204, None),
                Status(500, None),
                Status(503, Some(30)),
                Status(429, None),
                Status(422, None),
                Status(401, None),
                Failure(FailureKind::Timeout),
                Failure(FailureKind::Broken),
            ],
            Self::Down => &[Failure(FailureKind::Connect), Failure(FailureKind::Tls)],
            Self::Failing => &[
                Status(500, None),
                Status(502, None),
                Failure(FailureKind::Timeout),
            ],
            Self::Busy => &[
                Status(429, Some(60)),
                Status(429, None),
                Status(503, Some(100_000)),
            ],
            Self::Rejecting => &[Status(400, None), Status(422, None)],
            Self::Picky => &[Status(403, None), Status(500, None)],
            Self::Blocking => &[Status(401, None), Status(403, None), Status(410, None)],
        }
    }
}

impl World {
    pub async fn step(&mut self, life: &mut Life) -> Result<Option<End>, String> {
        if self.steps == 0 {
            return self.recover(life).await;
        }
        self.steps -= 1;
        let calls = self.gate.calls().len();
        if calls > 0 && self.rng.random_bool(0.85) {
            let at = self.rng.random_range(0..calls);
            return Ok(self.some_call(at).await);
        }
        match self.rng.random_range(0..100) {
            0..34 => self.somebody_posts(life),
            34..68 => self.time_passes(),
            68..74 => self.a_mood_changes(),
            74..82 => self.an_operator_pauses(life),
            82..91 => self.an_operator_acts(life),
            91..94 => self.an_operator_begins_a_job(life),
            94..96 => {
                let rules = self.pick(&Rules::ALL);
                self.reload(life, rules);
            }
            96..98 => life.hang_up(self.rng.random_range(0..100)),
            _ => return Ok(Some(End::Crash)),
        }
        Ok(None)
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        *all.choose(&mut self.rng).expect("not empty")
    }

    async fn some_call(&mut self, at: usize) -> Option<End> {
        let fate = if self.rng.random_bool(self.faults) {
            match self.rng.random_range(0..10) {
                0..4 => Fate::Refused,
                4..9 => Fate::Lost,
                _ => Fate::Last,
            }
        } else {
            Fate::Done
        };
        let request = match &self.gate.calls()[at] {
            Call::Request { host, delivery, .. } => Some((host.clone(), *delivery)),
            Call::Store { .. } => None,
        };
        let store = request.is_none();
        let mood = request.and_then(|(host, delivery)| {
            let mood = self.moods.get(&host).copied()?;
            let minds = self.gate.model().events[&delivery.event].post.subject == 0;
            Some(mood).filter(|mood| minds || *mood != Mood::Picky)
        });
        let reply = self.pick(mood.unwrap_or(Mood::Fine).replies());
        self.let_go(at, fate, reply).await;
        (store && fate == Fate::Last).then_some(End::Crash)
    }

    fn somebody_posts(&mut self, life: &mut Life) {
        let post = Post {
            source: self.pick(&["one", "two"]).into(),
            subject: self.rng.random_range(0..4),
            score: self.rng.random_range(0..4),
        };
        self.post(life, post);
    }

    /// Mostly until somebody waits for it.
    fn time_passes(&mut self) {
        // A lane reckons its rate by when it lets one go: what reads the store for long arrives late.
        let reads = self
            .gate
            .calls()
            .iter()
            .any(|call| matches!(call, Call::Store { what, .. } if what.starts_with("work")));
        if reads {
            return;
        }
        match self.rng.random_range(0..20) {
            0..12 => {
                let wait = self.next_wake().unwrap_or(MINUTE);
                self.advance(wait);
            }
            12..17 => {
                let wait = self.rng.random_range(1..30_000);
                self.advance(Duration::from_millis(wait));
            }
            17 => {
                let hours = self.rng.random_range(1..72);
                self.advance(Duration::from_hours(hours));
            }
            18 => {
                let minutes = self.rng.random_range(1..120);
                self.gate.clock.put_back(MINUTE * minutes);
                self.note("is the time again");
            }
            _ => self.advance(10 * MINUTE),
        }
    }

    pub fn a_mood_changes(&mut self) {
        let (host, mood) = (self.pick(&HOSTS), self.pick(&Mood::ALL));
        self.note(format!("{host} is {mood:?}"));
        self.moods.insert(host.to_owned(), mood);
    }

    fn an_operator_pauses(&mut self, life: &mut Life) {
        let Some(lanes) = life.relay.as_ref().map(|relay| relay.lanes.clone()) else {
            return;
        };
        let destinations = self.gate.model().rules.destinations();
        let name: Name = self.pick(destinations).into();
        let paused = self.rng.random_bool(0.3);
        self.note(format!("{name} paused: {paused}"));
        life.ask(async move { _ = lanes.pause(&name, paused).await });
    }

    fn an_operator_acts(&mut self, life: &mut Life) {
        let ids: Vec<DeliveryId> = self.gate.model().deliveries.keys().copied().collect();
        let (Some(relay), Some(id)) = (&life.relay, ids.choose(&mut self.rng).copied()) else {
            return;
        };
        let jobs = relay.jobs.clone();
        let force = self.rng.random_bool(0.3);
        if self.rng.random_bool(0.6) {
            self.note(format!("replay {id}, force: {force}"));
            let new_id = false;
            life.ask(async move { _ = jobs.replay(id, &Asked { force, new_id }).await });
        } else {
            self.note(format!("discard {id}"));
            life.ask(async move { _ = jobs.discard(id).await });
        }
    }

    fn an_operator_begins_a_job(&mut self, life: &mut Life) {
        let Some(jobs) = life.relay.as_ref().map(|relay| relay.jobs.clone()) else {
            return;
        };
        let state = self.pick(&[State::Dead, State::Discarded, State::Delivered]);
        let destination = Some(self.pick(&["all", "latest", "slow"]).to_owned());
        let task = match self.rng.random_range(0..4) {
            0 | 1 => Task::Replay {
                filter: DeliveryFilter {
                    state: Some(state),
                    ..DeliveryFilter::default()
                },
                force: false,
                new_id: false,
            },
            2 => Task::Discard {
                filter: DeliveryFilter {
                    state: Some(State::Waiting),
                    destination,
                    ..DeliveryFilter::default()
                },
            },
            _ => Task::Reroute {
                filter: EventFilter {
                    source: Some("two".to_owned()),
                    ..EventFilter::default()
                },
            },
        };
        self.note(format!("job {task:?}"));
        life.ask(async move { _ = jobs.begin(task, false).await });
    }

    /// From now on all is well: nothing may be left waiting.
    async fn recover(&mut self, life: &mut Life) -> Result<Option<End>, String> {
        self.recovering += 1;
        if self.recovering > PATIENCE {
            let model = self.gate.model();
            let waiting: Vec<_> = model
                .waiting()
                .map(|(id, one)| (id, &one.destination))
                .collect();
            return Err(format!("these wait for ever: {waiting:?}"));
        }
        if !self.gate.calls().is_empty() {
            self.let_go(0, Fate::Done, Reply::Status(200, None)).await;
            return Ok(None);
        }
        if !life.is_quiet() || life.relay.is_none() {
            let wait = self.next_wake().ok_or("somebody is not answered")?;
            self.advance(wait);
            return Ok(None);
        }
        if life.mended < 2 {
            self.mend(life);
            return Ok(None);
        }
        if self.gate.model().waiting().next().is_none() {
            return Ok(Some(End::Rest));
        }
        // What upkeep does from time to time is waited for, too, but not for ever.
        let next = self.next_wake();
        life.idle_minutes += u32::from(next.is_none());
        if life.idle_minutes > 30 {
            self.recovering = PATIENCE;
        }
        self.advance(next.unwrap_or(MINUTE));
        Ok(None)
    }

    fn mend(&mut self, life: &mut Life) {
        life.mended += 1;
        if life.mended == 1 {
            self.reload(life, Rules::First);
        } else if let Some(lanes) = life.relay.as_ref().map(|relay| relay.lanes.clone()) {
            life.ask(async move {
                for name in Rules::First.destinations() {
                    _ = lanes.pause(&(*name).into(), false).await;
                }
            });
        }
    }
}
