//! Runs a session on a transport: carries reports in and actions out, keeps the timer, shows the
//! status. Decides nothing, and never waits for a consumer.

use std::sync::Arc;
use std::time::Duration;

use rand_pcg::Pcg64Mcg;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::deliveries::Consumer;
use super::session::{Action, Input, State, Status};
use super::transport::Transport;
use super::{Error, LinkSender};
use crate::base::Clock;

/// How often the status is refreshed while the state does not change.
const STATUS_INTERVAL: Duration = Duration::from_millis(250);

pub(super) struct Driver<T> {
    pub(super) broker: String,
    pub(super) sender: LinkSender,
    pub(super) transport: T,
    pub(super) consumer: Consumer,
    pub(super) status: watch::Sender<Status>,
    pub(super) connects: watch::Sender<u64>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) rng: Pcg64Mcg,
}

impl<T: Transport> Driver<T> {
    /// Ends when the session is closed.
    pub(super) async fn run(mut self) {
        let mut refresh = tokio::time::interval(STATUS_INTERVAL);
        refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let timer = self.sender.session().timer();
            let wait = timer.map_or(Duration::MAX, |due| due.since(self.clock.now()));
            let input = tokio::select! {
                event = self.transport.event() => Input::Transport(event),
                () = self.sender.shared.wake.notified() => Input::Tick,
                () = tokio::time::sleep(wait) => Input::Tick,
                _ = refresh.tick() => {
                    self.show();
                    continue;
                }
            };
            if self.step(input) == State::Closed {
                self.show();
                return;
            }
        }
    }

    fn step(&mut self, input: Input) -> State {
        let (actions, state) = {
            let mut session = self.sender.session();
            let actions = session.handle(input, self.clock.now(), &mut self.rng);
            (actions, session.state())
        };
        let mut undelivered = 0_u32;
        for action in actions {
            match action {
                Action::Connect { clean_start } => self.transport.connect(clean_start),
                Action::Subscribe => self.transport.subscribe(),
                Action::Publish(envelope) => self.transport.publish(envelope),
                Action::Disconnect => self.transport.disconnect(),
                Action::Deliver(delivery, qos) => {
                    undelivered += u32::from(!self.consumer.offer(delivery, qos))
                }
            }
        }
        for _ in 0..undelivered {
            self.sender.session().count_undelivered();
        }
        if self.status.borrow().state != state {
            self.show();
        }
        state
    }

    fn show(&self) {
        let status = self.sender.session().status();
        let shown = self.status.send_replace(status.clone());
        if shown.state != status.state {
            self.log(&status);
        }
        self.connects.send_if_modified(|connects| {
            let changed = *connects != status.counters.connects;
            *connects = status.counters.connects;
            changed
        });
    }

    fn log(&self, status: &Status) {
        let broker = &self.broker;
        match status.state {
            State::Connecting => tracing::debug!(broker, "connecting"),
            State::Connected => tracing::info!(broker, connects = status.counters.connects, "connected"),
            State::Waiting => {
                let word = status.last_error.as_ref().map_or("", Error::word);
                let error = status.last_error.as_ref().map(tracing::field::display);
                tracing::warn!(broker, word, error, "not connected, trying again");
            }
            State::Closed => tracing::info!(broker, "closed"),
        }
    }
}
