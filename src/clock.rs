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

    /// Returns once so much time has passed, whatever becomes of the time of day.
    async fn pause(&self, length: Duration);

    /// Returns once [`Self::monotonic`] is `at` or later. For periodic work that nobody waits for: no reason for a test to move
    /// its clock on.
    async fn idle_until(&self, at: Duration);

    /// The same from now on.
    async fn idle(&self, length: Duration) {
        self.idle_until(self.monotonic().saturating_add(length))
            .await;
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
    /// Those who wait for a moment of the monotonic time.
    pausing: BTreeMap<(Duration, u64), Sleeper>,
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

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that everyone else is handed"
    )]
    async fn pause(&self, length: Duration) {
        tokio::time::sleep(length).await;
    }

    async fn idle_until(&self, at: Duration) {
        self.pause(at.saturating_sub(self.monotonic())).await;
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
                pausing: BTreeMap::new(),
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
        let (now, monotonic) = (inner.now, inner.monotonic);
        let asleep = inner.sleepers.split_off(&(now, u64::MAX));
        let woken = std::mem::replace(&mut inner.sleepers, asleep);
        let pausing = inner.pausing.split_off(&(monotonic, u64::MAX));
        let rested = std::mem::replace(&mut inner.pausing, pausing);
        for sleeper in woken.into_values().chain(rested.into_values()) {
            let _gone_is_fine = sleeper.wake.send(());
        }
    }

    /// Puts the time of day back, as a correction of the machine's clock does. Whoever waits for a time waits longer;
    /// whoever pauses does not.
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
        inner.pausing.retain(|_, sleeper| !sleeper.wake.is_closed());
        let hurried = |sleeper: &Sleeper| !sleeper.idle;
        let mut sleepers = inner.sleepers.iter();
        let asleep = sleepers.find(|(_, sleeper)| hurried(sleeper));
        let asleep = asleep.map(|((at, _), _)| *at);
        let mut pausing = inner.pausing.iter();
        let pausing = pausing.find(|(_, sleeper)| hurried(sleeper));
        let pausing = pausing.map(|((at, _), _)| inner.now + at.saturating_sub(inner.monotonic));
        asleep.into_iter().chain(pausing).min()
    }

    /// Waits until somebody idles since this was last asked.
    pub async fn idler(&self) {
        self.idled.notified().await;
    }

    /// Enters a sleeper by `enter`, which is given the number that tells it from others, and waits until it is woken;
    /// not where `enter` says that its time has come.
    async fn wait(&self, idle: bool, enter: impl FnOnce(&mut Manual, u64, Sleeper) -> bool) {
        let woken = {
            let mut inner = self
                .inner
                .lock()
                .expect("no sleeper panics while it holds the clock");
            let (wake, woken) = oneshot::channel();
            inner.serial += 1;
            let serial = inner.serial;
            if !enter(&mut inner, serial, Sleeper { wake, idle }) {
                return;
            }
            woken
        };
        let fell_asleep = if idle { &self.idled } else { &self.slept };
        fell_asleep.notify_one();
        if woken.await.is_err() {
            // The clock is gone: time will not come.
            std::future::pending::<()>().await;
        }
    }

    async fn rest_until(&self, at: Duration, idle: bool) {
        let enter = |inner: &mut Manual, serial, sleeper| {
            inner.pausing.insert((at, serial), sleeper);
            at > inner.monotonic
        };
        self.wait(idle, enter).await;
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
        let enter = |inner: &mut Manual, serial, sleeper| {
            inner.sleepers.insert((at, serial), sleeper);
            at > inner.now
        };
        self.wait(false, enter).await;
    }

    async fn pause(&self, length: Duration) {
        self.rest_until(self.monotonic() + length, false).await;
    }

    async fn idle_until(&self, at: Duration) {
        self.rest_until(at, true).await;
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

    #[tokio::test]
    async fn a_pause_is_as_long_as_it_is_whatever_becomes_of_the_time_of_day() {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        let mut pause = clock.pause(Duration::from_secs(10));
        assert!(futures_util::poll!(&mut pause).is_pending());
        clock.put_back(Duration::from_hours(1));
        assert_eq!(
            clock.next_wake(),
            Some(clock.now() + Duration::from_secs(10))
        );
        clock.advance(Duration::from_secs(9));
        assert!(futures_util::poll!(&mut pause).is_pending());
        clock.advance(Duration::from_secs(1));
        pause.await;
        assert_eq!(clock.next_wake(), None);
    }
}
