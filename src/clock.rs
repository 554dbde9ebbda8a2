//! Time as a thing that is handed in: what it is now, and waiting until it is later.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::{Notify, oneshot};

/// Tells the time and waits for it.
#[async_trait]
pub trait Clock: Send + Sync {
    /// The time of day, in whole milliseconds. It may jump.
    fn now(&self) -> Timestamp;

    /// Time since some fixed moment. It never goes back.
    fn monotonic(&self) -> Duration;

    /// Returns once the time of day is `at` or later.
    async fn sleep_until(&self, at: Timestamp);

    /// The same for periodic work that nobody waits for: no reason for a test to move its clock on.
    async fn idle_until(&self, at: Timestamp) {
        self.sleep_until(at).await;
    }
}

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

/// A clock that stands still until a test moves it.
#[derive(Debug)]
pub struct ManualClock {
    inner: Mutex<Manual>,
    slept: Notify,
    idled: Notify,
}

#[derive(Debug)]
struct Sleeper {
    wake: oneshot::Sender<()>,
    /// It does not count as something to move on for.
    idle: bool,
}

#[derive(Debug)]
struct Manual {
    now: Timestamp,
    monotonic: Duration,
    sleepers: BTreeMap<(Timestamp, u64), Sleeper>,
    serial: u64,
}

impl Default for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that everyone else is handed"
    )]
    fn default() -> Self {
        Self {
            started: Instant::now(),
        }
    }
}

#[async_trait]
impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that everyone else is handed"
    )]
    fn now(&self) -> Timestamp {
        let since_1970 = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let millis = i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that everyone else is handed"
    )]
    async fn sleep_until(&self, at: Timestamp) {
        // In slices, so that a step of the time of day is noticed within a minute.
        loop {
            let Ok(left) = Duration::try_from(at.duration_since(self.now())) else {
                return;
            };
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(Duration::from_mins(1))).await;
        }
    }
}

impl ManualClock {
    /// A clock that stands at `start`.
    pub fn new(start: Timestamp) -> Self {
        Self {
            inner: Mutex::new(Manual {
                now: start,
                monotonic: Duration::ZERO,
                sleepers: BTreeMap::new(),
                serial: 0,
            }),
            slept: Notify::new(),
            idled: Notify::new(),
        }
    }

    /// Moves time on and wakes whoever waited for it.
    pub fn advance(&self, by: Duration) {
        let mut inner = self
            .inner
            .lock()
            .expect("no sleeper panics while it holds the clock");
        inner.now += by;
        inner.monotonic += by;
        let later = (inner.now, u64::MAX);
        let still_asleep = inner.sleepers.split_off(&later);
        for (_, sleeper) in std::mem::replace(&mut inner.sleepers, still_asleep) {
            let _gone_is_fine = sleeper.wake.send(());
        }
    }

    /// Puts the time of day back, as a correction of the machine's clock does. Whoever waits for a time waits longer.
    pub fn put_back(&self, by: Duration) {
        let mut inner = self
            .inner
            .lock()
            .expect("no sleeper panics while it holds the clock");
        inner.now -= by;
    }

    /// Waits until somebody falls asleep, and answers when the next sleeper wants to be woken.
    pub async fn sleeper(&self) -> Timestamp {
        loop {
            self.slept.notified().await;
            if let Some(at) = self.next_wake() {
                return at;
            }
        }
    }

    /// When the next sleeper wants to be woken.
    pub fn next_wake(&self) -> Option<Timestamp> {
        let mut inner = self
            .inner
            .lock()
            .expect("no sleeper panics while it holds the clock");
        inner
            .sleepers
            .retain(|_, sleeper| !sleeper.wake.is_closed());
        let mut hurried = inner.sleepers.iter().filter(|(_, sleeper)| !sleeper.idle);
        hurried.next().map(|((at, _), _)| *at)
    }

    /// Waits until somebody idles since this was last asked.
    pub async fn idler(&self) {
        self.idled.notified().await;
    }

    async fn wait(&self, at: Timestamp, idle: bool) {
        let woken = {
            let mut inner = self
                .inner
                .lock()
                .expect("no sleeper panics while it holds the clock");
            if inner.now >= at {
                return;
            }
            let (wake, woken) = oneshot::channel();
            inner.serial += 1;
            let serial = inner.serial;
            inner.sleepers.insert((at, serial), Sleeper { wake, idle });
            woken
        };
        let fell_asleep = if idle { &self.idled } else { &self.slept };
        fell_asleep.notify_one();
        if woken.await.is_err() {
            // The clock is gone: time will not come.
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.inner
            .lock()
            .expect("no sleeper panics while it holds the clock")
            .now
    }

    fn monotonic(&self) -> Duration {
        self.inner
            .lock()
            .expect("no sleeper panics while it holds the clock")
            .monotonic
    }

    async fn sleep_until(&self, at: Timestamp) {
        self.wait(at, false).await;
    }

    async fn idle_until(&self, at: Timestamp) {
        self.wait(at, true).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sleeper_wakes_when_its_time_has_come_and_not_before() {
        let clock = std::sync::Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
        let until = clock.now() + Duration::from_secs(10);
        let mut sleep = clock.sleep_until(until);
        assert!(futures_util::poll!(&mut sleep).is_pending());
        assert_eq!(clock.next_wake(), Some(until));
        clock.advance(Duration::from_millis(9_999));
        assert!(futures_util::poll!(&mut sleep).is_pending());
        clock.advance(Duration::from_millis(1));
        sleep.await;
        assert_eq!(clock.next_wake(), None);
    }
}
