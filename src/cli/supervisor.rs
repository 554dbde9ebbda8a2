//! Tells systemd how the relay stands, where it is started as `Type=notify`. Anywhere else it does nothing.

use sd_notify::NotifyState;

/// The doors are open, and the configuration that was asked for is in force or refused.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The configuration is being read again.
pub(super) fn reloading() {
    // systemd takes the message only with the time at which it was sent.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "systemd could not be told of the reload"),
    }
}

/// The doors are closing.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd could not be told how the relay stands");
    }
}
