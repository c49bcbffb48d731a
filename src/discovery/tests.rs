//! Several elections on a switch in virtual time: announcements are lost, doubled, late and out of order,
//! cameras die and come back, the switch is cut in two.

use core::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::election::{ANNOUNCE_EVERY, HOLD_OFF, SETTLE};
use super::*;
use crate::base::Time;
use crate::model::CameraId;

/// The model's step, and how often a camera looks at its link.
const STEP_MS: u64 = 50;
const LOOK_MS: u64 = 250;
/// How long mDNS remembers who is not heard.
const TTL_MS: u64 = 120_000;
const VERIFIED_MS: u64 = 2_000;
const LATEST_MS: u64 = 800;
/// After a start mDNS asks for what the others said, less and less often.
const QUERIES_MS: [u64; 4] = [0, 1_000, 3_000, 7_000];

fn name(index: usize) -> CameraId {
    CameraId::parse(&format!("camera-{index}")).unwrap()
}

fn address(index: usize) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(10, 0, 0, index as u8 + 1), 1883))
}

fn options(index: usize) -> Options {
    Options {
        name: name(index),
        site: "plaza".into(),
        seeks: true,
        can_host: true,
        fixed: None,
        interfaces: Vec::new(),
    }
}

struct Node {
    election: Election,
    boot_ms: u64,
    alive: bool,
    /// Its broker runs.
    serves: bool,
    can_start: bool,
    uses: Option<usize>,
    /// What it said last.
    said: Option<Own>,
    /// Which half of the switch it is on.
    half: u8,
}

struct Site {
    now_ms: u64,
    nodes: Vec<Node>,
    /// When, to whom, what.
    under_way: Vec<(u64, usize, Input)>,
    /// When, and who asks all for what they said.
    queries: Vec<(u64, usize)>,
    loss: f64,
    rng: Pcg64Mcg,
}

impl Site {
    fn new(count: usize, seed: u64) -> Self {
        let nodes = (0..count).map(|index| Node {
            election: Election::new(options(index), Time::default()),
            boot_ms: 0,
            alive: false,
            serves: false,
            can_start: true,
            uses: None,
            said: None,
            half: 0,
        });
        let rng = Pcg64Mcg::seed_from_u64(seed);
        Self {
            now_ms: 1_000,
            nodes: nodes.collect(),
            under_way: Vec::new(),
            queries: Vec::new(),
            loss: 0.0,
            rng,
        }
    }

    fn now(&self) -> Time {
        Time { mono_ns: self.now_ms * 1_000_000, epoch_ms: self.now_ms }
    }

    fn switch_on(&mut self, index: usize) {
        self.switch_on_as(index, options(index));
    }

    fn switch_on_as(&mut self, index: usize, options: Options) {
        let (now, now_ms) = (self.now(), self.now_ms);
        let node = &mut self.nodes[index];
        node.serves = options.fixed.is_some();
        node.election = Election::new(options, now);
        (node.boot_ms, node.alive, node.uses, node.said) = (now_ms, true, None, None);
        self.under_way.retain(|(_, to, _)| *to != index);
        self.queries.retain(|(_, asker)| *asker != index);
        self.queries.extend(QUERIES_MS.map(|after_ms| (now_ms + after_ms, index)));
        self.give(index, Input::Tick);
    }

    /// As a power cut does it.
    fn kill(&mut self, index: usize) {
        (self.nodes[index].alive, self.nodes[index].serves) = (false, false);
        self.forgotten_by_all(index, TTL_MS);
    }

    fn stop_in_order(&mut self, index: usize) {
        self.kill(index);
        self.forgotten_by_all(index, 1);
    }

    fn forgotten_by_all(&mut self, index: usize, after_ms: u64) {
        for to in 0..self.nodes.len() {
            self.under_way.push((self.now_ms + after_ms, to, Input::Gone(name(index))));
        }
    }

    /// Cuts the switch between those of lower and of higher index.
    fn cut_at(&mut self, first: usize) {
        for index in 0..self.nodes.len() {
            self.nodes[index].half = u8::from(index >= first);
            self.forgotten_by_all(index, TTL_MS);
        }
    }

    fn heal(&mut self) {
        self.nodes.iter_mut().for_each(|node| node.half = 0);
    }

    fn reaches(&self, from: usize, to: usize) -> bool {
        let [from, to] = [&self.nodes[from], &self.nodes[to]];
        from.alive && to.alive && from.half == to.half
    }

    fn is_linked(&self, index: usize) -> bool {
        self.nodes[index].uses.is_some_and(|to| self.nodes[to].serves && self.reaches(index, to))
    }

    fn give(&mut self, index: usize, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let (now, mut actions) = (self.now(), Vec::new());
            self.nodes[index].election.handle(input, now, &mut actions);
            for action in actions {
                inputs.extend(self.act(index, action));
            }
        }
    }

    fn act(&mut self, index: usize, action: Action) -> Option<Input> {
        match action {
            Action::StartBroker => {
                let started = self.nodes[index].can_start;
                self.nodes[index].serves = started;
                let came = if started { Broker::Started(address(index)) } else { Broker::Failed };
                return Some(Input::Broker(came));
            }
            Action::StopBroker => self.nodes[index].serves = false,
            Action::Use(choice) => {
                self.nodes[index].uses = (0..self.nodes.len()).find(|other| name(*other) == choice.name);
            }
            Action::Announce(own) => {
                self.nodes[index].said = Some(own);
                // mDNS says everything twice; some of it arrives more often.
                for _ in 0..self.rng.random_range(2..4) {
                    self.say(index);
                }
            }
            Action::Verify(asked) => {
                let asked_index = (0..self.nodes.len()).find(|other| name(*other) == asked);
                if !asked_index.is_some_and(|other| self.reaches(index, other)) {
                    self.under_way.push((self.now_ms + VERIFIED_MS, index, Input::Gone(asked)));
                }
            }
        }
        None
    }

    /// Multicasts what `index` said last.
    fn say(&mut self, index: usize) {
        let Node { boot_ms, said: Some(own), .. } = self.nodes[index] else { return };
        let said = Announcement {
            name: name(index),
            site: "plaza".into(),
            boot_ms,
            change: own.change,
            can_host: own.can_host,
            broker: own.broker.map(|(kind, _)| Offer { kind, address: address(index) }),
        };
        for to in (0..self.nodes.len()).filter(|to| *to != index) {
            if self.reaches(index, to) && !self.rng.random_bool(self.loss) {
                let due_ms = self.now_ms + self.rng.random_range(0..LATEST_MS);
                self.under_way.push((due_ms, to, Input::Seen(said.clone())));
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        let until_ms = self.now_ms + time.as_millis() as u64;
        while self.now_ms < until_ms {
            self.now_ms += STEP_MS;
            let now_ms = self.now_ms;
            let due: Vec<_> = self.under_way.extract_if(.., |(due_ms, ..)| *due_ms <= now_ms).collect();
            for (_, to, input) in due {
                // Nobody is forgotten who can be heard, or asked.
                let heard = |site: &Self, of: &CameraId| {
                    (0..site.nodes.len()).any(|other| name(other) == *of && site.reaches(to, other))
                };
                let false_alarm = matches!(&input, Input::Gone(of) if heard(self, of));
                if self.nodes[to].alive && !false_alarm {
                    self.give(to, input);
                }
            }
            let asking: Vec<_> = self.queries.extract_if(.., |(due_ms, _)| *due_ms <= now_ms).collect();
            for (_, asker) in asking {
                for other in 0..self.nodes.len() {
                    if other != asker && self.reaches(asker, other) && !self.rng.random_bool(self.loss) {
                        self.say(other);
                    }
                }
            }
            if self.now_ms.is_multiple_of(LOOK_MS) {
                for index in (0..self.nodes.len()).filter(|i| self.nodes[*i].alive).collect::<Vec<_>>() {
                    self.give(index, Input::Link(self.is_linked(index)));
                }
            }
        }
    }

    /// Passes time until all who are alive use one broker that runs, and no other does; how long it took.
    fn agree_within(&mut self, within: Duration) -> Result<(usize, Duration), String> {
        let began_ms = self.now_ms;
        loop {
            if let Some(broker) = self.agreed() {
                return Ok((broker, Duration::from_millis(self.now_ms - began_ms)));
            }
            if self.now_ms - began_ms > within.as_millis() as u64 {
                let shown: Vec<_> = self.nodes.iter().map(|n| (n.alive, n.serves, n.uses)).collect();
                return Err(format!("no agreement within {within:?}: (alive, serves, uses) {shown:?}"));
            }
            self.pass(Duration::from_millis(STEP_MS));
        }
    }

    fn agreed(&self) -> Option<usize> {
        let alive: Vec<usize> = (0..self.nodes.len()).filter(|i| self.nodes[*i].alive).collect();
        let broker = self.nodes[*alive.first()?].uses?;
        let elected = |i: &&usize| self.nodes[**i].election.standing().hosting;
        let all = alive.iter().all(|i| self.nodes[*i].uses == Some(broker) && self.is_linked(*i));
        (all && alive.iter().filter(elected).count() <= 1).then_some(broker)
    }

    fn terms(&self) -> u64 {
        self.nodes.iter().map(|node| node.election.standing().counters.terms).sum()
    }
}

fn on_together(count: usize) -> Site {
    let mut site = Site::new(count, 1);
    (0..count).for_each(|index| site.switch_on(index));
    site
}

fn settled(count: usize) -> Site {
    let mut site = on_together(count);
    assert_eq!(site.agree_within(Duration::from_secs(10)).unwrap().0, 0);
    // Nothing that was said before is still under way.
    site.pass(Duration::from_secs(2));
    site
}

#[test]
fn three_that_are_switched_on_together_elect_the_smallest_id_and_no_other_ever_ran_a_broker() {
    let mut site = on_together(3);
    let (broker, took) = site.agree_within(Duration::from_secs(10)).unwrap();
    assert_eq!((broker, site.terms()), (0, 1));
    assert!(took <= SETTLE + Duration::from_secs(2), "{took:?}");
}

#[test]
fn one_camera_alone_runs_its_broker_after_it_has_listened() {
    let mut site = on_together(1);
    site.pass(SETTLE.saturating_sub(Duration::from_millis(2 * LOOK_MS)));
    assert!(site.nodes[0].election.standing().searching);
    assert_eq!(site.agree_within(Duration::from_secs(1)).unwrap().0, 0);
    assert!(!site.nodes[0].election.standing().searching);
}

#[test]
fn a_camera_with_a_smaller_id_that_comes_later_uses_the_broker_that_runs() {
    let mut site = Site::new(3, 1);
    site.switch_on(1);
    site.switch_on(2);
    assert_eq!(site.agree_within(Duration::from_secs(10)).unwrap().0, 1);
    site.switch_on(0);
    site.pass(Duration::from_mins(1));
    assert_eq!((site.agreed(), site.terms()), (Some(1), 1));
}

#[test]
fn when_the_elected_camera_loses_its_power_the_next_one_takes_over_within_seconds() {
    let mut site = settled(3);
    site.kill(0);
    let (broker, took) = site.agree_within(Duration::from_mins(1)).unwrap();
    assert_eq!(broker, 1);
    assert!(took <= Duration::from_secs(6), "{took:?}");
    // It comes back, and is one of them.
    site.switch_on(0);
    site.pass(Duration::from_secs(200));
    assert_eq!((site.agreed(), site.terms()), (Some(1), 1), "the term of the first went with it");
}

#[test]
fn when_the_elected_camera_says_goodbye_the_next_one_takes_over_at_once() {
    let mut site = settled(3);
    site.stop_in_order(0);
    let (broker, took) = site.agree_within(Duration::from_mins(1)).unwrap();
    assert_eq!(broker, 1);
    assert!(took <= Duration::from_secs(2), "{took:?}");
}

#[test]
fn a_switch_that_was_cut_in_two_has_two_brokers_and_one_when_it_is_whole_again() {
    let mut site = settled(4);
    site.cut_at(2);
    site.pass(Duration::from_secs(30));
    assert_eq!(site.nodes.iter().map(|node| node.uses).collect::<Vec<_>>(), [0, 0, 2, 2].map(Some));
    site.heal();
    let (broker, took) = site.agree_within(Duration::from_mins(1)).unwrap();
    assert_eq!(broker, 0);
    assert!(took <= ANNOUNCE_EVERY + Duration::from_secs(2), "{took:?}");
    assert!(!site.nodes[2].serves);
}

#[test]
fn a_camera_that_cannot_start_its_broker_says_so_and_the_next_one_does() {
    let mut site = Site::new(3, 1);
    site.nodes[0].can_start = false;
    (0..3).for_each(|index| site.switch_on(index));
    let (broker, took) = site.agree_within(Duration::from_mins(1)).unwrap();
    assert_eq!(broker, 1);
    assert!(took <= SETTLE + Duration::from_secs(2), "{took:?}");
}

#[test]
fn a_broker_that_was_configured_is_used_by_all_and_the_elected_one_stops() {
    let mut site = settled(3);
    site.switch_on_as(2, Options { fixed: Some(address(2)), ..options(2) });
    assert_eq!(site.agree_within(Duration::from_mins(1)).unwrap().0, 2);
    assert!(!site.nodes[0].serves);
}

#[test]
fn a_camera_that_would_not_host_is_not_waited_for() {
    let mut site = Site::new(2, 1);
    site.switch_on_as(0, Options { can_host: false, ..options(0) });
    site.switch_on(1);
    let (broker, took) = site.agree_within(Duration::from_mins(1)).unwrap();
    assert_eq!(broker, 1);
    assert!(took <= SETTLE + Duration::from_secs(2), "{took:?}");
}

#[test]
fn a_broker_that_is_only_not_heard_is_kept_while_the_link_is_up() {
    let mut site = settled(2);
    site.give(1, Input::Gone(name(0)));
    site.pass(Duration::from_secs(5));
    assert_eq!(site.agreed(), Some(0));
}

#[test]
fn a_broker_that_is_heard_and_not_reached_is_asked_for_and_not_replaced() {
    let mut site = settled(2);
    site.nodes[0].serves = false;
    site.pass(Duration::from_mins(1));
    assert_eq!((site.nodes[1].uses, site.nodes[1].serves), (Some(0), false));
}

/// One election that has heard nothing yet.
fn alone() -> (Election, Time) {
    let now = Time { mono_ns: 1_000_000_000, epoch_ms: 1_000 };
    (Election::new(options(500), now), now)
}

fn said(name: &str, change: u32, broker: Option<BrokerKind>) -> Announcement {
    Announcement {
        name: CameraId::parse(name).unwrap(),
        site: "plaza".into(),
        boot_ms: 5,
        change,
        can_host: true,
        broker: broker.map(|kind| Offer { kind, address: address(9) }),
    }
}

#[test]
fn who_does_not_look_for_a_broker_announces_itself_and_does_nothing_else() {
    let now = Time { mono_ns: 1_000_000_000, epoch_ms: 1_000 };
    let mut election = Election::new(Options { seeks: false, ..options(0) }, now);
    let mut actions = Vec::new();
    election.handle(Input::Tick, now, &mut actions);
    election.handle(Input::Seen(said("a", 1, Some(BrokerKind::Elected))), now, &mut actions);
    election.handle(Input::Tick, now + SETTLE * 10, &mut actions);
    let silent = Own::default();
    assert_eq!(actions, [Action::Announce(silent), Action::Announce(silent)]);
    assert!(!election.standing().searching);
}

#[test]
fn cameras_of_another_site_and_one_with_our_own_id_are_counted_and_ignored() {
    let (mut election, now) = alone();
    let mut actions = Vec::new();
    let stranger = Announcement { site: "harbour".into(), ..said("a", 1, Some(BrokerKind::Fixed)) };
    election.handle(Input::Seen(stranger), now, &mut actions);
    election.handle(Input::Seen(said("camera-500", 1, Some(BrokerKind::Fixed))), now, &mut actions);
    let standing = election.standing();
    assert_eq!((standing.counters.other_sites, standing.counters.same_id, standing.peers), (1, 1, 0));
    assert!(standing.searching && standing.broker.is_none());
    assert!(actions.iter().all(|action| matches!(action, Action::Announce(_))), "{actions:?}");
}

#[test]
fn an_announcement_that_comes_late_changes_nothing() {
    let (mut election, now) = alone();
    let mut actions = Vec::new();
    for change in [2, 2, 1] {
        let broker = (change == 1).then_some(BrokerKind::Elected);
        election.handle(Input::Seen(said("a", change, broker)), now, &mut actions);
    }
    assert!(election.standing().searching);
    let restarted = Announcement { boot_ms: 6, ..said("a", 1, Some(BrokerKind::Elected)) };
    election.handle(Input::Seen(restarted), now, &mut actions);
    assert_eq!(election.standing().broker.unwrap().name.as_str(), "a");
}

#[test]
fn of_a_flood_of_cameras_a_bounded_number_is_known_and_a_broker_is_not_lost_in_it() {
    let (mut election, now) = alone();
    let mut actions = Vec::new();
    for index in 0..2 * PEERS_MAX {
        election.handle(Input::Seen(said(&format!("flood-{index}"), 1, None)), now, &mut actions);
    }
    election.handle(Input::Seen(said("real", 1, Some(BrokerKind::Elected))), now, &mut actions);
    let standing = election.standing();
    assert_eq!((standing.peers, standing.counters.beyond_limit), (PEERS_MAX, PEERS_MAX as u64 + 1));
    assert_eq!(standing.broker.unwrap().name.as_str(), "real");
}

/// What happens to a site before it is left alone.
#[derive(Debug, Clone)]
enum Mishap {
    Kill(usize),
    SwitchOn(usize),
    Stop(usize),
    Cut(usize),
    Heal,
    BrokerFails(usize),
}

fn mishap() -> impl Strategy<Value = Mishap> {
    prop_oneof![
        3 => (0..5_usize).prop_map(Mishap::Kill),
        3 => (0..5_usize).prop_map(Mishap::SwitchOn),
        1 => (0..5_usize).prop_map(Mishap::Stop),
        1 => (1..5_usize).prop_map(Mishap::Cut),
        1 => Just(Mishap::Heal),
        1 => (0..5_usize).prop_map(Mishap::BrokerFails),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happened_all_who_are_left_come_to_use_one_broker_and_stay_with_it(
        count in 1..6_usize,
        seed: u64,
        loss in 0.0..0.5_f64,
        starts in proptest::collection::vec(0..5_000_u64, 5),
        mishaps in proptest::collection::vec((0..20_000_u64, mishap()), 0..10),
    ) {
        let mut site = Site::new(count, seed);
        site.loss = loss;
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by_key(|index| starts[*index]);
        for index in order {
            let wait_ms = (1_000 + starts[index]).saturating_sub(site.now_ms);
            site.pass(Duration::from_millis(wait_ms));
            site.switch_on(index);
        }
        for (wait_ms, mishap) in mishaps {
            site.pass(Duration::from_millis(wait_ms));
            match mishap {
                Mishap::Kill(index) if index < count => site.kill(index),
                Mishap::SwitchOn(index) if index < count && !site.nodes[index].alive => site.switch_on(index),
                Mishap::Stop(index) if index < count => site.stop_in_order(index),
                Mishap::Cut(first) => site.cut_at(first),
                Mishap::Heal => site.heal(),
                Mishap::BrokerFails(index) if index < count && site.nodes[index].serves => {
                    site.nodes[index].serves = false;
                    site.give(index, Input::Broker(Broker::Failed));
                }
                _ => {}
            }
        }
        site.loss = 0.0;
        site.heal();
        if !site.nodes.iter().any(|node| node.alive) {
            site.switch_on(0);
        }
        // A term that failed is not tried again for a minute; who died unnoticed costs patience.
        let settled = site.agree_within(HOLD_OFF + Duration::from_mins(1));
        prop_assert!(settled.is_ok(), "{settled:?}");
        // What was lost before is said again, and then nothing changes any more.
        site.pass(ANNOUNCE_EVERY * 2);
        let (agreed, terms) = (site.agreed(), site.terms());
        prop_assert!(agreed.is_some());
        site.pass(Duration::from_mins(3));
        prop_assert_eq!((site.agreed(), site.terms()), (agreed, terms));
    }
}
