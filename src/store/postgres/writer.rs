//! The one task that writes what is on the way of every event. It takes whatever calls have queued, sends them in one
//! transaction without waiting between, and answers each only after the commit: callers at the same time share one
//! commit and one round trip, and a lone caller waits for nobody.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use deadpool_postgres::Object;
use futures_util::future::{MaybeDone, maybe_done};
use tokio::sync::{mpsc, oneshot};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};
use tokio_util::task::TaskTracker;

use super::fault::Fault;
use super::pool::Pools;
use super::rows;
use crate::clock::Clock;
use crate::store::{OnCommit, StoreError};

/// Calls that may queue before callers wait for room.
const QUEUE: usize = 1024;
/// Calls that share one commit at most: bounds how long the first of them waits.
const BATCH: usize = 512;
/// Times that a transaction is begun anew because another one was in the way.
pub(super) const TRIES: usize = 5;

/// Writes what was counted in a transaction, and answers how many deliveries wait.
pub(super) const FLUSH: &str = "SELECT flush_1($1)";

pub(super) type Param = Box<dyn ToSql + Sync + Send>;

/// One statement. It may be run twice: what a rolled back run did is gone.
pub(super) struct Call {
    pub(super) sql: &'static str,
    pub(super) params: Vec<Param>,
    /// Calls of a batch lock rows in this order, whichever relay they come from.
    pub(super) order: (u8, u64),
}

/// The callers' end of the queue.
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
    task: TaskTracker,
}

/// What the task is given to work with.
pub(super) struct Setup {
    pub(super) pools: Arc<Pools>,
    pub(super) slot: i32,
    /// How long a transaction may take.
    pub(super) patience: Duration,
    pub(super) waiting: Arc<AtomicU64>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) on_commit: Option<OnCommit>,
}

type Answer = oneshot::Sender<Result<Vec<Row>, StoreError>>;

enum Message {
    Write(Call, Answer),
    Close,
}

impl Writer {
    pub(super) fn start(setup: Setup) -> Self {
        let (queue, messages) = mpsc::channel(QUEUE);
        let task = TaskTracker::new();
        task.spawn(Task(setup).work(messages));
        task.close();
        Self { queue, task }
    }

    /// Queues a call and waits for its commit. A caller that goes away does not take its call along.
    pub(super) async fn call(&self, call: Call) -> Result<Vec<Row>, StoreError> {
        let (reply, answer) = oneshot::channel();
        let queued = self.queue.send(Message::Write(call, reply)).await;
        queued.map_err(|_| StoreError::Closed)?;
        answer
            .await
            .unwrap_or_else(|_| Err(StoreError::Unavailable("the store's writer failed".into())))
    }

    /// Finishes what is queued and ends the task.
    pub(super) async fn close(&self) {
        // Where it ended already there is nobody to be told.
        drop(self.queue.send(Message::Close).await);
        self.task.wait().await;
    }
}

struct Task(Setup);

impl Task {
    async fn work(self, mut queue: mpsc::Receiver<Message>) {
        let mut messages = Vec::new();
        while queue.recv_many(&mut messages, BATCH).await > 0 {
            let mut calls = Vec::with_capacity(messages.len());
            for message in messages.drain(..) {
                match message {
                    Message::Write(call, answer) => calls.push((call, answer)),
                    Message::Close => queue.close(),
                }
            }
            calls.sort_by_key(|(call, _)| call.order);
            self.settle_batch(calls).await;
        }
    }

    /// Runs a batch in one transaction; where one call is at fault, each in one of its own.
    async fn settle_batch(&self, calls: Vec<(Call, Answer)>) {
        if calls.is_empty() {
            return;
        }
        let all: Vec<&Call> = calls.iter().map(|(call, _)| call).collect();
        let outcomes = match self.transact(&all).await {
            Err(fault) if calls.len() > 1 && fault.is_of_one() => {
                let mut outcomes = Vec::with_capacity(calls.len());
                for call in &all {
                    let alone = self.transact(&[call]).await;
                    outcomes.push(alone.map(|mut rows| rows.pop().unwrap_or_default()));
                }
                outcomes
            }
            Err(fault) => {
                let fault = StoreError::from(&fault);
                for (_, answer) in calls {
                    drop(answer.send(Err(fault.clone())));
                }
                return;
            }
            Ok(rows) => rows.into_iter().map(Ok).collect(),
        };
        for ((_, answer), outcome) in calls.into_iter().zip(outcomes) {
            // A caller that went away does not want to know.
            drop(answer.send(outcome.map_err(StoreError::from)));
        }
    }

    async fn transact(&self, calls: &[&Call]) -> Result<Vec<Vec<Row>>, Fault> {
        let mut tries = 1;
        loop {
            let outcome = self.try_transact(calls).await;
            match outcome {
                Err(fault) if fault.is_passing() && tries < TRIES => tries += 1,
                outcome => return outcome,
            }
        }
    }

    async fn try_transact(&self, calls: &[&Call]) -> Result<Vec<Vec<Row>>, Fault> {
        let client = self.0.pools.hot.get().await?;
        let mut statements = Vec::with_capacity(calls.len());
        for call in calls {
            statements.push(client.prepare_cached(call.sql).await?);
        }
        let flush = client.prepare_cached(FLUSH).await?;
        let started = self.0.clock.monotonic();
        let done = at_once(&client, (calls, &statements), (&flush, self.0.slot));
        // The database ends what takes too long; one that says nothing at all is left.
        let outcome = tokio::time::timeout(self.0.patience, done).await;
        let (rows, waiting) = match outcome.unwrap_or(Err(Fault::Slow)) {
            Ok(done) => done,
            Err(fault) => {
                // Nobody knows in which state it is.
                drop(Object::take(client));
                return Err(fault);
            }
        };
        self.0.waiting.store(waiting, Ordering::Relaxed);
        if let Some(on_commit) = &self.0.on_commit {
            let took = self.0.clock.monotonic().saturating_sub(started);
            on_commit(took, calls.len());
        }
        Ok(rows)
    }
}

type Sent<'a> = Pin<Box<dyn Future<Output = Result<Vec<Row>, tokio_postgres::Error>> + Send + 'a>>;

/// Sends all of a transaction before the first answer is read; the driver sends in the order in which it is polled first.
async fn at_once(
    client: &Object,
    (calls, statements): (&[&Call], &[Statement]),
    (flush, slot): (&Statement, i32),
) -> Result<(Vec<Vec<Row>>, u64), Fault> {
    let plain = |sql: &'static str| -> Sent<'_> {
        Box::pin(async move { client.batch_execute(sql).await.map(|()| Vec::new()) })
    };
    let mut all = vec![plain("BEGIN")];
    for (call, statement) in calls.iter().zip(statements) {
        all.push(Box::pin(async move {
            let params: Vec<&(dyn ToSql + Sync)> = call
                .params
                .iter()
                .map(|one| -> &(dyn ToSql + Sync) { &**one })
                .collect();
            client.query(statement, &params).await
        }));
    }
    all.push(Box::pin(async move { client.query(flush, &[&slot]).await }));
    all.push(plain("COMMIT"));
    let mut all: Vec<Pin<Box<MaybeDone<Sent<'_>>>>> = all
        .into_iter()
        .map(|one| Box::pin(maybe_done(one)))
        .collect();
    poll_fn(|context| {
        for one in &mut all {
            // Its answer is read below, and in this order.
            let _sent = one.as_mut().poll(context);
        }
        Poll::Ready(())
    })
    .await;
    let mut answers = Vec::with_capacity(all.len());
    for one in &mut all {
        one.as_mut().await;
        answers.extend(one.as_mut().take_output());
    }
    // After a fault the rest only says that the transaction was given up: the first is the cause. What commits says
    // nothing of it.
    let mut answers = answers.into_iter().collect::<Result<Vec<_>, _>>()?;
    answers.pop();
    let waiting = answers.pop().unwrap_or_default();
    let waiting = waiting.first().map(|row| rows::get::<i64>(row, 0));
    let waiting = waiting.transpose()?.unwrap_or(0);
    answers.remove(0);
    Ok((answers, u64::try_from(waiting).unwrap_or(0)))
}
