//! Which broker the cameras of a site use, and which camera runs it, as a pure state machine.
//!
//! The rules, and why:
//!
//! 1. Brokers that run beat brokers that could. A camera with a smaller id that is switched on later does not
//!    take over: every change costs all cameras a reconnect, and none of them gains by it.
//! 2. Of several that run, one that was configured beats one that was elected (somebody meant it), then the
//!    smallest id wins. That rule looks at nothing but what is announced, so all who hear the same choose the
//!    same; whoever was elected and hears of a better one stops its own. So a partition may have two
//!    brokers, and has one again as soon as the two hear each other: that with the smaller id.
//! 3. Where none runs, the camera with the smallest id of those that would starts one. After its own start a
//!    camera listens for [`SETTLE`] first, so that three that are switched on together elect one. Every
//!    smaller id that is known and does not act costs [`PATIENCE`]: a camera that is dead and not yet
//!    forgotten, or can't, holds nobody up for longer. Should two start at once (they did not hear each
//!    other), rule 2 ends it.
//! 4. A broker is gone when mDNS says so (goodbye, time to live, no answer to [`Action::Verify`]) *and* the
//!    link to it is down. A link that is up is the better witness: multicast gets lost on busy switches and in
//!    radio networks. A link that goes down lets mDNS ask at once, so a camera that is gone is replaced after
//!    seconds and not after its records' time to live. (Whose power is cut breaks no connection: the link has a
//!    short keep alive for that, [`KEEP_ALIVE_MAX`](super::KEEP_ALIVE_MAX).)
//! 5. One that mDNS hears and the link does not reach is kept: to start another would split the site for the
//!    sake of one cable or firewall. Its camera shows the mode `broker_down` meanwhile.
//! 6. Who can't start its broker says so, and is not waited for; it may try again after [`HOLD_OFF`].
//! 7. What is said is said again every [`ANNOUNCE_EVERY`], so that what was lost comes.
//!
//! Announcements may come twice, late, in any order, or not at all: of one camera the newest counts, by its
//! start and its count of changes. Strangers of another site, and others beyond [`PEERS_MAX`], are counted and
//! forgotten. No randomness: ranks keep cameras apart.

// Addresses are values; nothing here opens a socket.
use core::net::SocketAddr;
use std::collections::BTreeMap;
use std::time::Duration;

use super::announcement::{Announcement, BrokerKind, Offer, Own};
use crate::base::Time;
use crate::model::CameraId;

/// Most others that are known; a site has one switch and not a thousand cameras on it.
pub const PEERS_MAX: usize = 256;
/// How long a camera listens after its start before it would run the broker.
pub(super) const SETTLE: Duration = Duration::from_secs(3);
/// How long each camera with a smaller id is waited for. Longer than the cameras' views of one loss lie apart:
/// a look at the links each second, and [`VERIFY_WITHIN`].
pub(super) const PATIENCE: Duration = Duration::from_secs(4);
/// More smaller ids than this are not waited for one by one.
const PATIENCE_MAX: u32 = 8;
/// What is so is announced again so often.
pub(super) const ANNOUNCE_EVERY: Duration = Duration::from_secs(20);
/// A broker that was just found may take this long until the link is up.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// How long mDNS may wait for an answer; it asks twice, a second apart.
pub(super) const VERIFY_WITHIN: Duration = Duration::from_secs(2);
/// Between two questions whether a broker is there whose link stays down.
const VERIFY_EVERY: Duration = Duration::from_secs(5);
/// A camera whose broker did not start, or failed, does not offer itself again before.
pub(super) const HOLD_OFF: Duration = Duration::from_mins(1);

/// Who takes part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// This camera.
    pub name: CameraId,
    /// Its site; empty when it has no name. Cameras of other sites are strangers.
    pub site: String,
    /// It looks for a broker. Who does not only announces itself.
    pub seeks: bool,
    /// It would run the broker.
    pub can_host: bool,
    /// The broker that it runs anyway, as it reaches it; others do at the same port.
    pub fixed: Option<SocketAddr>,
    /// Names of the network interfaces that are used; none: all.
    pub interfaces: Vec<String>,
}

/// What happens.
#[derive(Debug, Clone)]
pub enum Input {
    /// Somebody said this.
    Seen(Announcement),
    /// Somebody said goodbye, or is not heard any more.
    Gone(CameraId),
    /// Whether the link to the broker in use is up.
    Link(bool),
    /// What came of the broker of one's own.
    Broker(Broker),
    /// Time has passed.
    Tick,
}

/// The broker of one's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broker {
    /// It listens, and this camera reaches it here.
    Started(SocketAddr),
    /// It did not start, or ended by itself.
    Failed,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Start the broker, and say what came of it.
    StartBroker,
    /// Stop it.
    StopBroker,
    /// Let the link go there from now on.
    Use(Choice),
    /// Tell the others.
    Announce(Own),
    /// Ask whether this one is still there; [`Input::Gone`] if it does not answer.
    Verify(CameraId),
}

/// The broker in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Whose it is.
    pub name: CameraId,
    /// Why it runs.
    pub kind: BrokerKind,
    /// Where it is, as this camera reaches it.
    pub address: SocketAddr,
    /// Since when it is used.
    pub since: Time,
}

/// What was counted since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Another broker was chosen, the first one included.
    pub changes: u64,
    /// This camera began to run the broker.
    pub terms: u64,
    /// Announcements of other sites.
    pub other_sites: u64,
    /// Announcements with this camera's own id that are not its own.
    pub same_id: u64,
    /// Announcements beyond [`PEERS_MAX`].
    pub beyond_limit: u64,
}

/// How it stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// The broker in use; it stays until there is another.
    pub broker: Option<Choice>,
    /// Nobody is known who runs one.
    pub searching: bool,
    /// It is this camera's, by election.
    pub hosting: bool,
    /// Others of the site that are known.
    pub peers: usize,
    /// What was counted.
    pub counters: Counters,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hosting {
    No,
    Starting,
    Yes(SocketAddr),
}

#[derive(Debug)]
struct Peer {
    said: Announcement,
    /// mDNS does not hear it any more; kept while its link is up.
    gone: bool,
}

#[derive(Debug, Clone, Copy)]
struct Link {
    up: bool,
    /// While it is down: when to ask for the broker next.
    verify_at: Time,
}

/// See the module.
#[derive(Debug)]
pub struct Election {
    options: Options,
    started: Time,
    peers: BTreeMap<CameraId, Peer>,
    hosting: Hosting,
    /// It does not offer itself before.
    held_off: Option<Time>,
    vacant_since: Option<Time>,
    choice: Option<Choice>,
    link: Link,
    said: Own,
    announce_at: Time,
    counters: Counters,
}

impl Election {
    /// Begins now: it listens first.
    pub fn new(options: Options, now: Time) -> Self {
        Self {
            options,
            started: now,
            peers: BTreeMap::new(),
            hosting: Hosting::No,
            held_off: None,
            vacant_since: None,
            choice: None,
            link: Link { up: false, verify_at: now },
            said: Own::default(),
            announce_at: now,
            counters: Counters::default(),
        }
    }

    /// Takes one input; what is to be done is done in order.
    pub fn handle(&mut self, input: Input, now: Time, actions: &mut Vec<Action>) {
        match input {
            Input::Seen(said) => self.seen(said),
            Input::Gone(name) => {
                if let Some(peer) = self.peers.get_mut(&name) {
                    peer.gone = true;
                }
            }
            Input::Link(up) => {
                if self.link.up && !up {
                    self.link.verify_at = now;
                }
                self.link.up = up;
            }
            Input::Broker(Broker::Started(address)) => match self.hosting {
                Hosting::Starting => {
                    self.hosting = Hosting::Yes(address);
                    self.counters.terms += 1;
                }
                // Somebody better was found meanwhile.
                Hosting::No => actions.push(Action::StopBroker),
                Hosting::Yes(_) => {}
            },
            Input::Broker(Broker::Failed) => {
                self.hosting = Hosting::No;
                self.held_off = Some(now + HOLD_OFF);
            }
            Input::Tick => {}
        }
        self.forget();
        self.decide(now, actions);
        self.announce(now, actions);
        self.verify(now, actions);
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        Standing {
            broker: self.choice.clone(),
            searching: self.options.seeks && self.best().is_none(),
            hosting: matches!(self.hosting, Hosting::Yes(_)),
            peers: self.peers.len(),
            counters: self.counters,
        }
    }

    fn seen(&mut self, said: Announcement) {
        if said.site != self.options.site {
            self.counters.other_sites += 1;
            return;
        }
        if said.name == self.options.name {
            self.counters.same_id += 1;
            return;
        }
        if let Some(peer) = self.peers.get_mut(&said.name) {
            if (said.boot_ms, said.change) >= (peer.said.boot_ms, peer.said.change) {
                *peer = Peer { said, gone: false };
            }
        } else if self.peers.len() < PEERS_MAX || self.make_room_for(&said) {
            self.peers.insert(said.name.clone(), Peer { said, gone: false });
        } else {
            self.counters.beyond_limit += 1;
        }
    }

    /// A broker is worth more than somebody who only could run one.
    fn make_room_for(&mut self, said: &Announcement) -> bool {
        let idle = |(_, peer): &(&CameraId, &Peer)| peer.said.broker.is_none();
        let last = self.peers.iter().rev().find(idle).map(|(name, _)| name.clone());
        let Some(name) = last.filter(|_| said.broker.is_some()) else { return false };
        self.counters.beyond_limit += 1;
        self.peers.remove(&name);
        true
    }

    /// Forgets those who are gone, but for the broker that the link still reaches.
    fn forget(&mut self) {
        let reached = self.choice.as_ref().filter(|_| self.link.up).map(|choice| &choice.name);
        self.peers.retain(|name, peer| !peer.gone || Some(name) == reached);
    }

    /// The broker that everybody should use, by what is known here.
    fn best(&self) -> Option<(Offer, &CameraId)> {
        let others = self.peers.iter().filter_map(|(name, peer)| Some((peer.said.broker?, name)));
        let fixed = self.options.fixed.map(|address| Offer { kind: BrokerKind::Fixed, address });
        let elected = match self.hosting {
            Hosting::Yes(address) => Some(Offer { kind: BrokerKind::Elected, address }),
            Hosting::No | Hosting::Starting => None,
        };
        let own = fixed.or(elected).map(|offer| (offer, &self.options.name));
        others.chain(own).min_by_key(|(offer, name)| (offer.kind, *name))
    }

    fn decide(&mut self, now: Time, actions: &mut Vec<Action>) {
        if !self.options.seeks {
            return;
        }
        if self.held_off.is_some_and(|until| now >= until) {
            self.held_off = None;
        }
        let Some((Offer { kind, address }, name)) = self.best() else { return self.stand(now, actions) };
        let name = name.clone();
        self.vacant_since = None;
        if name != self.options.name && self.hosting != Hosting::No {
            // First the word, so that others need not find out.
            let stops = matches!(self.hosting, Hosting::Yes(_));
            self.hosting = Hosting::No;
            self.announce(now, actions);
            actions.extend(stops.then_some(Action::StopBroker));
        }
        let same = |choice: &Choice| choice.name == name && choice.address == address && choice.kind == kind;
        if !self.choice.as_ref().is_some_and(same) {
            let choice = Choice { name, kind, address, since: now };
            self.choice = Some(choice.clone());
            self.link = Link { up: false, verify_at: now + CONNECT_WITHIN };
            self.counters.changes += 1;
            actions.push(Action::Use(choice));
        }
    }

    /// Nobody runs a broker: does so when it is this camera's turn.
    fn stand(&mut self, now: Time, actions: &mut Vec<Action>) {
        let vacant_since = *self.vacant_since.get_or_insert(now);
        let smaller = self.peers.range(..self.options.name.clone());
        let before = smaller.filter(|(_, peer)| peer.said.can_host).count();
        let before = u32::try_from(before).unwrap_or(PATIENCE_MAX).min(PATIENCE_MAX);
        let turn = vacant_since.max(self.started + SETTLE) + PATIENCE * before;
        if self.would_host() && self.hosting == Hosting::No && now >= turn {
            self.hosting = Hosting::Starting;
            actions.push(Action::StartBroker);
        }
    }

    fn would_host(&self) -> bool {
        let Options { seeks, can_host, fixed, .. } = &self.options;
        *seeks && *can_host && fixed.is_none() && self.held_off.is_none()
    }

    fn announce(&mut self, now: Time, actions: &mut Vec<Action>) {
        let broker = match (self.options.fixed, self.hosting) {
            (Some(address), _) => Some((BrokerKind::Fixed, address.port())),
            (None, Hosting::Yes(address)) => Some((BrokerKind::Elected, address.port())),
            (None, Hosting::No | Hosting::Starting) => None,
        };
        let mut own = Own { broker, can_host: self.would_host(), ..self.said };
        if own != self.said {
            own.change += 1;
        } else if now < self.announce_at {
            return;
        }
        self.said = own;
        self.announce_at = now + ANNOUNCE_EVERY;
        actions.push(Action::Announce(own));
    }

    /// Asks for a broker that the link does not reach.
    fn verify(&mut self, now: Time, actions: &mut Vec<Action>) {
        let Some(choice) = &self.choice else { return };
        if !self.link.up && self.peers.contains_key(&choice.name) && now >= self.link.verify_at {
            self.link.verify_at = now + VERIFY_EVERY;
            actions.push(Action::Verify(choice.name.clone()));
        }
    }
}
