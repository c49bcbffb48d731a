//! A session and a broker with a network between them, all of it decided by one seed.
//!
//! The broker keeps to MQTT 5 (4.3, 4.4, 4.9) where it must, and is as nasty as that allows: it answers
//! late and in any order, repeats its answers, answers what was never sent, loses its session or lies
//! about it. The network loses everything that is on its way whenever it likes.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt;

use super::*;

/// What may go wrong.
#[derive(Debug, Clone, Copy)]
struct Faults {
    /// The broker forgets the session, and says so.
    forgets: bool,
    /// It says that it has the session, when it has not.
    lies: bool,
}

/// A broker, and the network before it.
#[derive(Default)]
struct World {
    up: bool,
    connecting: bool,
    receive_maximum: u16,
    /// On its way to the broker.
    outward: VecDeque<Action>,
    /// Answers that it owes.
    owed: Vec<Event>,
    /// Packet ids of `QoS` 2 messages that it has and that are not released; with their topic.
    held: BTreeMap<u16, String>,
    /// Packet ids in the sender's window on this connection.
    window: BTreeSet<u16>,
    /// Topics that arrived, how often each.
    arrived: BTreeMap<String, u32>,
    /// What it sends to us: packet id and number; first those not received, then those not released.
    to_send: VecDeque<(u16, usize)>,
    to_release: VecDeque<u16>,
    delivered: BTreeMap<usize, u32>,
    next_incoming: usize,
    now_ms: u64,
    connects_ms: Vec<u64>,
}

impl World {
    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Connect { .. } => {
                    assert!(!self.up && !self.connecting, "a second connection");
                    self.connecting = true;
                    self.connects_ms.push(self.now_ms);
                }
                Action::Abort => self.cut(),
                Action::Deliver(delivery, _) => {
                    *self.delivered.entry(delivery.topic.parse().unwrap()).or_default() += 1;
                }
                Action::Settle(..) => {}
                action => {
                    assert!(self.up, "{action:?} without a connection");
                    self.outward.push_back(action);
                }
            }
        }
    }

    fn cut(&mut self) {
        self.up = false;
        self.connecting = false;
        self.outward.clear();
        self.owed.clear();
        self.window.clear();
    }

    /// What the session hears next; none: nothing happens before its timer.
    fn next(&mut self, rng: &mut Pcg64Mcg, faults: Option<Faults>) -> Option<Event> {
        if self.connecting {
            return Some(self.greet(rng, faults));
        }
        if !self.up {
            return None;
        }
        if faults.is_some() && rng.random_bool(0.02) {
            self.cut();
            let detail = "cut".to_owned();
            return Some(Event::Disconnected(Error::Lost { broker: "b:1".to_owned(), detail }));
        }
        if faults.is_some() && rng.random_bool(0.05) {
            let packet_id = rng.random_range(1..50_000);
            return Some(match rng.random_range(0..4) {
                0 => Event::Acknowledged { packet_id: 60_000, reason: 0 },
                // It repeats itself: a receipt that is answered already is one of these.
                1 => Event::Completed { packet_id: 60_000 },
                2 => Event::Received { packet_id: 60_000, reason: 0 },
                _ => Event::Released { packet_id },
            });
        }
        if !self.outward.is_empty() && (self.owed.is_empty() || rng.random_bool(0.6)) {
            let action = self.outward.pop_front()?;
            return Some(self.take(action, rng).unwrap_or(Event::Heard));
        }
        if rng.random_bool(0.3)
            && let Some(event) = self.send()
        {
            return Some(event);
        }
        if self.owed.is_empty() {
            return self.send();
        }
        // In any order, and sometimes twice.
        let which = rng.random_range(0..self.owed.len());
        let event = self.owed.swap_remove(which);
        if faults.is_some() && rng.random_bool(0.1) && matches!(event, Event::Received { .. }) {
            self.owed.push(event.clone());
        }
        match event {
            Event::Acknowledged { packet_id, .. } | Event::Completed { packet_id } => {
                self.window.remove(&packet_id);
            }
            _ => {}
        }
        Some(event)
    }

    fn greet(&mut self, rng: &mut Pcg64Mcg, faults: Option<Faults>) -> Event {
        self.connecting = false;
        if faults.is_some() && rng.random_bool(0.3) {
            return Event::Disconnected(unreachable());
        }
        self.up = true;
        self.receive_maximum = rng.random_range(1..8);
        let forgets = faults.is_some_and(|faults| faults.forgets) && rng.random_bool(0.4);
        let is_first = self.connects_ms.len() == 1;
        if forgets {
            self.held.clear();
            self.to_release.clear();
            self.to_send.clear();
        }
        let lies = faults.is_some_and(|faults| faults.lies) && rng.random_bool(0.2);
        let session_present = if lies { rng.random_bool(0.5) } else { !forgets && !is_first };
        if !session_present {
            self.held.clear();
            self.to_release.clear();
            self.to_send.clear();
        }
        Event::Connected(Accepted {
            session_present,
            receive_maximum: self.receive_maximum,
            ..Accepted::default()
        })
    }

    /// The broker takes a packet.
    fn take(&mut self, action: Action, rng: &mut Pcg64Mcg) -> Option<Event> {
        match action {
            Action::Ask(packet_id, Request::Begin(_)) => {
                self.owed.push(Event::Subscribed { packet_id, refused: 0 });
            }
            Action::Ask(packet_id, Request::End(_)) => self.owed.push(Event::Unsubscribed { packet_id }),
            Action::Publish(message) => {
                self.publish(&message);
                // Told at some time after it was written.
                return Some(Event::Sent { messages: 1 });
            }
            Action::Answer(Answer::Release, packet_id) => {
                self.held.remove(&packet_id);
                self.owed.push(Event::Completed { packet_id });
            }
            Action::Answer(Answer::Receive, packet_id) => {
                let before = self.to_send.len();
                self.to_send.retain(|(id, _)| *id != packet_id);
                if self.to_send.len() < before {
                    self.to_release.push_back(packet_id);
                    if rng.random_bool(0.9) {
                        self.owed.push(Event::Released { packet_id });
                    }
                }
            }
            Action::Answer(Answer::Complete, packet_id) => self.to_release.retain(|id| *id != packet_id),
            Action::Ping => self.owed.push(Event::Heard),
            _ => {}
        }
        None
    }

    fn publish(&mut self, message: &Outgoing) {
        let (packet_id, topic) = (message.packet_id, message.envelope.topic.clone());
        if message.envelope.qos > Qos::AtMostOnce {
            self.window.insert(packet_id);
            let (open, max) = (self.window.len(), usize::from(self.receive_maximum));
            assert!(open <= max, "{open} messages in a window of {max}");
        }
        match message.envelope.qos {
            Qos::AtMostOnce => {}
            Qos::AtLeastOnce => {
                *self.arrived.entry(topic).or_default() += 1;
                self.owed.push(Event::Acknowledged { packet_id, reason: 0 });
            }
            Qos::ExactlyOnce => {
                if self.held.insert(packet_id, topic.clone()).is_none() {
                    *self.arrived.entry(topic).or_default() += 1;
                }
                self.owed.push(Event::Received { packet_id, reason: 0 });
            }
        }
    }

    /// Sends the oldest message again, or its release.
    fn send(&mut self) -> Option<Event> {
        if let Some(packet_id) = self.to_release.front().copied() {
            return Some(Event::Released { packet_id });
        }
        let (packet_id, number) = self.to_send.front().copied()?;
        let delivery = Delivery { topic: number.to_string(), ..Delivery::default() };
        Some(Event::Message { packet_id, qos: Qos::ExactlyOnce, dup: true, delivery })
    }
}

struct Outcome {
    world: World,
    session: Session,
    sent: usize,
}

/// Sends `count` messages through a run of faults, then lets everything settle.
fn run(seed: u64, count: usize, faults: Faults) -> Outcome {
    const FAULTY_STEPS: usize = 600;
    let mut bench = Bench::new(SessionOptions { in_flight_max: 6, ..options() });
    bench.rng = Pcg64Mcg::seed_from_u64(seed);
    let mut rng = Pcg64Mcg::seed_from_u64(!seed);
    let mut world = World::default();
    let mut sent = 0;
    for step in 0..20_000 {
        let faulty = step < FAULTY_STEPS;
        if sent < count && rng.random_bool(0.3) {
            let qos = if sent % 2 == 0 { Qos::AtLeastOnce } else { Qos::ExactlyOnce };
            bench.session.enqueue(envelope(MessageClass::Event, &sent.to_string(), qos), bench.now);
            sent += 1;
        }
        if faulty && world.up && rng.random_bool(0.05) {
            world.to_send.push_back((world.next_incoming as u16 + 1, world.next_incoming));
            world.next_incoming += 1;
        }
        let event = world.next(&mut rng, faulty.then_some(faults));
        // Answers take their time; nothing may depend on it.
        bench.now = bench.now + Duration::from_millis(rng.random_range(0..50));
        let actions = if let Some(event) = event {
            bench.report(event)
        } else {
            let due = bench.session.timer().map_or(bench.now, |due| due.max(bench.now));
            let settled = !faulty && sent == count && bench.session.status().in_flight == 0;
            if settled && bench.session.status().queued.total() == 0 && world.up {
                break;
            }
            bench.now = due;
            bench.tick()
        };
        world.now_ms = bench.now.mono_ns / 1_000_000;
        world.act(actions);
    }
    Outcome { world, session: bench.session, sent }
}

fn lost(outcome: &Outcome) -> Vec<usize> {
    (0..outcome.sent).filter(|number| !outcome.world.arrived.contains_key(&number.to_string())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn nothing_is_lost_and_the_window_is_kept_whatever_network_and_broker_do(seed: u64, count in 1..60_usize) {
        let outcome = run(seed, count, Faults { forgets: true, lies: true });
        prop_assert_eq!(lost(&outcome), Vec::<usize>::new());
        let status = outcome.session.status();
        prop_assert_eq!((status.queued.total(), status.in_flight), (0, 0));
        prop_assert_eq!(status.counters.acknowledged, count as u64);
    }

    #[test]
    fn with_a_broker_that_keeps_its_session_qos_2_is_exactly_once_in_both_directions(seed: u64, count in 1..60_usize) {
        let outcome = run(seed, count, Faults { forgets: false, lies: false });
        prop_assert_eq!(lost(&outcome), Vec::<usize>::new());
        let twice = outcome.world.arrived.iter().find(|(topic, copies)| {
            topic.parse::<usize>().unwrap() % 2 == 1 && **copies != 1
        });
        prop_assert_eq!(twice, None);
        let delivered: Vec<_> = outcome.world.delivered.values().copied().collect();
        prop_assert_eq!(delivered, vec![1; outcome.world.next_incoming]);
    }

    #[test]
    fn no_run_of_luck_makes_it_hammer(seed: u64) {
        let outcome = run(seed, 10, Faults { forgets: true, lies: true });
        // Waits are uniform below a ceiling that doubles: ten tries within one second would need a
        // luck of less than one in a billion.
        let tries = &outcome.world.connects_ms;
        let crowded = tries.windows(10).find(|tries| tries[9] - tries[0] < 1_000);
        prop_assert_eq!(crowded, None);
    }
}
