//! What the tasks of one connection share: how busy it is, orders to end it, answers that are not
//! flushed yet, and a request body that nobody read. It does no I/O.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use futures_util::task::AtomicWaker;

use super::body::Leftover;
use super::reply::Receipt;
use super::timer::{self, Instant};

const DRAIN: u8 = 1;
const EVICT: u8 = 2;
const FORCE: u8 = 4;

/// Requests that a peer may begin and abandon, beyond those it sees through, before it is cut off.
const MAX_ABANDONED: u32 = 256;

/// Bytes that a peer may send without beginning a request or going on with a body: pings, settings and the like, or
/// what was under way when a body was refused.
const MAX_CHATTER: u64 = 4 * 1024 * 1024;

/// `first_byte` while a request is being answered: bytes that come then begin nothing.
const TAKEN: u64 = u64::MAX;

/// One connection, as its tasks and the server see it.
pub(super) struct Link {
    /// Times below are microseconds since then.
    epoch: Instant,
    orders: AtomicU8,
    task: AtomicWaker,
    busy: AtomicU32,
    streams: AtomicU32,
    /// Requests whose body is still coming in.
    reading: AtomicU32,
    reading_since: AtomicU64,
    asked: AtomicBool,
    abandoned: AtomicU32,
    chatter: AtomicU64,
    idle_since: AtomicU64,
    /// When the first byte of the next request came; 0 before that.
    first_byte: AtomicU64,
    /// Bytes came in that no request accounts for.
    unread: AtomicBool,
    written: AtomicU64,
    awaiting_flush: AtomicBool,
    receipts: Mutex<Vec<Receipt>>,
    leftover: Mutex<Option<Leftover>>,
}

/// What a connection is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Finish what is under way, take nothing more.
    Drain,
    /// End now.
    Close,
}

/// What is to be done about a connection that has been silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// It was busy: look again then.
    Until(Instant),
    /// It has answered before, so it is closed politely.
    Over,
    /// It never asked for anything.
    Never,
}

/// A request being answered. The connection is busy as long as one of these lives.
pub(super) struct Underway {
    link: Arc<Link>,
    finished: bool,
    stream: bool,
}

impl Link {
    pub(super) fn new(epoch: Instant) -> Self {
        let link = Self {
            epoch,
            orders: AtomicU8::new(0),
            task: AtomicWaker::new(),
            busy: AtomicU32::new(0),
            streams: AtomicU32::new(0),
            reading: AtomicU32::new(0),
            reading_since: AtomicU64::new(0),
            asked: AtomicBool::new(false),
            abandoned: AtomicU32::new(0),
            chatter: AtomicU64::new(0),
            idle_since: AtomicU64::new(0),
            first_byte: AtomicU64::new(0),
            unread: AtomicBool::new(false),
            written: AtomicU64::new(0),
            awaiting_flush: AtomicBool::new(false),
            receipts: Mutex::new(Vec::new()),
            leftover: Mutex::new(None),
        };
        link.idle_since.store(link.micros(), Ordering::Relaxed);
        link
    }

    /// No request is being answered.
    pub(super) fn is_idle(&self) -> bool {
        self.busy.load(Ordering::Relaxed) == 0
    }

    /// All that is being answered has no end of its own.
    pub(super) fn only_streams(&self) -> bool {
        let streams = self.streams.load(Ordering::Relaxed);
        streams > 0 && streams >= self.busy.load(Ordering::Relaxed)
    }

    /// It was asked to make room.
    pub(super) fn is_leaving(&self) -> bool {
        self.orders.load(Ordering::Relaxed) & EVICT != 0
    }

    /// When it last answered, or was opened; in microseconds since the server's start.
    fn idle_since(&self) -> u64 {
        self.idle_since.load(Ordering::Relaxed)
    }

    /// How soon it is to make room for another, the least first; None while something of it is being worked on.
    /// Who never asked for anything goes before who may ask again, and both before a request that is slow to come in.
    pub(super) fn dispensable(&self) -> Option<(u8, u64)> {
        if !self.is_idle() {
            let since = self.reading_since.load(Ordering::Relaxed);
            return self.only_reads().then_some((2, since));
        }
        let asked = self.asked.load(Ordering::Relaxed);
        Some((u8::from(asked), self.idle_since()))
    }

    /// Nothing of it has come in whole.
    fn only_reads(&self) -> bool {
        self.reading.load(Ordering::Relaxed) >= self.busy.load(Ordering::Relaxed)
    }

    pub(super) fn drain(&self) {
        self.order(DRAIN);
    }

    /// Asks the connection to end if it can still be done without by then.
    pub(super) fn evict(&self) {
        self.order(EVICT);
    }

    pub(super) fn force(&self) {
        self.order(FORCE);
    }

    fn order(&self, order: u8) {
        self.orders.fetch_or(order, Ordering::AcqRel);
        self.task.wake();
    }

    /// The next order; for the connection's own task alone.
    pub(super) async fn next_order(&self) -> Order {
        poll_fn(|cx| {
            self.task.register(cx.waker());
            let orders = match self.orders.load(Ordering::Acquire) {
                0 => 0,
                _ => self.orders.swap(0, Ordering::AcqRel),
            };
            let evicted = orders & EVICT != 0 && self.dispensable().is_some();
            if orders & FORCE != 0 || evicted {
                Poll::Ready(Order::Close)
            } else if orders & DRAIN != 0 {
                Poll::Ready(Order::Drain)
            } else {
                Poll::Pending
            }
        })
        .await
    }

    /// How a connection stands that may have been silent for `deadline`.
    pub(super) fn patience(&self, deadline: Duration) -> Patience {
        let now = timer::now();
        if !self.is_idle() {
            return Patience::Until(now + deadline);
        }
        let until = self.epoch + Duration::from_micros(self.idle_since()) + deadline;
        if until > now {
            Patience::Until(until)
        } else if self.asked.load(Ordering::Relaxed) {
            Patience::Over
        } else {
            Patience::Never
        }
    }

    /// So many bytes came in; false where too many have that belong to no request.
    pub(super) fn read(&self, bytes: usize) -> bool {
        self.unread.store(true, Ordering::Relaxed);
        if self.first_byte.load(Ordering::Relaxed) == 0 {
            self.first_byte
                .store(self.micros().max(1), Ordering::Relaxed);
        }
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let before = self.chatter.fetch_add(bytes, Ordering::Relaxed);
        before.saturating_add(bytes) <= MAX_CHATTER
    }

    /// What came in was good for something.
    pub(super) fn made_progress(&self) {
        self.chatter.store(0, Ordering::Relaxed);
    }

    /// A request's body begins to come in.
    pub(super) fn body_began(&self) {
        if self.reading.fetch_add(1, Ordering::Relaxed) == 0 {
            self.reading_since.store(self.micros(), Ordering::Relaxed);
        }
    }

    /// It is here, or nobody waits for it any more.
    pub(super) fn body_over(&self) {
        self.reading.fetch_sub(1, Ordering::Relaxed);
    }

    /// When the request began that HTTP/1 has just read the head of.
    pub(super) fn request_began(&self) -> Instant {
        match self.first_byte.swap(TAKEN, Ordering::Relaxed) {
            0 | TAKEN => timer::now(),
            micros => self.epoch + Duration::from_micros(micros),
        }
    }

    /// A body belongs to the request, whether or not its bytes are here already.
    pub(super) fn expects_body(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    /// The request was read to its end.
    pub(super) fn all_read(&self) {
        self.unread.store(false, Ordering::Relaxed);
    }

    pub(super) fn has_unread(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }

    pub(super) fn wrote(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(0);
        self.written.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes written so far.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Keeps a receipt until the writer has flushed.
    pub(super) fn await_flush(&self, receipt: Receipt) {
        self.receipts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(receipt);
        self.awaiting_flush.store(true, Ordering::Release);
    }

    /// Everything written so far was flushed.
    pub(super) fn flushed(&self) {
        let awaited = self.awaiting_flush.load(Ordering::Acquire);
        if awaited && self.awaiting_flush.swap(false, Ordering::AcqRel) {
            self.take_receipts().into_iter().for_each(Receipt::flushed);
        }
    }

    /// The socket is gone: what was not flushed never will be.
    pub(super) fn closed(&self) {
        drop(self.take_receipts());
    }

    fn take_receipts(&self) -> Vec<Receipt> {
        let mut receipts = self.receipts.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *receipts)
    }

    /// Keeps what a handler left of the request's body, unless it was answered before.
    pub(super) fn leave(&self, leftover: Leftover) {
        if !self.is_idle() {
            *self.leftover.lock().unwrap_or_else(PoisonError::into_inner) = Some(leftover);
        }
    }

    pub(super) fn take_leftover(&self) -> Option<Leftover> {
        if !self.has_unread() {
            return None;
        }
        self.leftover
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn micros(&self) -> u64 {
        let since = timer::now().saturating_duration_since(self.epoch);
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }
}

impl Underway {
    pub(super) fn begin(link: &Arc<Link>) -> Self {
        link.busy.fetch_add(1, Ordering::Relaxed);
        link.asked.store(true, Ordering::Relaxed);
        link.made_progress();
        Self {
            link: link.clone(),
            finished: false,
            stream: false,
        }
    }

    /// The handler has answered.
    pub(super) fn finish(mut self) -> Self {
        self.finished = true;
        // It need not be exact, so two of them at once may count as one.
        let abandoned = self.link.abandoned.load(Ordering::Relaxed);
        let one_less = abandoned.saturating_sub(1);
        self.link.abandoned.store(one_less, Ordering::Relaxed);
        self
    }

    /// From now on it is a stream, which ends only when it is told to.
    pub(super) fn streaming(mut self) -> Self {
        self.stream = true;
        self.link.streams.fetch_add(1, Ordering::Relaxed);
        self
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        let link = &self.link;
        if self.stream {
            link.streams.fetch_sub(1, Ordering::Relaxed);
        }
        link.idle_since.store(link.micros(), Ordering::Relaxed);
        link.first_byte.store(0, Ordering::Relaxed);
        link.busy.fetch_sub(1, Ordering::Relaxed);
        let abandoned = !self.finished;
        if abandoned && link.abandoned.fetch_add(1, Ordering::Relaxed) >= MAX_ABANDONED {
            link.force();
        }
    }
}

#[cfg(test)]
mod tests;
