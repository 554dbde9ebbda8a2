//! The one thread that writes. It takes whatever commands have queued, runs them in one transaction,
//! and answers each only after the commit: callers at the same time share one sync of the disk, and a
//! lone caller waits for nobody.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::batch::{Batch, Memory};
use super::fault::Fault;
use super::file::{self, Lock};
use super::held::Held;
use super::migrate::Identity;
use super::trust::Trust;
use crate::clock::Clock;
use crate::store::{OnCommit, StoreError};

/// Commands that may queue before callers wait for room.
const QUEUE: usize = 1024;
/// Commands that share one commit at most: bounds how long the first of them waits.
const BATCH: usize = 512;

/// The callers' end of the queue.
pub(super) struct Writer {
    /// Some until this is dropped.
    queue: Option<mpsc::Sender<Message>>,
    thread: std::sync::Mutex<Option<JoinHandle<()>>>,
}

/// What the thread is given to work with.
pub(super) struct Setup {
    pub(super) path: PathBuf,
    pub(super) conn: Connection,
    pub(super) identity: Identity,
    pub(super) waiting: Arc<AtomicU64>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) on_commit: Option<OnCommit>,
    pub(super) trust: Arc<Trust>,
    /// Held until the thread has let the file go.
    pub(super) lock: Lock,
}

enum Message {
    Write(Box<dyn Command>),
    /// Write the whole log back and empty it.
    EmptyLog(oneshot::Sender<Result<(), StoreError>>),
    Close(oneshot::Sender<Result<(), StoreError>>),
}

/// One caller's write. It may be run twice: what a rolled back run did is gone.
trait Command: Send {
    fn run(&mut self, batch: &mut Batch<'_>) -> Result<(), Fault>;
    fn answer(self: Box<Self>, outcome: Result<(), StoreError>);
}

struct Write<T, F> {
    run: F,
    value: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl Writer {
    pub(super) fn start(setup: Setup) -> Result<Self, StoreError> {
        let memory = Memory::load(&setup.conn, setup.identity.clone())?;
        let thread = Thread {
            held: Held::new(&setup.path),
            path: setup.path,
            identity: setup.identity,
            waiting: setup.waiting,
            clock: setup.clock,
            on_commit: setup.on_commit,
            trust: setup.trust,
            doubtful: false,
            open: Some((setup.conn, memory)),
            _lock: setup.lock,
        };
        thread.publish_waiting();
        let (queue, messages) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || thread.work(messages))
            .map_err(|error| StoreError::Unavailable(format!("cannot start a thread: {error}")))?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread).into(),
        })
    }

    /// Queues a write and waits for its commit. A caller that goes away does not take its write along.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        run: impl FnMut(&mut Batch<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let command = Write {
            run,
            value: None,
            reply,
        };
        self.send(Message::Write(Box::new(command))).await?;
        answer
            .await
            .unwrap_or_else(|_| Err(StoreError::Unavailable("the store's writer failed".into())))
    }

    /// Leaves nothing in the log, after whatever is queued.
    pub(super) async fn empty_log(&self) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::EmptyLog(reply)).await?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Finishes what is queued, writes the log back and ends the thread.
    pub(super) async fn close(&self) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        if self.send(Message::Close(reply)).await.is_err() {
            return Ok(());
        }
        let outcome = answer.await.unwrap_or(Ok(()));
        self.join();
        outcome
    }

    async fn send(&self, message: Message) -> Result<(), StoreError> {
        let queue = self.queue.as_ref().ok_or(StoreError::Closed)?;
        queue.send(message).await.map_err(|_| StoreError::Closed)
    }

    fn join(&self) {
        let thread = self.thread.lock().ok().and_then(|mut thread| thread.take());
        // A thread that panicked has told its callers already.
        drop(thread.map(JoinHandle::join));
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Without senders the thread finishes what is queued and ends.
        self.queue = None;
        self.join();
    }
}

impl<T, F> Command for Write<T, F>
where
    T: Send,
    F: FnMut(&mut Batch<'_>) -> Result<T, Fault> + Send,
{
    fn run(&mut self, batch: &mut Batch<'_>) -> Result<(), Fault> {
        self.value = Some((self.run)(batch)?);
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), StoreError>) {
        let value = self.value;
        let answer = outcome.map(|()| value.expect("a command that ran has a value"));
        // A caller that went away does not want to know.
        drop(self.reply.send(answer));
    }
}

struct Thread {
    path: PathBuf,
    identity: Identity,
    waiting: Arc<AtomicU64>,
    clock: Arc<dyn Clock>,
    on_commit: Option<OnCommit>,
    trust: Arc<Trust>,
    /// The disk failed: what the log shows need not be on it.
    doubtful: bool,
    /// None after a fault of the machine, until it can be opened again.
    open: Option<(Connection, Memory)>,
    held: Held,
    _lock: Lock,
}

impl Thread {
    fn work(mut self, mut queue: mpsc::Receiver<Message>) {
        let mut messages = Vec::new();
        let mut closing = Vec::new();
        let mut emptying = Vec::new();
        while queue.blocking_recv_many(&mut messages, BATCH) > 0 {
            let mut commands = Vec::with_capacity(messages.len());
            for message in messages.drain(..) {
                match message {
                    Message::Write(command) => commands.push(command),
                    Message::EmptyLog(reply) => emptying.push(reply),
                    Message::Close(reply) => {
                        queue.close();
                        closing.push(reply);
                    }
                }
            }
            self.settle_batch(commands);
            for reply in emptying.drain(..) {
                let outcome = self
                    .opened()
                    .and_then(|(conn, _)| file::try_checkpoint(conn));
                self.held.note_length();
                drop(reply.send(outcome.map_err(StoreError::from)));
            }
        }
        let outcome = self.finish();
        // Whoever waits for the answer may open the file at once: let go of it first.
        drop(self);
        for reply in closing {
            drop(reply.send(outcome.clone()));
        }
    }

    /// Runs a batch in one transaction; where one command is at fault, each in one of its own.
    fn settle_batch(&mut self, mut commands: Vec<Box<dyn Command>>) {
        if commands.is_empty() {
            return;
        }
        match self.transact(&mut commands) {
            Err(fault) if commands.len() > 1 && !fault.is_environment() => {
                for command in commands {
                    self.settle_batch(vec![command]);
                }
            }
            outcome => {
                let outcome = outcome.map_err(|fault| StoreError::from(&fault));
                for command in commands {
                    command.answer(outcome.clone());
                }
            }
        }
    }

    fn transact(&mut self, commands: &mut [Box<dyn Command>]) -> Result<(), Fault> {
        let outcome = self.try_transact(commands).inspect_err(|fault| {
            self.trust.note(fault);
        });
        self.doubtful |= outcome.as_ref().is_err_and(Fault::is_of_the_disk);
        match (&outcome, &mut self.open) {
            (Ok(_), _) => self.publish_waiting(),
            (Err(fault), _) if fault.is_environment() => self.open = None,
            (Err(_), Some((conn, memory))) => {
                memory.rolled_back();
                if !conn.is_autocommit() && conn.execute_batch("ROLLBACK").is_err() {
                    self.open = None;
                }
            }
            (Err(_), None) => {}
        }
        if let (Ok(took), Some(on_commit)) = (&outcome, &self.on_commit) {
            on_commit(*took, commands.len());
        }
        outcome.map(drop)
    }

    fn try_transact(&mut self, commands: &mut [Box<dyn Command>]) -> Result<Duration, Fault> {
        let clock = Arc::clone(&self.clock);
        self.held.check(self.open.is_some())?;
        let (conn, memory) = self.opened()?;
        conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        for command in commands {
            let mut batch = Batch::new(conn, memory);
            // A fault in our own code must not end the thread that everybody waits for. What the
            // command left behind is rolled back, so it cannot be seen half done.
            let run = std::panic::AssertUnwindSafe(|| command.run(&mut batch));
            std::panic::catch_unwind(run).unwrap_or(Err(Fault::Unfit("a write failed inside")))?;
        }
        let waiting = memory.flush(conn)?;
        let started = clock.monotonic();
        conn.prepare_cached("COMMIT")?.execute([])?;
        memory.committed(waiting);
        self.held.note_length();
        Ok(clock.monotonic().saturating_sub(started))
    }

    fn opened(&mut self) -> Result<&mut (Connection, Memory), Fault> {
        if self.open.is_none() {
            let conn = file::open_writer(&self.path, false)?;
            if self.doubtful {
                file::checkpoint(&conn)?;
                self.doubtful = false;
            }
            let memory = Memory::load(&conn, self.identity.clone())?;
            self.open = Some((conn, memory));
            self.held.renew();
            self.publish_waiting();
        }
        self.open
            .as_mut()
            .ok_or(Fault::Unfit("the store is not open"))
    }

    fn publish_waiting(&self) {
        if let Some((_, memory)) = &self.open {
            let waiting = u64::try_from(memory.waiting()).unwrap_or(0);
            self.waiting.store(waiting, Ordering::Relaxed);
        }
    }

    fn finish(&mut self) -> Result<(), StoreError> {
        let Some((conn, _)) = self.open.take() else {
            return Ok(());
        };
        file::checkpoint(&conn)?;
        conn.close()
            .map_err(|(_, error)| StoreError::from(Fault::from(error)))
    }
}
