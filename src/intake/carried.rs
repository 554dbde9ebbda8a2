//! Taking a body, for its sender to wait for. It goes on alone when the sender goes away, and costs no task of its
//! own, nor the way to one and back, as long as nobody does.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::{Intake, NotTaken, Receipt};
use crate::store::StoreError;

type Taken = Result<Receipt, NotTaken>;
type Work = Pin<Box<dyn Future<Output = Taken> + Send>>;

/// Dropped before its end, it becomes a task, and the event is marked unconfirmed.
pub(super) struct Taking {
    /// None once it is done, and while it is polled: what panicked does not go on.
    work: Option<Work>,
    intake: Arc<Intake>,
    body: Bytes,
}

impl Taking {
    pub(super) fn new(work: Work, intake: Arc<Intake>, body: Bytes) -> Self {
        Self {
            work: Some(work),
            intake,
            body,
        }
    }
}

impl Future for Taking {
    type Output = Taken;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Taken> {
        let mut work = self.work.take().expect("it is not polled after its end");
        // A fault of our own is answered, and does not take the connection's other requests along.
        let polled = std::panic::AssertUnwindSafe(|| work.as_mut().poll(cx));
        let polled = std::panic::catch_unwind(polled)
            .unwrap_or_else(|_| Poll::Ready(Err(StoreError::Closed.into())));
        if polled.is_pending() {
            self.work = Some(work);
        }
        polled
    }
}

impl Drop for Taking {
    fn drop(&mut self) {
        let Some(work) = self.work.take() else {
            return;
        };
        let (intake, body) = (self.intake.clone(), self.body.clone());
        self.intake.parts.tasks.spawn(async move {
            if let Ok(receipt) = work.await {
                intake.mark_unconfirmed(&receipt, &body).await;
            }
        });
    }
}
