//! What holds for one connection, and whether it still lives.

use std::time::Duration;

use super::alias::Aliases;
use super::flight::Flights;
use crate::base::Time;
use crate::link::transport::{Accepted, Event};

/// How long a PINGRESP, or any other sign of life, may take after a ping: as long as the keep alive, within
/// these bounds. Who asks often wants to know soon.
pub(super) const PONG_TIMEOUT: Duration = Duration::from_secs(20);
const PONG_TIMEOUT_MIN: Duration = Duration::from_secs(5);
/// How long a SUBACK or UNSUBACK may take, and the next acknowledgement while messages are in flight.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// What holds for the present connection alone.
#[derive(Debug)]
pub(super) struct Present {
    pub(super) broker: Accepted,
    pub(super) keep_alive: Duration,
    pub(super) aliases: Aliases,
    pub(super) began: Time,
    pub(super) last_in: Time,
    pub(super) last_out: Time,
    /// When the ping was sent that waits for a sign of life.
    pub(super) pinged: Option<Time>,
    /// When messages in flight last moved on.
    pub(super) moved: Time,
    /// Nothing with an acknowledgement is sent until then: the broker had no room, or others are to gather.
    pub(super) paused_until: Option<Time>,
}

impl Present {
    pub(super) fn note(&mut self, event: &Event, now: Time) {
        match event {
            // On a slow connection what is waited for may itself still be on its way out.
            Event::Sent { messages: 0 } => {
                self.last_out = now;
                self.moved = now;
                self.pinged = self.pinged.map(|_| now);
            }
            Event::Sent { .. } => self.last_out = now,
            _ => self.last_in = now,
        }
    }

    /// A ping is due when either side has been silent for the keep alive: a link that only sends would
    /// not notice that nobody listens.
    pub(super) fn ping_due(&self) -> Time {
        self.last_in.min(self.last_out) + self.keep_alive
    }

    fn pong_timeout(&self) -> Duration {
        self.keep_alive.clamp(PONG_TIMEOUT_MIN, PONG_TIMEOUT)
    }

    /// `asked`: since when the answer to a SUBSCRIBE or UNSUBSCRIBE is waited for.
    pub(super) fn timer(&self, flights: &Flights, asked: Option<Time>) -> Time {
        let unanswered = self.pinged.filter(|pinged| self.last_in <= *pinged);
        let ping = unanswered.map_or(self.ping_due(), |pinged| pinged + self.pong_timeout());
        let suback = asked.map(|since| since + ANSWER_TIMEOUT);
        let ack = (!flights.is_empty()).then(|| self.moved + ANSWER_TIMEOUT);
        [suback, ack, self.paused_until].into_iter().flatten().fold(ping, Time::min)
    }

    pub(super) fn overdue(&self, flights: &Flights, asked: Option<Time>, now: Time) -> Option<&'static str> {
        let since = |then: Time, limit: Duration| now >= then + limit;
        if self.pinged.is_some_and(|pinged| self.last_in <= pinged && since(pinged, self.pong_timeout())) {
            Some("no answer to a ping")
        } else if asked.is_some_and(|asked| since(asked, ANSWER_TIMEOUT)) {
            Some("no answer to a subscription")
        } else if !flights.is_empty() && since(self.moved, ANSWER_TIMEOUT) {
            Some("no acknowledgement of what was sent")
        } else {
            None
        }
    }
}
