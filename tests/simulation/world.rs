//! One life of a relay after the other on one store, step by step as a seed wants it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt as _;
use http::HeaderMap;
use mojito_relay::app::{self, Parts, Relay, StartError};
use mojito_relay::clock::{Clock as _, ManualClock};
use mojito_relay::config::{Finding, Inputs, Secrets};
use mojito_relay::intake::{NotTaken, Receipt};
use mojito_relay::model::{LaneState, after};
use mojito_relay::store::Store;
use mojito_relay::telemetry::Happening;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tempfile::TempDir;
use tokio::sync::{Notify, broadcast};
use tokio::task::{AbortHandle, JoinSet};

use crate::cluster::Cluster;
use crate::gate::{Call, Fate, Gate, Reply};
use crate::rules::{Post, Rules};
use crate::steps::Moods;
use crate::store::Gated;

/// What a seed makes of the world, and what happened in it so far.
pub struct World {
    pub rng: StdRng,
    pub gate: Arc<Gate>,
    /// Which share of the calls to the store fails.
    pub faults: f64,
    pub moods: Moods,
    /// Steps until all is well again.
    pub steps: usize,
    /// Steps since then.
    pub recovering: usize,
    posts: usize,
    pub trace: Vec<String>,
    idle: Arc<Notify>,
    folder: TempDir,
    /// The URL of its store, where that is in no file.
    database: Option<String>,
    lives: usize,
    rules: Rules,
}

/// A relay at work, and who waits for it.
pub struct Life {
    /// None while it starts.
    pub relay: Option<Relay>,
    store: Arc<dyn Store>,
    heard: broadcast::Receiver<Happening>,
    asked: JoinSet<Answer>,
    senders: Vec<AbortHandle>,
    reloading: bool,
    /// Two things are mended in the end: the rules, and what is paused.
    pub mended: u8,
    /// In which nobody waited for anything.
    pub idle_minutes: u32,
}

/// What somebody waited for.
enum Answer {
    Started(Box<Result<Relay, StartError>>),
    Posted(usize, Post, Result<Receipt, NotTaken>),
    Reloaded(Result<Vec<String>, Vec<Finding>>),
    Told,
}

/// How a life ended.
#[derive(PartialEq, Eq)]
pub enum End {
    Crash,
    /// Nothing is left to do.
    Rest,
}

/// What a seed came to.
pub struct Outcome {
    /// Everything that happened, in order.
    pub trace: Vec<String>,
    /// What came about at least once.
    pub reached: BTreeSet<&'static str>,
    /// Which promise was broken.
    pub broken: Option<String>,
}

/// Lives until nothing is left to do.
pub fn run(seed: u64, database: Option<&Cluster>) -> Outcome {
    let mut world = World::new(seed, database.map(Cluster::url));
    for _ in 0..4 {
        world.a_mood_changes();
    }
    let broken = loop {
        let idle = world.idle.clone();
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        // Parked: nobody can do anything before the next step.
        runtime.on_thread_park(move || idle.notify_one());
        let runtime = runtime.enable_all().build().expect("a runtime");
        match runtime.block_on(world.live()) {
            Ok(End::Crash) => world.gate.crashed(),
            Ok(End::Rest) => break None,
            Err(broken) => break Some(broken),
        }
    };
    let reached = std::mem::take(&mut world.gate.model().reached);
    let trace = world.trace;
    Outcome {
        trace,
        reached,
        broken,
    }
}

impl World {
    fn new(seed: u64, database: Option<String>) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let start = "2026-11-22T09:00:00Z".parse().expect("a time");
        // In memory where that is to be had: a crash is simulated, so a sync of the disk would only cost time.
        let memory = PathBuf::from("/dev/shm");
        let folder = if memory.is_dir() {
            TempDir::new_in(memory)
        } else {
            TempDir::new()
        };
        Self {
            faults: [0.0, 0.01, 0.05, 0.2][rng.random_range(0..4)],
            steps: rng.random_range(100..800),
            moods: Moods::default(),
            gate: Arc::new(Gate::new(Arc::new(ManualClock::new(start)))),
            recovering: 0,
            posts: 0,
            trace: Vec::new(),
            idle: Arc::default(),
            folder: folder.expect("a temporary folder"),
            database,
            lives: 0,
            rules: Rules::default(),
            rng,
        }
    }

    async fn live(&mut self) -> Result<End, String> {
        let mut life = self.start().await?;
        loop {
            self.settle_down(&mut life).await?;
            match self.step(&mut life).await? {
                Some(End::Crash) => {
                    self.note("crash");
                    self.take_image();
                    self.let_leases_run_out().await;
                    return Ok(End::Crash);
                }
                Some(End::Rest) => {
                    self.compare(&*life.store).await?;
                    life.is_well().await?;
                    return Ok(End::Rest);
                }
                None => {}
            }
        }
    }

    pub fn note(&mut self, what: impl Into<String>) {
        let what: String = what.into();
        self.trace.push(format!("{} {what}", self.gate.clock.now()));
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(self.lives.to_string()).join(file)
    }

    /// What a crash leaves: the store's files as they are, with whatever is in the log.
    fn take_image(&mut self) {
        let files = ["relay.db", "relay.db-wal"].map(|name| (name, self.path(name)));
        self.lives += 1;
        std::fs::create_dir(self.path("")).expect("a folder");
        for (name, file) in files.iter().filter(|(_, file)| file.exists()) {
            std::fs::copy(file, self.path(name)).expect("a copy");
        }
    }

    /// A relay that is gone has its lanes for seconds yet, by a clock that no test moves.
    async fn let_leases_run_out(&self) {
        let Some(url) = &self.database else { return };
        let (place, query) = url.split_once('?').expect("it names a schema");
        let schema = query.strip_prefix("schema=").expect("and nothing else");
        let connected = tokio_postgres::connect(place, tokio_postgres::NoTls).await;
        let (client, connection) = connected.expect("it answers");
        tokio_util::task::TaskTracker::new().spawn(connection);
        let over = format!("UPDATE {schema}.lane SET owner = NULL");
        client.batch_execute(&over).await.expect("it is there");
    }

    /// A store as the last life left it, and a relay that begins to start on it.
    async fn start(&mut self) -> Result<Life, String> {
        self.note(format!("start with {:?}", self.rules));
        std::fs::create_dir_all(self.path("")).expect("a folder");
        self.write_rules();
        self.gate.model().rules = self.rules;
        let file = || format!("sqlite:{}", self.path("relay.db").display());
        let url = self.database.clone().unwrap_or_else(file);
        let flags = [("store.url", url), ("reload.watch", "false".to_owned())];
        let inputs = Inputs {
            file: self.path("relay.toml"),
            environment: Vec::new(),
            flags: flags.map(|(key, value)| (key.to_owned(), value)).into(),
            // There are none, and no certificates to be looked for.
            secrets: Secrets::Skip,
        };
        let ready = app::load(&inputs).map_err(|findings| format!("{findings:?}"))?;
        let telemetry = app::telemetry(&ready).expect("no collector");
        let heard = telemetry.listen();
        let clock = self.gate.clock.clone();
        let inner = app::open_store(&ready.config.store, [7; 32], clock.clone(), &telemetry);
        let inner = inner
            .await
            .map_err(|error| format!("the store does not open: {error}"))?;
        self.compare(&*inner).await?;
        let loopback = "127.0.0.1:0".parse().expect("an address");
        let parts = Parts {
            clock,
            seed: self.rng.random(),
            store: Arc::new(Gated {
                inner: inner.clone(),
                gate: self.gate.clone(),
            }),
            transport: self.gate.clone(),
            telemetry,
            ingress: app::listen(loopback).await.expect("a port"),
            admin: app::listen(loopback).await.expect("a port"),
        };
        let mut asked = JoinSet::new();
        asked.spawn(async { Answer::Started(Box::new(Relay::start(ready, parts).await)) });
        Ok(Life {
            relay: None,
            store: inner,
            heard,
            asked,
            senders: Vec::new(),
            reloading: false,
            mended: 0,
            idle_minutes: 0,
        })
    }

    fn write_rules(&self) {
        std::fs::write(self.path("relay.toml"), self.rules.toml()).expect("a file");
    }

    async fn compare(&self, store: &dyn Store) -> Result<(), String> {
        let ids: Vec<_> = self.gate.model().events.keys().copied().collect();
        for id in ids {
            let detail = store.event(id).await.map_err(|error| error.to_string())?;
            self.gate.model().compare(id, detail);
        }
        self.broken()
    }

    fn broken(&self) -> Result<(), String> {
        if self.gate.is_broken() {
            return Err("the model met what it does not know".to_owned());
        }
        let broken = std::mem::take(&mut self.gate.model().broken);
        if broken.is_empty() {
            Ok(())
        } else {
            Err(broken.join("; "))
        }
    }

    /// Waits until nobody can do anything before the next step, and takes what came of the last.
    async fn settle_down(&mut self, life: &mut Life) -> Result<(), String> {
        loop {
            // One from earlier means nothing.
            let _stale = self.idle.notified().now_or_never();
            self.idle.notified().await;
            while let Some(answer) = life.asked.try_join_next() {
                match answer {
                    Ok(answer) => self.answered(life, answer)?,
                    Err(error) if error.is_cancelled() => {}
                    Err(error) => return Err(error.to_string()),
                }
            }
            let calls = !self.gate.calls().is_empty() || self.gate.clock.next_wake().is_some();
            let elsewhere = self.gate.reading.load(Ordering::Relaxed);
            if !elsewhere && (calls || life.relay.is_some()) {
                break;
            }
        }
        while let Ok(happening) = life.heard.try_recv() {
            if let Happening::Lane {
                destination, state, ..
            } = happening
            {
                self.note(format!("{destination} is {state}"));
                self.gate.model().stands(&destination, state);
            }
        }
        self.gate.model().settled_down(self.gate.clock.now());
        self.broken()
    }

    fn answered(&mut self, life: &mut Life, answer: Answer) -> Result<(), String> {
        match answer {
            Answer::Started(relay) => {
                let relay = relay.map_err(|error| format!("it does not start: {error}"))?;
                life.relay = Some(relay);
                self.note("started");
            }
            Answer::Posted(number, post, answer) => {
                self.note(format!("post {number} was answered: {answer:?}"));
                self.gate.model().answered(number, &answer);
                if let (Ok(receipt), Some(relay)) = (answer, &life.relay)
                    && self.rng.random_bool(0.05)
                {
                    relay.intake.lost(receipt, post.body());
                    self.note("which did not arrive");
                }
            }
            Answer::Reloaded(outcome) => {
                life.reloading = false;
                self.gate.reading.store(false, Ordering::Relaxed);
                self.note("reloaded");
                outcome.map_err(|findings| format!("not reloaded: {findings:?}"))?;
            }
            Answer::Told => {}
        }
        Ok(())
    }

    /// Lets a call go on.
    pub async fn let_go(&mut self, at: usize, fate: Fate, reply: Reply) {
        let call = self.gate.calls().remove(at);
        match call {
            Call::Store { what, tell } => {
                self.note(format!("{what}: {fate:?}"));
                if tell.send(fate).is_ok() && fate != Fate::Refused {
                    self.gate.over.notified().await;
                }
            }
            Call::Request {
                host,
                delivery,
                tell,
            } => {
                self.note(format!("{host} answers {delivery}: {reply:?}"));
                self.gate.model().said(delivery, reply.said());
                let _it_waits = tell.send(reply);
            }
        }
    }

    pub fn post(&mut self, life: &mut Life, post: Post) {
        let Some(relay) = &life.relay else {
            return;
        };
        self.posts += 1;
        let number = self.posts;
        self.note(format!("post {number}: {post:?}"));
        self.gate.model().posts(number, &post);
        let intake = relay.intake.clone();
        let source = intake.source(&post.source).expect("it is configured");
        let posting = async move {
            let answer = intake.receive(source, HeaderMap::new(), post.body()).await;
            Answer::Posted(number, post, answer)
        };
        life.senders.push(life.asked.spawn(posting));
    }

    pub fn advance(&mut self, by: Duration) {
        self.gate.clock.advance(by);
        self.note("is the time");
    }

    /// How long it is until somebody wants to be woken.
    pub fn next_wake(&self) -> Option<Duration> {
        let at = self.gate.clock.next_wake()?;
        Some(after(self.gate.clock.now(), at))
    }

    pub fn reload(&mut self, life: &mut Life, rules: Rules) {
        let Some(relay) = life.relay.as_ref().filter(|_| !life.reloading) else {
            return;
        };
        let reloader = relay.reloader.clone();
        self.rules = rules;
        self.note(format!("reload with {rules:?}"));
        self.write_rules();
        self.gate.model().next_rules = rules;
        self.gate.reading.store(true, Ordering::Relaxed);
        life.reloading = true;
        life.asked
            .spawn(async move { Answer::Reloaded(reloader.reload("a test").await) });
    }
}

impl Life {
    /// It takes what is posted, and every lane goes.
    async fn is_well(&self) -> Result<(), String> {
        self.store
            .ready()
            .await
            .map_err(|error| error.to_string())?;
        let lanes = self
            .relay
            .as_ref()
            .expect("it started")
            .lanes
            .snapshot()
            .await;
        let lanes = lanes.map_err(|error| error.to_string())?.lanes;
        match lanes.iter().find(|lane| lane.state != LaneState::Healthy) {
            Some(lane) => Err(format!("{} is {} in the end", lane.destination, lane.state)),
            None => Ok(()),
        }
    }

    /// A sender hangs up.
    pub fn hang_up(&mut self, at: usize) {
        if !self.senders.is_empty() {
            self.senders.swap_remove(at % self.senders.len()).abort();
        }
    }

    pub fn is_quiet(&self) -> bool {
        self.asked.is_empty()
    }

    /// Somebody asks for something and does not care for the answer.
    pub fn ask(&mut self, what: impl Future<Output = ()> + Send + 'static) {
        self.asked.spawn(async {
            what.await;
            Answer::Told
        });
    }
}
