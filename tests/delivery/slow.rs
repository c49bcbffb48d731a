//! A link that is too slow for what the camera has to say.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use omnisight::link::DeliveryLimits;
use omnisight::model::{Envelope, MessageClass};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::busy;
use crate::rig::Sender;
use crate::support::program::Program;
use crate::support::proxy::{Conditions, Proxy};
use crate::support::watch::modes;
use crate::support::{DEADLINE, Peer, Setup, TestBroker, against_each_broker, kinds, link_options};

const TRACKS: u32 = 40;
const TRACK_BYTES: usize = 300;
/// Enough for every track once a second, and not for twice.
const SLOW_BYTES_PER_SECOND: u32 = 20_000;
/// A step up takes ten calm seconds, from 1 to 10 Hz there are three.
const RECOVERED_WITHIN: Duration = Duration::from_mins(1);

fn throttled(bytes_per_second: Option<u32>) -> Conditions {
    Conditions { bytes_per_second, ..Conditions::default() }
}

/// A camera that publishes all its tracks ten times a second, by a proxy; each message says the how manieth
/// it is.
struct Bench {
    proxy: Proxy,
    sender: Sender,
    receiver: Peer,
    rounds: Arc<AtomicU32>,
    publishing: AbortHandle,
    _broker: TestBroker,
}

impl Bench {
    async fn start(broker: TestBroker) -> Self {
        let proxy = Proxy::start(broker.port()).await;
        let options = omnisight::link::Options {
            deliveries: DeliveryLimits { messages: 100_000, bytes: 64 << 20 },
            ..link_options(broker.port())
        };
        let mut receiver = Peer::spawn(&options, "receiver", None, &["t/#"]);
        receiver.send(Envelope::new(MessageClass::Presence, "t/ready", "{}"));
        receiver.until(|delivery| delivery.topic == "t/ready").await;
        let sender = Sender::start(&link_options(proxy.port()), "camera", None);
        let rounds = Arc::new(AtomicU32::new(0));
        let (router, counted) = (sender.router.clone(), Arc::clone(&rounds));
        let publishing = tokio::spawn(async move {
            let mut turn = tokio::time::interval(Duration::from_millis(100));
            loop {
                turn.tick().await;
                let round = counted.fetch_add(1, Ordering::SeqCst) + 1;
                for track in 0..TRACKS {
                    let payload = format!("{round:<TRACK_BYTES$}");
                    router.send(Envelope::new(MessageClass::Track, format!("t/track/{track}"), payload));
                }
            }
        });
        Self { proxy, sender, receiver, rounds, publishing: publishing.abort_handle(), _broker: broker }
    }

    async fn rate(&self, within: Duration, wanted: impl Fn(u32) -> bool) -> bool {
        let mut status = self.sender.link.status();
        timeout(within, status.wait_for(|status| wanted(status.track_rate_hz))).await.is_ok()
    }

    fn event(&self, topic: &str, priority: u8) {
        let payload = format!("{:<TRACK_BYTES$}", "{}");
        self.sender.router.send(Envelope { priority, ..Envelope::new(MessageClass::Event, topic, payload) });
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.publishing.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_slow_link_tracks_come_less_often_events_overtake_them_and_grave_ones_the_others() {
    const EVENTS: usize = 300;
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let kind = broker.kind();
        let mut bench = Bench::start(broker).await;
        let mut status = bench.sender.link.status();
        let mut rates = vec![status.borrow_and_update().track_rate_hz];
        bench.proxy.set(throttled(Some(SLOW_BYTES_PER_SECOND)));
        let mut first = None;
        let steps = async {
            while rates.last() != Some(&1) {
                status.changed().await.unwrap();
                let rate = status.borrow_and_update().track_rate_hz;
                if rates.last() != Some(&rate) {
                    rates.push(rate);
                    // Every track waits by now; behind all of them an event.
                    first.get_or_insert_with(|| {
                        bench.event("t/first", 0);
                        bench.rounds.load(Ordering::SeqCst)
                    });
                }
            }
        };
        assert!(timeout(DEADLINE, steps).await.is_ok(), "{kind:?}: {rates:?}");
        assert_eq!(rates, [10, 5, 2, 1], "{kind:?}");
        assert!(status.borrow().is_slow());
        let (round, mut younger) = (first.unwrap(), 0);
        loop {
            let delivery = bench.receiver.next().await;
            if delivery.topic == "t/first" {
                break;
            }
            let said = std::str::from_utf8(&delivery.payload).unwrap().trim().parse::<u32>();
            younger += u32::from(said.is_ok_and(|said| said > round));
        }
        assert!(
            younger < TRACKS,
            "{kind:?}: the event came behind {younger} tracks that left after it was sent"
        );
        for _ in 0..EVENTS {
            bench.event("t/event", 0);
        }
        bench.event("t/grave", 4);
        let mut before = 0;
        loop {
            match bench.receiver.next().await.topic.as_str() {
                "t/event" => before += 1,
                "t/grave" => break,
                _ => {}
            }
        }
        assert!(before < EVENTS / 2, "{kind:?}: {before} events came before the grave one");
        // By itself, a step at a time.
        bench.proxy.set(throttled(None));
        assert!(bench.rate(DEADLINE, |rate| rate == 2).await, "{kind:?}: it does not recover");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "full size: about a minute and a half"]
async fn full_a_link_that_was_slow_recovers_all_its_rate_by_itself() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let kind = broker.kind();
        let bench = Bench::start(broker).await;
        bench.proxy.set(throttled(Some(SLOW_BYTES_PER_SECOND)));
        assert!(bench.rate(DEADLINE, |rate| rate == 1).await);
        bench.proxy.set(throttled(None));
        let began = std::time::Instant::now();
        assert!(bench.rate(RECOVERED_WITHIN, |rate| rate == 10).await, "{kind:?}: it does not recover");
        eprintln!("{kind:?}: from 1 to 10 Hz in {:.1} s", began.elapsed().as_secs_f64());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_link_is_named_in_the_status() {
    for kind in kinds() {
        let broker = TestBroker::start(kind, Setup::default()).await;
        let proxy = Proxy::start(broker.port()).await;
        proxy.set(throttled(Some(8_000)));
        let link = busy::link("main", proxy.port(), "");
        // Twelve tracks, and no events, which would take all there is.
        let camera = busy::camera("gate", &format!("{link}\n[swarm]\npublish_severity = 'critical'"));
        let mut program = Program::start(&mut busy::command(&camera));
        let mut watch = Peer::watch_presence(broker.port());
        watch.presence(|status| modes(status).contains(&"link_slow")).await;
        proxy.set(throttled(None));
        assert_eq!(program.stop().await, Some(0), "{}", program.log());
    }
}
