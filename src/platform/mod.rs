//! What the operating system's service manager wants to hear (systemd's `sd_notify(3)`), and how the machine
//! is ([`vitals`]).
//!
//! Every call does nothing where there is no service manager, so callers need not ask.

pub mod vitals;

use std::time::Duration;

use sd_notify::NotifyState;

/// The daemon is up.
pub fn ready() {
    notify(&[NotifyState::Ready]);
}

/// The daemon reads its configuration again (`Type=notify-reload`); [`ready`] says when it is done.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "no monotonic clock for the service manager"),
    }
}

/// The daemon is on its way out.
pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// One line for `systemctl status`.
pub fn status(line: &str) {
    notify(&[NotifyState::Status(line)]);
}

/// The daemon lives.
pub fn watchdog() {
    notify(&[NotifyState::Watchdog]);
}

/// How often the service manager wants to hear [`watchdog`], if it does: half of its limit.
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager can't be told");
    }
}
