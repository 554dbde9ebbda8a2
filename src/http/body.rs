//! Reading a request's body within limits of size, time and memory. It does not look into the body.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::link::Link;
use super::timer::{self, Instant};

/// Room made at once for a body that says how long it is; beyond it, room grows with what comes.
const FIRST_ROOM: usize = 64 * 1024;

/// An unread body of at most this size is read away before an early answer, so that the connection
/// can be used again.
const SMALL: u64 = 64 * 1024;

/// How long an early answer waits for the rest of a small body.
const SMALL_WAIT: Duration = Duration::from_millis(500);

/// A request's body on its way in.
///
/// What a handler leaves unread is seen to by the server: on HTTP/1 a small rest is read away, a larger
/// one makes the answer say `connection: close`; on HTTP/2 the stream alone is reset after the answer.
pub struct Inbound {
    source: Source,
    /// When the first byte of the request came in (HTTP/1), or its headers were complete (HTTP/2).
    started: Instant,
    /// The sender waits for `100 Continue`.
    expects: bool,
    touched: bool,
    ended: bool,
    /// None for a body that is already there.
    link: Option<Arc<Link>>,
    version: Version,
}

enum Source {
    Wire(Incoming),
    Memory(Full<Bytes>),
    Gone,
}

/// What a handler did not read of an HTTP/1 body.
pub(super) struct Leftover {
    rest: Incoming,
    /// Nobody has read from it, and the sender sends it without being asked.
    fresh: bool,
}

/// How much of a body is taken, and how long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimits {
    /// In bytes.
    pub max_body: u64,
    /// For headers and body together.
    pub deadline: Duration,
}

/// The bytes of all bodies that are held at once.
#[derive(Debug)]
pub struct BodyBudget {
    max: u64,
    used: AtomicU64,
}

/// A share of the budget; given back when it is dropped.
#[derive(Debug)]
pub struct BodyPermit {
    budget: Arc<BodyBudget>,
    bytes: u64,
}

/// A body that was read to its end.
#[derive(Debug)]
pub struct TakenBody {
    pub bytes: Bytes,
    /// To be kept for as long as the bytes are.
    pub permit: BodyPermit,
}

/// Why a body was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("the body is larger than {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("the body did not arrive in time")]
    Slow,
    #[error("too many bodies are held at once")]
    OverBudget,
    /// Malformed on the wire, or cut off.
    #[error("the body broke off")]
    Broken,
}

/// Reads a body to its end.
pub async fn read_body(
    mut body: Inbound,
    limits: BodyLimits,
    budget: &Arc<BodyBudget>,
) -> Result<TakenBody, BodyError> {
    let too_large = Err(BodyError::TooLarge {
        limit: limits.max_body,
    });
    if body.declared().is_some_and(|bytes| bytes > limits.max_body) {
        return too_large;
    }
    let until = body.started + limits.deadline;
    let read = collect(&mut body, limits.max_body, BodyPermit::new(budget));
    timer::within(until, read)
        .await
        .unwrap_or(Err(BodyError::Slow))
}

async fn collect(
    body: &mut Inbound,
    max_body: u64,
    mut permit: BodyPermit,
) -> Result<TakenBody, BodyError> {
    let declared = body.declared();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| BodyError::Broken)?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if permit.bytes.saturating_add(length(&data)) > max_body {
            return Err(BodyError::TooLarge { limit: max_body });
        }
        permit.grow(length(&data))?;
        make_room(&mut bytes, data.len(), declared.unwrap_or(max_body));
        bytes.extend_from_slice(&data);
    }
    Ok(TakenBody {
        bytes: Bytes::from(bytes),
        permit,
    })
}

/// Room for `more` bytes: doubling, but never beyond what is to be expected. The bytes are copied
/// on purpose: a slice would keep the connection's whole read buffer alive with the payload.
fn make_room(bytes: &mut Vec<u8>, more: usize, expected: u64) {
    let needed = bytes.len() + more;
    if needed <= bytes.capacity() {
        return;
    }
    let expected = usize::try_from(expected).unwrap_or(usize::MAX);
    let generous = match bytes.capacity() {
        0 => FIRST_ROOM,
        capacity => capacity.saturating_mul(2),
    };
    let target = generous.min(expected).max(needed);
    bytes.reserve_exact(target - bytes.len());
}

fn length(data: &Bytes) -> u64 {
    u64::try_from(data.len()).unwrap_or(u64::MAX)
}

impl Inbound {
    /// A body that is already there, for tests of handlers.
    pub fn buffered(bytes: impl Into<Bytes>) -> Self {
        Self {
            source: Source::Memory(Full::new(bytes.into())),
            started: timer::now(),
            expects: false,
            touched: false,
            ended: false,
            link: None,
            version: Version::HTTP_11,
        }
    }

    /// The body of an HTTP/1 request, of which the link gets back what is not read.
    pub(super) fn http1(request: Request<Incoming>, link: &Arc<Link>) -> Request<Self> {
        let version = request.version();
        let expects = request.headers().contains_key(http::header::EXPECT);
        let started = link.request_began();
        request.map(|incoming| {
            let empty = incoming.is_end_stream();
            if empty {
                link.all_read();
            } else {
                link.expects_body();
                link.body_began();
            }
            Self {
                source: Source::Wire(incoming),
                started,
                expects,
                touched: false,
                ended: empty,
                link: Some(link.clone()),
                version,
            }
        })
    }

    /// The body of an HTTP/2 stream.
    pub(super) fn http2(request: Request<Incoming>, link: &Arc<Link>) -> Request<Self> {
        let version = request.version();
        request.map(|incoming| {
            let empty = incoming.is_end_stream();
            if !empty {
                link.body_began();
            }
            Self {
                ended: empty,
                source: Source::Wire(incoming),
                started: timer::now(),
                expects: false,
                touched: false,
                link: Some(link.clone()),
                version,
            }
        })
    }

    /// Bytes still to come, where the sender said so.
    fn declared(&self) -> Option<u64> {
        self.size_hint().exact()
    }

    /// What is not read of it stands before the next request.
    fn is_in_the_way(&self) -> bool {
        self.version < Version::HTTP_2
    }

    fn end(&mut self) {
        self.ended = true;
        if let Some(link) = &self.link {
            link.body_over();
            if self.is_in_the_way() {
                link.all_read();
            }
        }
    }
}

impl Body for Inbound {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        self.touched = true;
        let frame = match &mut self.source {
            Source::Wire(incoming) => Pin::new(incoming).poll_frame(cx),
            Source::Memory(full) => Pin::new(full)
                .poll_frame(cx)
                .map_err(|never: Infallible| match never {}),
            Source::Gone => Poll::Ready(None),
        };
        if let (Poll::Ready(Some(Ok(frame))), Some(link)) = (&frame, &self.link)
            && frame.data_ref().is_some_and(|data| !data.is_empty())
        {
            link.made_progress();
        }
        let at_end = matches!(frame, Poll::Ready(None))
            || matches!((&frame, &self.source), (Poll::Ready(Some(Ok(_))), Source::Wire(rest)) if rest.is_end_stream());
        if at_end {
            self.end();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Wire(incoming) => incoming.size_hint(),
            Source::Memory(full) => full.size_hint(),
            Source::Gone => SizeHint::with_exact(0),
        }
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        let source = std::mem::replace(&mut self.source, Source::Gone);
        let (false, Some(link), Source::Wire(rest)) = (self.ended, &self.link, source) else {
            return;
        };
        link.body_over();
        if self.is_in_the_way() {
            link.leave(Leftover {
                rest,
                fresh: !self.touched && !self.expects,
            });
        }
    }
}

impl Leftover {
    /// Reads a small rest away; false where the connection cannot be used again. What a handler gave
    /// up on, and what the sender sends only when asked to, is not waited for.
    pub(super) async fn read_away(self) -> bool {
        let known = self.rest.size_hint().exact();
        if !self.fresh || known.is_some_and(|bytes| bytes > SMALL) {
            return false;
        }
        let until = timer::now() + SMALL_WAIT;
        timer::within(until, discard(self.rest))
            .await
            .unwrap_or(false)
    }
}

async fn discard(mut rest: Incoming) -> bool {
    let mut total = 0;
    while let Some(frame) = rest.frame().await {
        let Ok(frame) = frame else {
            return false;
        };
        total += frame.data_ref().map_or(0, length);
        if total > SMALL {
            return false;
        }
    }
    true
}

impl BodyBudget {
    /// A budget of `max` bytes.
    pub fn new(max: u64) -> Arc<Self> {
        Arc::new(Self {
            max,
            used: AtomicU64::new(0),
        })
    }

    /// Bytes held now.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}

impl BodyPermit {
    fn new(budget: &Arc<BodyBudget>) -> Self {
        Self {
            budget: budget.clone(),
            bytes: 0,
        }
    }

    /// Takes `more` bytes. They are taken as they come, not as they are announced: announcing is free.
    fn grow(&mut self, more: u64) -> Result<(), BodyError> {
        let taken = self
            .budget
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(more).filter(|&sum| sum <= self.budget.max)
            });
        taken.map_err(|_| BodyError::OverBudget)?;
        self.bytes += more;
        Ok(())
    }
}

impl Drop for BodyPermit {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: BodyLimits = BodyLimits {
        max_body: 10,
        deadline: Duration::from_mins(1),
    };

    #[tokio::test]
    async fn the_budget_is_held_until_the_permit_is_dropped() {
        let budget = BodyBudget::new(15);
        let first = read_body(Inbound::buffered("0123456789"), LIMITS, &budget)
            .await
            .unwrap();
        assert_eq!(first.bytes, "0123456789");
        assert_eq!(budget.used(), 10);
        let second = read_body(Inbound::buffered("012345"), LIMITS, &budget).await;
        assert_eq!(second.unwrap_err(), BodyError::OverBudget);
        assert_eq!(budget.used(), 10, "a refused body holds nothing");
        drop(first);
        assert_eq!(budget.used(), 0);
        assert!(
            read_body(Inbound::buffered("012345"), LIMITS, &budget)
                .await
                .is_ok()
        );
    }

    #[tokio::test]
    async fn a_body_may_be_as_large_as_the_limit_and_no_larger() {
        let budget = BodyBudget::new(1000);
        let body = |bytes: &'static str| read_body(Inbound::buffered(bytes), LIMITS, &budget);
        assert_eq!(body("").await.unwrap().bytes.len(), 0);
        assert_eq!(body("0123456789").await.unwrap().bytes.len(), 10);
        assert_eq!(
            body("0123456789a").await.unwrap_err(),
            BodyError::TooLarge { limit: 10 }
        );
    }

    #[test]
    fn room_doubles_and_ends_where_the_body_does() {
        let mut bytes = Vec::new();
        make_room(&mut bytes, 1200, 1200);
        assert_eq!(bytes.capacity(), 1200);
        let mut bytes = Vec::new();
        let mut grown = 0;
        for _ in 0..1024 {
            let before = bytes.capacity();
            make_room(&mut bytes, 1024, 1024 * 1024);
            bytes.extend_from_slice(&[0; 1024]);
            grown += u32::from(bytes.capacity() != before);
        }
        assert_eq!(bytes.capacity(), 1024 * 1024);
        assert_eq!(grown, 5);
    }
}
