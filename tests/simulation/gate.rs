//! Where every call that leaves the relay waits until the seed lets it go on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use mojito_relay::clock::{Clock as _, ManualClock};
use mojito_relay::model::DeliveryId;
use mojito_relay::store::StoreError;
use mojito_relay::transport::{Answer, Failure, FailureKind, Outgoing, Transport};
use tokio::sync::{Notify, oneshot};

use crate::model::Model;
use crate::requests::Said;

/// What becomes of a call to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Done,
    /// It fails before it reaches the store.
    Refused,
    /// It is carried out, and the answer is lost.
    Lost,
    /// It is carried out, and the relay is no more.
    Last,
}

/// What a receiver does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A status, and Retry-After in seconds.
    Status(u16, Option<u32>),
    Failure(FailureKind),
}

/// A call that waits.
pub enum Call {
    Store {
        what: String,
        tell: oneshot::Sender<Fate>,
    },
    Request {
        host: String,
        delivery: DeliveryId,
        tell: oneshot::Sender<Reply>,
    },
}

/// The gate, and the model that sees what passes.
pub struct Gate {
    pub clock: Arc<ManualClock>,
    calls: Mutex<Vec<Call>>,
    model: Mutex<Model>,
    /// A call to the store was carried out.
    pub over: Notify,
    /// A reload reads files on another thread: nothing else happens before it has.
    pub reading: AtomicBool,
}

impl Gate {
    pub fn new(clock: Arc<ManualClock>) -> Self {
        Self {
            clock,
            calls: Mutex::default(),
            model: Mutex::default(),
            over: Notify::new(),
            reading: AtomicBool::new(false),
        }
    }

    pub fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It heard of something that cannot be.
    pub fn is_broken(&self) -> bool {
        self.model.is_poisoned()
    }

    pub fn calls(&self) -> MutexGuard<'_, Vec<Call>> {
        self.calls.lock().expect("nothing panics in here")
    }

    /// The relay is no more.
    pub fn crashed(&self) {
        self.calls().clear();
        self.model().crashed();
        self.reading.store(false, Ordering::Relaxed);
    }

    /// Carries a call to the store out, or not, as the seed wants it.
    pub async fn store<T>(
        &self,
        what: String,
        run: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let (tell, told) = oneshot::channel();
        self.calls().push(Call::Store { what, tell });
        let fate = told.await.unwrap_or(Fate::Refused);
        let failed = || Err(StoreError::Unavailable("the disk is full".to_owned()));
        if fate == Fate::Refused {
            return failed();
        }
        let over = Over(&self.over);
        let outcome = run.await;
        drop(over);
        match fate {
            Fate::Lost => failed(),
            Fate::Last => std::future::pending().await,
            Fate::Done | Fate::Refused => outcome,
        }
    }
}

/// Tells that a call is over, however it ended.
struct Over<'a>(&'a Notify);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Reply {
    /// What it means to the model.
    pub fn said(self) -> Said {
        match self {
            Self::Status(200..=299, _) => Said::Taken,
            Self::Status(429, _) | Self::Status(503, Some(_)) => Said::Hold,
            Self::Status(401 | 403 | 410, _) => Said::Blocked,
            Self::Status(400..=499, _) => Said::Rejected,
            Self::Status(..) | Self::Failure(_) => Said::Failed,
        }
    }

    fn answer(self) -> Result<Answer, Failure> {
        let (status, after) = match self {
            Self::Status(status, after) => (status, after),
            Self::Failure(kind) => {
                let message = format!("{kind:?}");
                return Err(Failure { kind, message });
            }
        };
        let mut headers = HeaderMap::new();
        headers.extend(after.map(|seconds| (http::header::RETRY_AFTER, seconds.into())));
        Ok(Answer {
            status: StatusCode::from_u16(status).expect("a status"),
            headers,
            body: Bytes::new(),
            complete: true,
        })
    }
}

#[async_trait::async_trait]
impl Transport for Gate {
    async fn send(&self, request: Outgoing) -> Result<Answer, Failure> {
        let host = request.url.host_str().unwrap_or_default().to_owned();
        let id = request
            .headers
            .get("webhook-id")
            .and_then(|id| id.to_str().ok());
        let delivery = id.and_then(|id| id.parse().ok()).expect("a delivery's id");
        let at = self.clock.monotonic();
        self.model().arrives(delivery, (&host, &request.body), at);
        let (tell, told) = oneshot::channel();
        self.calls().push(Call::Request {
            host,
            delivery,
            tell,
        });
        told.await.expect("the gate stays").answer()
    }

    fn reload(&self) {
        let mut model = self.model();
        model.rules = model.next_rules;
    }
}
