//! The bytes of one connection, plain or TLS: notices what is flushed, gives up on a peer that takes
//! nothing, and at the end reads on for a while, so that a peer still sending can read the answer.

use std::future::Future;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use super::link::Link;
use super::timer::{self, Sleep};

/// A TCP stream, or TLS over one.
pub(super) type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// At the end of a connection, bytes still coming in are thrown away up to this number. Closing
/// a socket with unread bytes makes the kernel send a reset, which takes the answer away from the peer.
const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// Thrown away in one go.
const LINGER_STEP: usize = 16 * 1024;

/// Bytes read in one turn of a connection's task. A peer that sends faster than we read would else hold a thread, with every
/// connection that waits for it, for as long as the runtime lets a task go on.
const TURN_BYTES: usize = 32 * 1024;

/// A stream that tells its link what happens on it.
pub(super) struct Wire {
    stream: Stream,
    link: Arc<Link>,
    /// How long the peer may take no bytes, and how long the end may take.
    deadline: Duration,
    saw_end: bool,
    /// Bytes read since the task last gave way.
    turn: usize,
    stalled: Option<Pin<Box<Sleep>>>,
    closing: Closing,
}

enum Closing {
    Open,
    Lingering { left: usize, until: Pin<Box<Sleep>> },
    Closed,
}

impl Wire {
    pub(super) fn new(stream: Stream, link: Arc<Link>, deadline: Duration) -> Self {
        Self {
            stream,
            link,
            deadline,
            saw_end: false,
            turn: 0,
            stalled: None,
            closing: Closing::Open,
        }
    }

    /// Passes on the outcome of writing, or an error once the peer has taken nothing for too long.
    fn unless_stalled<T>(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        let until = self
            .stalled
            .get_or_insert_with(|| Box::pin(timer::sleep_until(timer::now() + self.deadline)));
        ready!(until.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn wrote(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<usize>>) -> WriteOutcome {
        if let Poll::Ready(Ok(bytes)) = &outcome {
            self.link.wrote(*bytes);
        }
        self.unless_stalled(cx, outcome)
    }

    /// Reads and forgets until the peer is done, or its bounds are reached.
    fn linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Closing::Lingering { left, until } = &mut self.closing else {
            return Poll::Ready(());
        };
        if until.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        while *left > 0 {
            let mut room = [MaybeUninit::uninit(); LINGER_STEP];
            let mut buffer = ReadBuf::uninit(&mut room);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {
                    *left = left.saturating_sub(buffer.filled().len());
                }
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(())
    }
}

type WriteOutcome = Poll<io::Result<usize>>;

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.turn >= TURN_BYTES {
            this.turn = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if outcome.is_pending() {
            this.turn = 0;
        }
        ready!(outcome)?;
        let more = buffer.filled().len() - before;
        this.turn += more;
        if more == 0 {
            this.saw_end = true;
        } else if !this.link.read(more) {
            return Poll::Ready(Err(io::Error::other("too much that is no request")));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> WriteOutcome {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.wrote(cx, outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> WriteOutcome {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write_vectored(cx, pieces);
        this.wrote(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_flush(cx);
        if let Poll::Ready(Ok(())) = &outcome {
            this.link.flushed();
        }
        this.unless_stalled(cx, outcome)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Closing::Open = this.closing {
            let outcome = Pin::new(&mut this.stream).poll_shutdown(cx);
            ready!(this.unless_stalled(cx, outcome))?;
            let needless = this.saw_end || !this.link.has_unread();
            this.closing = if needless {
                Closing::Closed
            } else {
                Closing::Lingering {
                    left: LINGER_BYTES,
                    until: Box::pin(timer::sleep_until(timer::now() + this.deadline)),
                }
            };
        }
        ready!(this.linger(cx));
        this.closing = Closing::Closed;
        Poll::Ready(Ok(()))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.link.closed();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::task::noop_waker_ref;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    /// A wire that `bytes` are coming in on.
    async fn receiving(bytes: usize) -> (Wire, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut peer = TcpStream::connect(address).await.unwrap();
        peer.write_all(&vec![b'x'; bytes]).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        stream.readable().await.unwrap();
        let link = Arc::new(Link::new(timer::now()));
        let wire = Wire::new(Either::Left(stream), link, Duration::from_secs(1));
        (wire, peer)
    }

    #[tokio::test]
    async fn a_peer_that_sends_without_end_does_not_hold_the_thread() {
        let (mut wire, _peer) = receiving(4 * TURN_BYTES).await;
        let mut cx = Context::from_waker(noop_waker_ref());
        let mut turns = Vec::new();
        for _ in 0..3 {
            let mut turn = 0;
            loop {
                let mut room = [0; 1024];
                let mut buffer = ReadBuf::new(&mut room);
                match Pin::new(&mut wire).poll_read(&mut cx, &mut buffer) {
                    Poll::Ready(outcome) => outcome.unwrap(),
                    Poll::Pending => break,
                }
                turn += buffer.filled().len();
            }
            turns.push(turn);
        }
        assert_eq!(turns, [TURN_BYTES; 3]);
    }
}
