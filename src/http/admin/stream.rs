//! `GET /api/v1/stream`: what happens, as server-sent events. A reader that is too slow is told how many
//! it missed; the relay never waits for one. No payload, subject or candidate is in it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::unfold;
use http::{HeaderValue, Response, header};
use http_body_util::StreamBody;
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::http::Reply;
use crate::telemetry::{Happening, Telemetry};

/// Streams at once. Each costs a connection and a copy of what its reader has not taken yet.
const MAX_STREAMS: usize = 32;

/// After so much silence a comment tells reader and proxies that the relay is still there.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The first line, so that a reader knows at once that it is heard; and how long to wait before it comes back.
const OPENING: &str = ": this is what happens from now on\nretry: 2000\n\n";

/// Gives out streams, until the relay stops.
#[derive(Clone)]
pub struct Streams {
    room: Arc<Semaphore>,
    stop: CancellationToken,
}

/// One stream at work.
struct Telling {
    heard: Receiver<Happening>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
    /// The number of the last thing told, those missed counted as well.
    told: u64,
    opened: bool,
    _place: OwnedSemaphorePermit,
}

impl Streams {
    /// Streams that end when `stop` is cancelled.
    pub fn until(stop: CancellationToken) -> Self {
        Self {
            room: Arc::new(Semaphore::new(MAX_STREAMS)),
            stop,
        }
    }

    /// A stream from now on; None while there are as many as may be.
    pub(super) fn open(
        &self,
        telemetry: &Telemetry,
        clock: &Arc<dyn Clock>,
    ) -> Option<Response<Reply>> {
        let place = self.room.clone().try_acquire_owned().ok()?;
        let telling = Telling {
            heard: telemetry.listen(),
            clock: clock.clone(),
            stop: self.stop.clone(),
            told: 0,
            opened: false,
            _place: place,
        };
        let pieces = unfold(telling, |mut telling| async {
            let piece = telling.next().await?;
            Some((Ok::<_, io::Error>(Frame::data(Bytes::from(piece))), telling))
        });
        let mut response = Response::new(Reply::stream(Box::pin(StreamBody::new(pieces))));
        let kind = HeaderValue::from_static("text/event-stream");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        // nginx and its kin would keep the stream back until a buffer is full.
        let unbuffered = HeaderValue::from_static("no");
        response
            .headers_mut()
            .insert("x-accel-buffering", unbuffered);
        Some(response)
    }
}

impl Telling {
    /// The next piece of text; None once the relay stops and all that was heard is told.
    async fn next(&mut self) -> Option<String> {
        if !self.opened {
            self.opened = true;
            return Some(OPENING.to_owned());
        }
        tokio::select! {
            biased;
            heard = self.heard.recv() => match heard {
                Ok(happening) => {
                    let (kind, data) = view(&happening);
                    Some(self.tell(1, kind, &data))
                }
                Err(RecvError::Lagged(missed)) => {
                    Some(self.tell(missed, "missed", &json!({ "missed": missed })))
                }
                Err(RecvError::Closed) => None,
            },
            () = self.stop.cancelled() => None,
            () = self.clock.pause(HEARTBEAT) => Some(": still here\n\n".to_owned()),
        }
    }

    fn tell(&mut self, count: u64, kind: &str, data: &Value) -> String {
        self.told += count;
        // JSON has no line break in it, so it is one line of data.
        format!("id: {}\nevent: {kind}\ndata: {data}\n\n", self.told)
    }
}

/// The kind of a happening, and what is told of it; names are those of the lists.
fn view(happening: &Happening) -> (&'static str, Value) {
    match happening {
        Happening::Event(received) => (
            "event",
            json!({
                "id": received.event,
                "source": &*received.source,
                "type": received.event_type,
                "revision": received.revision,
                "changed": received.changed,
                "received_at": received.at,
                "duplicate": received.duplicate,
                "deliveries": received.deliveries,
            }),
        ),
        Happening::Attempt(attempted) => (
            "attempt",
            json!({
                "delivery_id": attempted.delivery,
                "event_id": attempted.event,
                "destination": &*attempted.destination,
                "attempt": attempted.attempt,
                "at": attempted.at,
                "duration_ms": attempted.duration_ms,
                "status": attempted.status,
                "verdict": attempted.verdict,
                "reason": attempted.reason,
                "state": attempted.state,
                "due_at": attempted.due_at,
            }),
        ),
        Happening::Delivery {
            delivery,
            destination,
            state,
        } => (
            "delivery",
            json!({
                "id": delivery,
                "event_id": delivery.event,
                "destination": &**destination,
                "state": state,
            }),
        ),
        Happening::Lane {
            at,
            destination,
            state,
            reason,
        } => (
            "lane",
            json!({ "at": at, "destination": &**destination, "state": state, "reason": reason }),
        ),
        Happening::Source {
            at,
            source,
            state,
            reason,
        } => (
            "source",
            json!({ "at": at, "source": &**source, "state": state, "reason": reason }),
        ),
    }
}
