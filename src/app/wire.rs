//! One of the control task's connections, with what comes in by it.

use tokio::sync::watch;

use crate::link::{self, Deliveries, LinkHandle};
use crate::model::Delivery;

/// A link with what comes in by it.
pub(super) struct Wire {
    pub(super) link: LinkHandle,
    pub(super) status: watch::Receiver<link::Status>,
    pub(super) connects: watch::Receiver<u64>,
    pub(super) deliveries: Deliveries,
    /// The connection, by its number, on which the status was published.
    begun: u64,
}

impl Wire {
    pub(super) fn new((link, deliveries): (LinkHandle, Deliveries)) -> Self {
        Self { status: link.status(), connects: link.connects(), link, deliveries, begun: 0 }
    }

    /// The status is published on the present connection.
    pub(super) fn begin(&mut self) {
        self.begun = self.status.borrow().counters.connects;
    }

    /// Whether it is up, and the status was published on it.
    pub(super) fn has_begun(&self) -> bool {
        self.is_connected() && self.status.borrow().counters.connects == self.begun
    }

    pub(super) fn is_connected(&self) -> bool {
        self.status.borrow().state == link::State::Connected
    }
}

/// News of the connection for the shared status.
pub(super) enum Shared {
    Heard(Delivery),
    Connected,
}

/// The next thing on the connection for the shared status; waits for ever when there is none.
pub(super) async fn next(wire: &mut Option<Wire>) -> Option<Shared> {
    let Some(wire) = wire else { return std::future::pending().await };
    tokio::select! {
        delivery = wire.deliveries.recv() => delivery.map(Shared::Heard),
        changed = wire.connects.changed() => changed.ok().map(|()| Shared::Connected),
    }
}
