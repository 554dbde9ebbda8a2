//! What is answered: a body in memory, or one that streams; and whether it reached the socket.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use hyper::body::{Body, Frame, SizeHint};

use super::link::{Link, Underway};

/// A streaming body, such as server-sent events.
pub type StreamBody = Pin<Box<dyn Body<Data = Bytes, Error = io::Error> + Send>>;

/// The body of an answer.
///
/// One made by [`Reply::with_receipt`] tells when it was lost. It counts as handed over once its last
/// byte was written to the socket and the socket was flushed (with TLS: once the records were). What
/// the kernel holds by then may still be lost on its way, and nobody but the peer could say so.
/// Everything before that is noticed: the peer closed or reset the connection or the stream, writing
/// stalled or failed, the connection was dropped by a limit or by a forced shutdown. A peer that closes
/// its sending side has hung up, too. Where the peer goes while the handler still runs there is no
/// reply yet to be lost: the handler's future is dropped instead, and that is for the handler to notice.
pub struct Reply(Kind);

enum Kind {
    Full {
        bytes: Bytes,
        receipt: Option<Receipt>,
    },
    Stream {
        body: StreamBody,
        /// Keeps the connection from looking idle.
        underway: Option<Underway>,
    },
}

/// A piece of an answer on its way to the socket.
pub struct Chunk {
    bytes: Bytes,
    receipt: Option<Receipt>,
}

/// Calls `on_lost` when it is dropped before the bytes that it stands for were flushed.
pub(super) struct Receipt {
    on_lost: Option<Box<dyn FnOnce() + Send>>,
    link: Option<Arc<Link>>,
}

impl Reply {
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self(Kind::Full {
            bytes: bytes.into(),
            receipt: None,
        })
    }

    pub fn empty() -> Self {
        Self::new(Bytes::new())
    }

    /// A reply that calls `on_lost`, once, if it does not reach the socket. It is called from within
    /// the connection's task and must neither block nor panic. The bytes must not be empty, and
    /// the request no HEAD: an answer without a body cannot be followed and counts as lost.
    pub fn with_receipt(bytes: impl Into<Bytes>, on_lost: Box<dyn FnOnce() + Send>) -> Self {
        Self(Kind::Full {
            bytes: bytes.into(),
            receipt: Some(Receipt {
                on_lost: Some(on_lost),
                link: None,
            }),
        })
    }

    /// A reply that is made as it is sent. The connection counts as busy until it ends.
    pub fn stream(body: StreamBody) -> Self {
        Self(Kind::Stream {
            body,
            underway: None,
        })
    }

    /// Ties the reply to the connection that it goes out on.
    pub(super) fn attach(&mut self, link: &Arc<Link>, finished: Underway) {
        match &mut self.0 {
            Kind::Full {
                receipt: Some(receipt),
                ..
            } => receipt.link = Some(link.clone()),
            Kind::Full { receipt: None, .. } => {}
            Kind::Stream { underway, .. } => *underway = Some(finished.streaming()),
        }
    }

    /// The body's length in bytes, where it is known.
    pub(super) fn length(&self) -> Option<u64> {
        self.size_hint().exact()
    }
}

impl Body for Reply {
    type Data = Chunk;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Chunk>, io::Error>>> {
        match &mut self.get_mut().0 {
            Kind::Full { bytes, .. } if bytes.is_empty() => Poll::Ready(None),
            Kind::Full { bytes, receipt } => Poll::Ready(Some(Ok(Frame::data(Chunk {
                bytes: std::mem::take(bytes),
                receipt: receipt.take(),
            })))),
            Kind::Stream { body, .. } => body.as_mut().poll_frame(cx).map(|frame| {
                frame.map(|frame| {
                    frame.map(|frame| {
                        frame.map_data(|bytes| Chunk {
                            bytes,
                            receipt: None,
                        })
                    })
                })
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Full { bytes, .. } => bytes.is_empty(),
            Kind::Stream { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Full { bytes, .. } => {
                SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX))
            }
            Kind::Stream { body, .. } => body.size_hint(),
        }
    }
}

impl Buf for Chunk {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        if self.bytes.is_empty()
            && let Some(receipt) = self.receipt.take()
        {
            receipt.taken();
        }
    }
}

impl Receipt {
    /// The bytes were taken by the writer: they reach the socket with its next flush, or never.
    fn taken(mut self) {
        if let Some(link) = self.link.take() {
            link.await_flush(self);
        }
    }

    /// The bytes were flushed.
    pub(super) fn flushed(mut self) {
        self.on_lost = None;
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if let Some(on_lost) = self.on_lost.take() {
            on_lost();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn counted() -> (Reply, Arc<AtomicU32>) {
        let lost = Arc::new(AtomicU32::new(0));
        let counter = lost.clone();
        let reply = Reply::with_receipt(
            "abc",
            Box::new(move || {
                counter.fetch_add(1, Ordering::Relaxed);
            }),
        );
        (reply, lost)
    }

    fn chunk_of(reply: Reply) -> Chunk {
        let mut reply = reply;
        let mut cx = Context::from_waker(futures_util::task::noop_waker_ref());
        let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut reply).poll_frame(&mut cx) else {
            panic!("a reply in memory is ready at once");
        };
        frame.into_data().ok().unwrap()
    }

    #[test]
    fn a_reply_dropped_before_it_was_taken_is_lost() {
        let (reply, lost) = counted();
        drop(reply);
        assert_eq!(lost.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_reply_written_in_part_is_lost() {
        let (reply, lost) = counted();
        let mut chunk = chunk_of(reply);
        chunk.advance(2);
        drop(chunk);
        assert_eq!(lost.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_reply_is_safe_only_once_it_was_flushed() {
        let link = Arc::new(Link::new(super::super::timer::now()));
        for (flush, expected) in [(true, 0), (false, 1)] {
            let (mut reply, lost) = counted();
            reply.attach(&link, Underway::begin(&link));
            let mut chunk = chunk_of(reply);
            chunk.advance(3);
            drop(chunk);
            assert_eq!(lost.load(Ordering::Relaxed), 0);
            if flush {
                link.flushed();
            }
            link.closed();
            assert_eq!(lost.load(Ordering::Relaxed), expected);
        }
    }
}
