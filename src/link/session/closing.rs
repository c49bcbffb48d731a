//! The end of a link: what waits is sent, then the farewell, then the broker is told.

use std::time::Duration;

use super::{Action, Session, State};
use crate::base::Time;
use crate::link::outbox::Entry;
use crate::model::Envelope;

#[derive(Debug)]
pub(super) struct Closing {
    pub(super) farewell: Option<Envelope>,
    /// The queue is flushed until then; what is left of the time is the farewell's.
    pub(super) flush_until: Time,
    pub(super) deadline: Time,
    pub(super) stage: Stage,
    /// The store holds messages that are not queued here yet.
    store_has_more: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Stage {
    Flushing,
    /// The farewell has this number.
    Farewell(u64),
    Leaving,
}

impl Session {
    /// The end has begun.
    pub(in crate::link) fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    /// While the store has more, the queues being empty is not the end of them.
    pub(in crate::link) fn set_store_has_more(&mut self, more: bool) {
        if let Some(closing) = &mut self.closing {
            closing.store_has_more = more;
        }
    }

    /// Begins the end: what is queued is sent, then `farewell`, then a DISCONNECT; all of it within
    /// `within`, a quarter of which is reserved for the farewell. Without a connection there is one
    /// more try, at once.
    pub(in crate::link) fn begin_close(&mut self, farewell: Option<Envelope>, now: Time, within: Duration) {
        let stage = Stage::Flushing;
        self.closing = Some(Closing {
            farewell,
            flush_until: now + within.mul_f64(0.75),
            deadline: now + within,
            stage,
            store_has_more: false,
        });
        if self.state == State::Waiting {
            self.deadline = self.deadline.min(now);
        }
    }

    pub(super) fn advance_close(&mut self, now: Time, actions: &mut Vec<Action>) {
        let idle = self.queues.is_empty() && self.handed.is_empty() && self.flights.is_empty();
        let Some(closing) = &mut self.closing else { return };
        let flushed = idle && !closing.store_has_more;
        if closing.stage == Stage::Flushing && (flushed || now >= closing.flush_until) {
            let seq = self.queues.next_seq();
            closing.stage = Stage::Farewell(seq);
            if let Some(envelope) = closing.farewell.take() {
                self.hand_over(Entry { seq, envelope, row: None, deadline: None, since: now }, now, actions);
            }
        }
        let Some(closing) = &mut self.closing else { return };
        let Stage::Farewell(farewell) = closing.stage else { return };
        let pending =
            self.handed.iter().any(|handed| handed.seq == farewell) || self.flights.contains(farewell);
        if !pending {
            closing.stage = Stage::Leaving;
            actions.push(Action::Disconnect);
        }
    }
}
