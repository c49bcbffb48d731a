//! What came in and waits for its consumer: bounded in messages and in bytes.
//!
//! The driver offers and never waits; a consumer that is too slow loses the newest messages, which the
//! driver counts, and never the connection. A message counts with its topic and payload from when it is
//! taken in until the consumer has it. The last quarter of both bounds is kept for messages that were
//! sent with an acknowledgement.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::sync::mpsc;

use crate::model::{Delivery, Qos};

/// The bounds of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryLimits {
    /// Messages at most.
    pub messages: usize,
    /// Bytes of topics and payloads at most.
    pub bytes: usize,
}

impl Default for DeliveryLimits {
    /// 40 neighbours with 50 tracks each, once; four of the largest messages.
    fn default() -> Self {
        Self { messages: 2_048, bytes: 4 << 20 }
    }
}

/// Messages that came in, oldest first.
pub struct Deliveries {
    receiver: mpsc::Receiver<Delivery>,
    bytes: Arc<AtomicUsize>,
}

impl Deliveries {
    /// The next message; `None` when the link has ended. Cancel safe.
    pub async fn recv(&mut self) -> Option<Delivery> {
        poll_fn(|context| self.poll_recv(context)).await
    }

    /// The same, for whoever waits for several links.
    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<Delivery>> {
        self.receiver.poll_recv(context).map(|delivery| {
            let delivery = delivery?;
            self.bytes.fetch_sub(bytes(&delivery), Ordering::Relaxed);
            Some(delivery)
        })
    }
}

pub(super) struct Consumer {
    sender: mpsc::Sender<Delivery>,
    bytes: Arc<AtomicUsize>,
    limits: DeliveryLimits,
}

pub(super) fn channel(limits: DeliveryLimits) -> (Consumer, Deliveries) {
    let (sender, receiver) = mpsc::channel(limits.messages.max(1));
    let bytes = Arc::new(AtomicUsize::new(0));
    (Consumer { sender, bytes: Arc::clone(&bytes), limits }, Deliveries { receiver, bytes })
}

impl Consumer {
    /// False: there was no room, or there is nobody any more, and the message is lost. The last
    /// quarter is only for messages that were sent with an acknowledgement.
    pub(super) fn offer(&self, delivery: Delivery, qos: Qos) -> bool {
        let share = |limit: usize| if qos == Qos::AtMostOnce { limit - limit / 4 } else { limit };
        let length = bytes(&delivery);
        let waiting = self.sender.max_capacity() - self.sender.capacity();
        if waiting >= share(self.sender.max_capacity())
            || self.bytes.load(Ordering::Relaxed) + length > share(self.limits.bytes)
        {
            return false;
        }
        self.bytes.fetch_add(length, Ordering::Relaxed);
        let taken = self.sender.try_send(delivery).is_ok();
        if !taken {
            self.bytes.fetch_sub(length, Ordering::Relaxed);
        }
        taken
    }
}

fn bytes(delivery: &Delivery) -> usize {
    delivery.topic.len() + delivery.payload.len()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn delivery(length: usize) -> Delivery {
        Delivery { topic: "t".to_owned(), payload: Bytes::from(vec![0; length - 1]), ..Delivery::default() }
    }

    #[tokio::test]
    async fn the_last_quarter_is_for_acknowledged_messages_and_beyond_it_the_newest_is_refused() {
        let (consumer, mut deliveries) = channel(DeliveryLimits { messages: 4, bytes: 1_000 });
        let offered = [Qos::AtMostOnce; 4].map(|qos| consumer.offer(delivery(10), qos));
        assert_eq!(offered, [true, true, true, false]);
        assert!(consumer.offer(delivery(10), Qos::AtLeastOnce));
        assert!(!consumer.offer(delivery(10), Qos::AtLeastOnce));
        deliveries.recv().await.unwrap();
        assert!(consumer.offer(delivery(10), Qos::AtLeastOnce));
    }

    #[tokio::test]
    async fn bytes_are_bounded_and_given_back_when_a_message_is_taken() {
        let (consumer, mut deliveries) = channel(DeliveryLimits { messages: 100, bytes: 1_000 });
        assert!(consumer.offer(delivery(600), Qos::AtLeastOnce));
        assert!(!consumer.offer(delivery(600), Qos::AtLeastOnce));
        deliveries.recv().await.unwrap();
        assert!(consumer.offer(delivery(600), Qos::AtLeastOnce));
    }
}
