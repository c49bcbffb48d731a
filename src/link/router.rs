//! Which links a message takes.
//!
//! Every link carries every message. Surfaces see [`Router::send`] alone, so which link carries what is
//! known in this one place. A link that is down keeps its own copy in its own bounded outbox, and holds
//! up no other.

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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::SystemClock;
    use crate::link::{Options, spawn};
    use crate::model::MessageClass;

    #[tokio::test]
    async fn every_link_carries_everything() {
        // Nobody listens on port 1, so what is sent stays queued and can be seen.
        let options = Options { host: "127.0.0.1".to_owned(), port: 1, ..Options::default() };
        let links =
            ["a", "b"].map(|id| spawn(&options, id, None, &[], Arc::new(SystemClock::new())).unwrap().0);
        Router::new(links.iter().map(crate::link::LinkHandle::sender).collect()).send(Envelope::new(
            MessageClass::Event,
            "t",
            "{}",
        ));
        for link in &links {
            link.status().wait_for(|status| status.queued.total() == 1).await.unwrap();
        }
    }
}
