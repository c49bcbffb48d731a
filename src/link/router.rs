//! Which links a message takes.
//!
//! Every link carries everything for now. Filters by class and topic come with several brokers, and
//! then this is the only place that knows them: surfaces see [`Router::send`] alone.

use super::LinkSender;
use crate::model::Envelope;

/// Where surfaces put their messages.
#[derive(Clone)]
pub struct Router {
    links: Vec<LinkSender>,
}

impl Router {
    /// A router over these links.
    pub fn new(links: Vec<LinkSender>) -> Self {
        Self { links }
    }

    /// Queues a message on every link that carries it. Never blocks.
    pub fn send(&self, envelope: Envelope) {
        let Some((last, others)) = self.links.split_last() else { return };
        for link in others {
            link.send(envelope.clone());
        }
        last.send(envelope);
    }
}
