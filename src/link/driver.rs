//! Runs a session on a transport: carries reports in and actions out, keeps the timer, shows the
//! status. Decides nothing, and never waits for a consumer.
//!
//! Everything of one link happens in this one task, in batches: whatever the transport has to report is
//! handled under one lock of the session, and whatever the session asks for is written together.

use std::sync::Arc;
use std::time::Duration;

use rand_pcg::Pcg64Mcg;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::deliveries::Consumer;
use super::outbox::Outcome;
use super::session::{Action, Input, State, Status};
use super::transport::{Event, Transport};
use super::{Error, Known, Limits, LinkSender, Rows};
use crate::base::Clock;

/// How often the status is refreshed while the state does not change.
const STATUS_INTERVAL: Duration = Duration::from_millis(250);

pub(super) struct Driver<T> {
    pub(super) broker: String,
    /// The link's name, on every message that it brings.
    pub(super) name: Arc<str>,
    pub(super) sender: LinkSender,
    pub(super) transport: T,
    /// Its part of the store.
    pub(super) rows: Option<Rows>,
    /// What is known of brokers, and where this one is.
    pub(super) known: Known,
    pub(super) place: String,
    /// The changes of `known` that are known here.
    pub(super) seen: u64,
    pub(super) consumer: Consumer,
    pub(super) status: watch::Sender<Status>,
    pub(super) connects: watch::Sender<u64>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) rng: Pcg64Mcg,
    pub(super) turns: u64,
}

impl<T: Transport> Driver<T> {
    /// Ends when the session is closed.
    pub(super) async fn run(mut self) {
        let mut refresh = tokio::time::interval(STATUS_INTERVAL);
        refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut events, mut actions) = (Vec::new(), Vec::new());
        let mut shown = self.clock.now();
        loop {
            self.turns += 1;
            let wake = self.rows.as_ref().and_then(Rows::next_wake);
            let timer = self.sender.session().timer().into_iter().chain(wake).min();
            let wait = timer.map_or(Duration::MAX, |due| due.since(self.clock.now()));
            tokio::select! {
                biased;
                () = self.transport.events(&mut events) => {}
                () = self.sender.shared.wake.notified() => {}
                () = tokio::time::sleep(wait) => {}
                // What other connections have found out is looked at too.
                _ = refresh.tick() => self.show(),
            }
            if self.step(&mut events, &mut actions) == State::Closed {
                self.show();
                return;
            }
            // Under a flood there are always events, and the timer would never have its turn.
            if self.clock.now().since(shown) >= STATUS_INTERVAL {
                shown = self.clock.now();
                self.show();
            }
        }
    }

    fn step(&mut self, events: &mut Vec<Event>, actions: &mut Vec<Action>) -> State {
        let now = self.clock.now();
        let state = {
            let mut session = self.sender.session();
            if let Some((limits, rival)) = self.known.news(&self.place, &mut self.seen) {
                session.learn(limits, rival, now);
            }
            let limits = session.limits();
            if let Some(rows) = &self.rows {
                let taken = rows.take(now, |class, priority| session.room(class, priority));
                for (row, envelope) in taken {
                    if !session.offer(row, envelope, now) {
                        rows.settle(row, Outcome::GivenUp, now);
                    }
                }
                if session.is_closing() {
                    session.set_store_has_more(rows.has_more());
                }
            }
            if events.is_empty() {
                session.handle(Input::Tick, now, &mut self.rng, actions);
            }
            for event in events.drain(..) {
                session.handle(Input::Transport(event), now, &mut self.rng, actions);
            }
            let found = session.limits();
            if found != limits {
                self.known.tell(&self.place, found);
            }
            session.state()
        };
        let mut undelivered = 0_u32;
        for action in actions.drain(..) {
            match action {
                Action::Connect { terms, clean_start } => self.transport.connect(terms, clean_start),
                Action::Ask(packet_id, request) => self.transport.ask(packet_id, request),
                Action::Publish(message) => self.transport.publish(message),
                Action::Answer(answer, packet_id) => self.transport.answer(answer, packet_id),
                Action::Ping => self.transport.ping(),
                Action::Disconnect => self.transport.disconnect(),
                Action::Abort => self.transport.abort(),
                Action::Settle(row, outcome) => {
                    if let Some(rows) = &self.rows {
                        rows.settle(row, outcome, now);
                    }
                }
                Action::Deliver(mut delivery, qos) => {
                    delivery.link = Arc::clone(&self.name);
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
        let status = Status { turns: self.turns, ..self.sender.session().status() };
        let shown = self.status.send_replace(status.clone());
        if shown.state != status.state {
            self.log(&status);
        }
        if shown.last_refused != status.last_refused {
            self.log_refused(&status);
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
            // Whoever looks for it tells.
            State::Waiting if matches!(status.last_error, Some(Error::NotFound { .. })) => {
                tracing::debug!(broker, "not found yet");
            }
            State::Connected => {
                let mqtt = status.version.as_str();
                tracing::info!(broker, mqtt, connects = status.counters.connects, "connected");
                self.log_limits(&status.limits);
                self.log_certificates(status);
            }
            State::Waiting => {
                let word = status.last_error.as_ref().map_or("", Error::word);
                let error = status.last_error.as_ref().map(tracing::field::display);
                tracing::warn!(broker, word, error, "not connected, trying again");
            }
            State::Closed => tracing::info!(broker, "closed"),
        }
    }

    fn log_limits(&self, limits: &Limits) {
        let broker = &self.broker;
        if let Some(fallback) = limits.fallback {
            tracing::warn!(broker, ?fallback, "the broker does not speak MQTT 5, only 3.1.1");
        }
        for lack in limits.lacks() {
            tracing::warn!(broker, "{lack}");
        }
    }

    fn log_certificates(&self, status: &Status) {
        let now_ms = self.clock.now().epoch_ms;
        let ending = status.certificates.and_then(|certificates| certificates.ending(now_ms));
        if let Some((whose, until_ms)) = ending {
            let days = until_ms.saturating_sub(now_ms) / 86_400_000;
            tracing::warn!(broker = self.broker, whose, days, "a certificate ends soon: renew it");
        }
    }

    fn log_refused(&self, status: &Status) {
        if let Some(refused) = &status.last_refused {
            let (broker, topic, bytes) = (&self.broker, &refused.topic, refused.bytes);
            let refused_so_far = status.counters.refused_too_large
                + status.counters.rejected
                + status.counters.received_too_large;
            tracing::warn!(broker, topic, bytes, why = %refused.why, refused_so_far, "a message is given up");
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
    use crate::link::session::{Request, Terms};
    use crate::link::transport::{Accepted, Answer, Outgoing};
    use crate::link::{Client, Deliveries, DeliveryLimits, LinkHandle, Options, spawn_with};
    use crate::model::{Delivery, Envelope, MessageClass, Qos};

    /// Reports what the test says, and shows what it is asked for.
    struct Scripted {
        events: mpsc::UnboundedReceiver<Event>,
        asked: mpsc::UnboundedSender<&'static str>,
    }

    impl Transport for Scripted {
        fn connect(&mut self, _terms: Terms, _clean_start: bool) {
            self.asked.send("connect").unwrap();
        }

        fn ask(&mut self, _packet_id: u16, request: Request) {
            let word = match request {
                Request::Begin(_) => "subscribe",
                Request::End(_) => "unsubscribe",
            };
            self.asked.send(word).unwrap();
        }

        fn publish(&mut self, _message: Outgoing) {
            self.asked.send("publish").unwrap();
        }

        fn answer(&mut self, _answer: Answer, _packet_id: u16) {}

        fn ping(&mut self) {}

        fn disconnect(&mut self) {
            self.asked.send("disconnect").unwrap();
        }

        fn abort(&mut self) {}

        async fn events(&mut self, events: &mut Vec<Event>) {
            match self.events.recv().await {
                Some(event) => events.push(event),
                None => std::future::pending().await,
            }
        }
    }

    /// Panics as soon as it is asked for an event.
    struct Broken;

    impl Transport for Broken {
        fn connect(&mut self, _terms: Terms, _clean_start: bool) {}

        fn ask(&mut self, _packet_id: u16, _request: Request) {}

        fn publish(&mut self, _message: Outgoing) {}

        fn answer(&mut self, _answer: Answer, _packet_id: u16) {}

        fn ping(&mut self) {}

        fn disconnect(&mut self) {}

        fn abort(&mut self) {}

        async fn events(&mut self, _events: &mut Vec<Event>) {
            panic!("the transport broke")
        }
    }

    #[tokio::test]
    async fn a_panic_in_the_driver_is_told_with_its_message_and_the_link_can_still_be_closed() {
        let clock = Arc::new(SystemClock::new());
        let (mut link, mut deliveries) = spawn_with(Broken, &Options::default(), Client::default(), clock);
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
        let subscriptions = vec![("t/+".to_owned(), Qos::AtMostOnce)];
        let client = Client { subscriptions, ..Client::default() };
        let clock = Arc::new(SystemClock::new());
        let (link, deliveries) = spawn_with(transport, &options, client, clock);
        assert_eq!(asked.recv().await, Some("connect"));
        events.send(Event::Connected(Accepted::default())).unwrap();
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
            bench
                .events
                .send(Event::Message { packet_id: 0, qos: Qos::AtMostOnce, dup: false, delivery })
                .unwrap();
        }
        bench.link.sender().send(presence());
        assert_eq!(bench.asked.recv().await, Some("publish"));
        let mut status = bench.link.status();
        let status = status.wait_for(|status| status.counters.received == 100).await.unwrap().clone();
        assert_eq!(status.counters.received_dropped, 97);
        assert_eq!(bench.deliveries.recv().await.unwrap().topic, "0");
    }

    #[tokio::test]
    async fn what_is_listened_to_may_change_while_connected() {
        let mut bench = connected().await;
        bench.events.send(Event::Subscribed { packet_id: 1, refused: 0 }).unwrap();
        bench.link.sender().ignore("t/+".to_owned());
        assert_eq!(bench.asked.recv().await, Some("unsubscribe"));
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
        let Bench { mut link, events, .. } = bench;
        let closing = tokio::spawn(async move { link.close(Some(presence()), Duration::from_mins(1)).await });
        assert_eq!(bench.asked.recv().await, Some("publish"));
        events.send(Event::Sent { messages: 1 }).unwrap();
        // 1 is the id of the subscription.
        events.send(Event::Acknowledged { packet_id: 2, reason: 0 }).unwrap();
        assert_eq!(bench.asked.recv().await, Some("disconnect"));
        let lost = Error::Lost { broker: "b:1".to_owned(), detail: "closed".to_owned() };
        events.send(Event::Disconnected(lost)).unwrap();
        let status = closing.await.unwrap();
        assert_eq!((status.state, status.counters.acknowledged), (State::Closed, 1));
    }
}
