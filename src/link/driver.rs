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
                Action::Settle(..) => {}
                Action::Deliver(delivery, qos) => {
                    undelivered += u32::from(!self.consumer.offer(delivery, qos));
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::sync::mpsc;

    use super::*;
    use crate::base::SystemClock;
    use crate::link::transport::Event;
    use crate::link::{Deliveries, DeliveryLimits, LinkHandle, Options, spawn_with};
    use crate::model::{Delivery, Envelope, MessageClass, Qos};

    /// Reports what the test says, and shows what it is asked for.
    struct Scripted {
        events: mpsc::UnboundedReceiver<Event>,
        asked: mpsc::UnboundedSender<&'static str>,
    }

    impl Transport for Scripted {
        fn connect(&mut self, _clean_start: bool) {
            self.asked.send("connect").unwrap();
        }

        fn subscribe(&mut self) {
            self.asked.send("subscribe").unwrap();
        }

        fn publish(&mut self, _envelope: Envelope) {
            self.asked.send("publish").unwrap();
        }

        fn disconnect(&mut self) {
            self.asked.send("disconnect").unwrap();
        }

        async fn event(&mut self) -> Event {
            match self.events.recv().await {
                Some(event) => event,
                None => std::future::pending().await,
            }
        }
    }

    /// Panics as soon as it is asked for an event.
    struct Broken;

    impl Transport for Broken {
        fn connect(&mut self, _clean_start: bool) {}

        fn subscribe(&mut self) {}

        fn publish(&mut self, _envelope: Envelope) {}

        fn disconnect(&mut self) {}

        async fn event(&mut self) -> Event {
            panic!("the transport broke")
        }
    }

    #[tokio::test]
    async fn a_panic_in_the_driver_is_told_with_its_message_and_the_link_can_still_be_closed() {
        let clock = Arc::new(SystemClock::new());
        let (mut link, mut deliveries) = spawn_with(Broken, &Options::default(), clock);
        let message = link.ended().await.unwrap();
        assert!(message.contains("the transport broke"), "{message}");
        assert_eq!(deliveries.recv().await, None);
        link.close(Some(presence()), Duration::from_mins(1)).await;
    }

    #[tokio::test]
    async fn a_link_that_runs_has_not_ended_and_may_be_asked_again_and_again() {
        let mut bench = connected().await;
        for _ in 0..2 {
            let ended = tokio::select! {
                biased;
                end = bench.link.ended() => Some(end),
                () = tokio::task::yield_now() => None,
            };
            assert_eq!(ended, None);
        }
        bench.link.sender().send(presence());
        assert_eq!(bench.asked.recv().await, Some("publish"));
    }

    struct Bench {
        link: LinkHandle,
        deliveries: Deliveries,
        events: mpsc::UnboundedSender<Event>,
        asked: mpsc::UnboundedReceiver<&'static str>,
    }

    async fn connected() -> Bench {
        let (events, receiver) = mpsc::unbounded_channel();
        let (sender, mut asked) = mpsc::unbounded_channel();
        let deliveries = DeliveryLimits { messages: 4, ..DeliveryLimits::default() };
        let options = Options { deliveries, ..Options::default() };
        let transport = Scripted { events: receiver, asked: sender };
        let (link, deliveries) = spawn_with(transport, &options, Arc::new(SystemClock::new()));
        assert_eq!(asked.recv().await, Some("connect"));
        events
            .send(Event::Connected { session_present: false, receive_maximum: 10, max_packet_bytes: 10_000 })
            .unwrap();
        assert_eq!(asked.recv().await, Some("subscribe"));
        Bench { link, deliveries, events, asked }
    }

    fn presence() -> Envelope {
        Envelope::new(MessageClass::Presence, "status", "{}")
    }

    #[tokio::test]
    async fn a_consumer_that_does_not_read_stops_nothing_and_its_losses_are_counted() {
        let mut bench = connected().await;
        for number in 0..100 {
            let topic = number.to_string();
            let delivery = Delivery { topic, ..Delivery::default() };
            bench.events.send(Event::Received { delivery, qos: Qos::AtMostOnce }).unwrap();
        }
        bench.link.sender().send(presence());
        assert_eq!(bench.asked.recv().await, Some("publish"));
        let mut status = bench.link.status();
        let status = status.wait_for(|status| status.counters.received == 100).await.unwrap().clone();
        assert_eq!(status.counters.received_dropped, 97);
        assert_eq!(bench.deliveries.recv().await.unwrap().topic, "0");
    }

    #[tokio::test]
    async fn a_connect_is_shown_so_that_a_birth_can_be_published() {
        let bench = connected().await;
        let mut connects = bench.link.connects();
        assert_eq!(*connects.wait_for(|connects| *connects > 0).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn close_returns_after_the_farewell_was_acknowledged_and_the_connection_ended() {
        let mut bench = connected().await;
        let Bench { link, events, .. } = bench;
        let closing = tokio::spawn(link.close(Some(presence()), Duration::from_mins(1)));
        assert_eq!(bench.asked.recv().await, Some("publish"));
        events.send(Event::Published { packet_id: 1 }).unwrap();
        events.send(Event::Acknowledged { packet_id: 1, accepted: true }).unwrap();
        assert_eq!(bench.asked.recv().await, Some("disconnect"));
        let lost = Error::Lost { broker: "b:1".to_owned(), detail: "closed".to_owned() };
        events.send(Event::Disconnected(lost)).unwrap();
        let status = closing.await.unwrap();
        assert_eq!((status.state, status.counters.acknowledged), (State::Closed, 1));
    }
}
