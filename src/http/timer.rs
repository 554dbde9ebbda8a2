//! Time on sockets. A peer's silence is measured in real time, whatever clock the rest of the relay
//! is handed; this is the one place in the doors that reads it.

use std::future::Future;

pub(super) use tokio::time::{Instant, Sleep};

#[expect(
    clippy::disallowed_methods,
    reason = "deadlines of sockets run in real time"
)]
pub(super) fn now() -> Instant {
    Instant::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "deadlines of sockets run in real time"
)]
pub(super) fn sleep_until(at: Instant) -> Sleep {
    tokio::time::sleep_until(at)
}

/// What `future` gives, or None once it is `at`.
pub(super) async fn within<F: Future>(at: Instant, future: F) -> Option<F::Output> {
    tokio::time::timeout_at(at, future).await.ok()
}
