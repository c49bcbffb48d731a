//! A camera's link with its store, a broker, and a receiver that uses the keys.

use std::collections::{HashSet, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use omnisight::base::SystemClock;
use omnisight::link::{
    self, Carries, Client, Deliveries, DeliveryLimits, LinkHandle, Outbox, OutboxOptions, Route, Router,
};
use omnisight::model::{Envelope, MessageClass, Qos};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::support::{DEADLINE, link_options};

/// Keys that a receiver remembers.
pub const WINDOW: usize = 4096;
/// How long a backlog may take to leave after the last fault.
const DRAIN_WITHIN: Duration = Duration::from_mins(2);
/// About as long as an event of the swarm.
const PAYLOAD_BYTES: usize = 300;

/// A message with a number, about as large as an event; its key is the number.
pub fn numbered(number: u32, qos: Qos) -> Envelope {
    let payload = format!("{number:<PAYLOAD_BYTES$}");
    Envelope {
        qos,
        key: Some(number.to_string()),
        ..Envelope::new(MessageClass::Event, format!("events/{number}"), payload)
    }
}

/// The number that a payload begins with.
pub fn number(payload: &[u8]) -> u32 {
    std::str::from_utf8(payload).unwrap().trim().parse().unwrap()
}

/// What came in.
#[derive(Debug, Clone, Default)]
pub struct Heard {
    window: VecDeque<u32>,
    in_window: HashSet<u32>,
    /// Every number that came.
    pub numbers: HashSet<u32>,
    /// Messages that the window did not know, though they came before.
    pub twice: u64,
    /// Messages that the window dropped.
    pub duplicates: u64,
}

impl Heard {
    fn take(&mut self, number: u32) {
        if !self.in_window.insert(number) {
            self.duplicates += 1;
            return;
        }
        self.window.push_back(number);
        if self.window.len() > WINDOW
            && let Some(oldest) = self.window.pop_front()
        {
            self.in_window.remove(&oldest);
        }
        self.twice += u64::from(!self.numbers.insert(number));
    }
}

/// Hears everything, over a session that the broker keeps.
pub struct Receiver {
    link: LinkHandle,
    heard: Arc<Mutex<Heard>>,
    count: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

impl Receiver {
    pub async fn start(broker_port: u16, qos: Qos) -> Self {
        let client = Client {
            id: "receiver".to_owned(),
            subscriptions: vec![("events/+".to_owned(), qos)],
            ..Client::default()
        };
        let options = link::Options {
            deliveries: DeliveryLimits { messages: 100_000, bytes: 256 << 20 },
            ..link_options(broker_port)
        };
        let (link, mut deliveries) = link::spawn(&options, client, Arc::new(SystemClock::new())).unwrap();
        let heard = Arc::new(Mutex::new(Heard::default()));
        let (counted, count) = watch::channel(0);
        let takes = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            while let Some(delivery) = deliveries.recv().await {
                let mut heard = takes.lock().unwrap();
                heard.take(number(&delivery.payload));
                counted.send_replace(heard.numbers.len());
            }
        });
        let receiver = Self { link, heard, count, task };
        receiver.listens().await;
        receiver
    }

    /// Returns when the subscription is in force: a message that follows it on its own connection arrives.
    async fn listens(&self) {
        self.link.sender().send(numbered(u32::MAX, Qos::AtLeastOnce));
        assert!(self.hears(1, DEADLINE).await, "the receiver does not hear itself");
        *self.heard.lock().unwrap() = Heard::default();
    }

    /// Waits until so many numbers have come, and returns whether they have.
    pub async fn hears(&self, numbers: usize, within: Duration) -> bool {
        let mut count = self.count.clone();
        timeout(within, count.wait_for(|count| *count >= numbers)).await.is_ok()
    }

    pub fn heard(&self) -> Heard {
        self.heard.lock().unwrap().clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A camera's way out.
pub struct Sender {
    pub router: Router,
    pub link: LinkHandle,
    pub outbox: Option<Outbox>,
    _deliveries: Deliveries,
}

impl Sender {
    /// Over a store in this folder.
    pub fn durable(port: u16, id: &str, folder: &Path) -> Self {
        let outbox =
            Outbox::open(&OutboxOptions::new(folder.to_owned()), &["main"], Arc::new(SystemClock::new()));
        Self::start(&link_options(port), id, Some(outbox))
    }

    pub fn start(options: &link::Options, id: &str, outbox: Option<Outbox>) -> Self {
        let rows = outbox.as_ref().and_then(|outbox| outbox.rows("main"));
        let client = Client { id: id.to_owned(), rows, ..Client::default() };
        let (link, deliveries) = link::spawn(options, client, Arc::new(SystemClock::new())).unwrap();
        let route = Route {
            name: "main".to_owned(),
            carries: Carries::default(),
            data: link.sender(),
            control: None,
        };
        Self { router: Router::new(vec![route], outbox.clone()), link, outbox, _deliveries: deliveries }
    }

    /// Waits until nothing is left in the store.
    pub async fn drains(&self) {
        let outbox = self.outbox.as_ref().unwrap();
        let empty = async {
            while outbox.status().queued.total() > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let status = || (outbox.status(), self.link.status().borrow().clone());
        assert!(timeout(DRAIN_WITHIN, empty).await.is_ok(), "the store never empties: {:#?}", status());
    }
}

/// Sends the numbers 0 up to `count` at a steady rate; the watch says how many were sent.
pub fn emit(router: Router, count: u32, per_second: u32, qos: Qos) -> watch::Receiver<u32> {
    const TURNS_PER_SECOND: u32 = 100;
    let (sent, told) = watch::channel(0);
    tokio::spawn(async move {
        let mut turn = interval(Duration::from_secs(1) / TURNS_PER_SECOND);
        turn.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut next = 0;
        while next < count {
            turn.tick().await;
            let end = (next + per_second.div_ceil(TURNS_PER_SECOND)).min(count);
            for number in next..end {
                router.send(numbered(number, qos));
            }
            next = end;
            sent.send_replace(next);
        }
    });
    told
}

/// Waits until so many were sent.
pub async fn emitted(told: &watch::Receiver<u32>, count: u32) {
    let mut told = told.clone();
    timeout(DRAIN_WITHIN, told.wait_for(|sent| *sent >= count))
        .await
        .expect("the sender stands still")
        .unwrap();
}
