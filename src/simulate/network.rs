//! The broker and the ways to it: who gets a message, when, and how often.
//!
//! A track goes to those who listen to its camera's tracks, everything else to all. At `QoS` 0 a message may
//! be lost; what has a higher one is sent again after [`AGAIN_US`], and what a partition holds up comes when it
//! ends. Any message may come twice. Each way takes a random time, so messages overtake one another, which
//! is worse than a broker is.
//!
//! What the cameras give is one [`Mail`], step by step, which each of them goes through afterwards, taking what
//! is for it. What happens on the way of a copy is a function of the seed, the message's number and the
//! receiver ([`Chance`]), so that they may do it in any order, at the same time, and some steps later.

use std::collections::BTreeSet;
use std::ops::AddAssign;
use std::sync::Arc;

use super::Options;
use super::world::{World, micros};
use crate::model::{Delivery, MessageClass, Qos};
use crate::swarm::Opened;

/// A lost message with an acknowledgement is sent again after this.
const AGAIN_US: u64 = 1_000_000;
/// What waited for the end of a partition comes within this after it.
const RUSH_US: u64 = 500_000;

/// A message on its way.
#[derive(Debug)]
pub(super) enum Letter {
    /// As bytes.
    Sealed(Delivery),
    /// Opened already.
    Opened(Opened),
}

/// Somebody's copy of it.
#[derive(Debug, Clone)]
pub(super) struct Arrival {
    pub(super) at_us: u64,
    /// Rises with every message of the site, and from copy to copy.
    number: u64,
    /// Whoever reads it may say something about it at once.
    pub(super) asks: bool,
    pub(super) letter: Arc<Letter>,
}

// Sooner is greater: `BinaryHeap` gives the greatest first.
impl Ord for Arrival {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.at_us, other.number).cmp(&(self.at_us, self.number))
    }
}

impl PartialOrd for Arrival {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Arrival {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Arrival {}

/// A message that a camera gives to the network.
#[derive(Debug)]
pub(super) struct Post {
    pub(super) at_us: u64,
    pub(super) letter: Letter,
    pub(super) class: MessageClass,
    pub(super) qos: Qos,
    pub(super) bytes: usize,
}

impl Post {
    /// Whether who gets it may say something about it at once, as of an event and of a vote. Tracks and presence
    /// are taken in, and what they change about what is said shows in the next scene or tick.
    fn asks(&self) -> bool {
        !matches!(self.class, MessageClass::Track | MessageClass::Presence)
    }
}

/// The same, with its number on the site.
#[derive(Debug)]
struct Sent {
    from: usize,
    number: u64,
    at_us: u64,
    qos: Qos,
    asks: bool,
    letter: Arc<Letter>,
}

/// Whose tracks a camera listens to.
#[derive(Debug, Clone, Default)]
pub(super) struct Listening {
    pub(super) to_all: bool,
    pub(super) to_each: BTreeSet<usize>,
}

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counted {
    /// Messages given to the network.
    pub(super) sent: u64,
    /// Their bytes.
    pub(super) bytes: u64,
    /// Track messages among them, and their bytes.
    pub(super) tracks: u64,
    pub(super) track_bytes: u64,
    /// Copies that it gives out: those of tracks, and all others.
    pub(super) track_copies: u64,
    pub(super) other_copies: u64,
    /// Copies lost for good.
    pub(super) lost: u64,
    /// Copies given out twice.
    pub(super) repeated: u64,
}

impl AddAssign for Counted {
    fn add_assign(&mut self, more: Self) {
        self.sent += more.sent;
        self.bytes += more.bytes;
        self.tracks += more.tracks;
        self.track_bytes += more.track_bytes;
        self.track_copies += more.track_copies;
        self.other_copies += more.other_copies;
        self.lost += more.lost;
        self.repeated += more.repeated;
    }
}

/// What all cameras gave to the network in one step.
#[derive(Debug, Default)]
struct Step {
    /// In the order of their cameras, and where each camera's begin.
    tracks: Vec<Sent>,
    begins: Vec<usize>,
    others: Vec<Sent>,
}

impl Step {
    fn tracks_of(&self, camera: usize) -> &[Sent] {
        let begin = self.begins.get(camera).copied().unwrap_or(self.tracks.len());
        let end = self.begins.get(camera + 1).copied().unwrap_or(self.tracks.len());
        &self.tracks[begin..end]
    }
}

/// What all cameras gave to the network since everybody last had taken everything.
#[derive(Debug, Default)]
pub(super) struct Mail {
    /// Steps that everybody has taken.
    taken: usize,
    steps: Vec<Step>,
    /// Messages of the run so far.
    number: u64,
    pub(super) counted: Counted,
}

impl Mail {
    /// Forgets what everybody has taken.
    pub(super) fn clear(&mut self) {
        self.taken += self.steps.len();
        self.steps.clear();
    }

    /// What is given from now on is of another step.
    pub(super) fn begin_step(&mut self) {
        self.steps.push(Step::default());
    }

    /// Takes what the next camera of the step gives.
    pub(super) fn collect(&mut self, from: usize, posts: &mut Vec<Post>) {
        let Some(step) = self.steps.last_mut() else { return };
        step.begins.resize(from + 1, step.tracks.len());
        for post in posts.drain(..) {
            self.number += 1;
            let asks = post.asks();
            let Post { at_us, letter, class, qos, bytes } = post;
            let counted = &mut self.counted;
            (counted.sent, counted.bytes) = (counted.sent + 1, counted.bytes + bytes as u64);
            let sent = Sent { from, number: self.number, at_us, qos, asks, letter: Arc::new(letter) };
            if class == MessageClass::Track {
                (counted.tracks, counted.track_bytes) =
                    (counted.tracks + 1, counted.track_bytes + bytes as u64);
                step.tracks.push(sent);
            } else {
                step.others.push(sent);
            }
        }
    }

    /// Whether anything of the last step may make somebody say something.
    pub(super) fn asks(&self) -> bool {
        self.steps.last().is_some_and(|step| step.others.iter().any(|sent| sent.asks))
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Network {
    seed: u64,
    loss: f64,
    duplicate: f64,
    least_us: u64,
    most_us: u64,
    partition_us: (u64, u64),
    beyond: Vec<bool>,
}

impl Network {
    pub(super) fn new(options: &Options, world: &World) -> Self {
        let faults = &options.faults;
        let least_us = micros(faults.delay.0).max(1_000);
        Self {
            seed: options.seed ^ 0x6e_6574,
            loss: faults.loss,
            duplicate: faults.duplicate,
            least_us,
            most_us: micros(faults.delay.1).max(least_us),
            partition_us: partition_us(options),
            beyond: (0..options.cameras).map(|camera| world.is_beyond(camera)).collect(),
        }
    }

    /// The shortest way: what one camera does is nothing to another before it.
    pub(super) fn least_us(&self) -> u64 {
        self.least_us
    }

    /// Tells a camera what is to come to it of the mail, copy by copy, after the steps that it has `taken`; what of
    /// that was counted.
    pub(super) fn hand_out(
        &self,
        mail: &Mail,
        taken: &mut usize,
        to: usize,
        listening: &Listening,
        mut arrive: impl FnMut(Arrival),
    ) -> Counted {
        let mut counted = Counted::default();
        for step in mail.steps.iter().skip(taken.saturating_sub(mail.taken)) {
            if listening.to_all {
                step.tracks.iter().for_each(|sent| self.copies(sent, to, &mut counted, &mut arrive));
            } else {
                let tracks = listening.to_each.iter().flat_map(|from| step.tracks_of(*from));
                tracks.for_each(|sent| self.copies(sent, to, &mut counted, &mut arrive));
            }
            step.others.iter().for_each(|sent| self.copies(sent, to, &mut counted, &mut arrive));
        }
        *taken = mail.taken + mail.steps.len();
        counted
    }

    fn copies(&self, sent: &Sent, to: usize, counted: &mut Counted, arrive: &mut impl FnMut(Arrival)) {
        if sent.from == to {
            return;
        }
        let mut chance = Chance::new(self.seed, sent.number, to);
        let copies = 1 + u64::from(chance.happens(self.duplicate));
        counted.repeated += copies - 1;
        for copy in 0..copies {
            let Some(at_us) = self.way(sent, to, &mut chance) else {
                counted.lost += 1;
                continue;
            };
            *(if sent.qos == Qos::AtMostOnce {
                &mut counted.track_copies
            } else {
                &mut counted.other_copies
            }) += 1;
            let (number, letter) = (2 * sent.number + copy, Arc::clone(&sent.letter));
            arrive(Arrival { at_us, number, asks: sent.asks, letter });
        }
    }

    /// When a copy arrives, if it does.
    fn way(&self, sent: &Sent, to: usize, chance: &mut Chance) -> Option<u64> {
        let (cut_us, healed_us) = self.partition_us;
        let mut way_us = chance.between(self.least_us, self.most_us);
        if self.beyond[sent.from] != self.beyond[to] && (cut_us..healed_us).contains(&sent.at_us) {
            if sent.qos == Qos::AtMostOnce {
                return None;
            }
            way_us += healed_us - sent.at_us + chance.between(0, RUSH_US);
        }
        if chance.happens(self.loss) {
            if sent.qos == Qos::AtMostOnce {
                return None;
            }
            way_us += AGAIN_US;
        }
        Some(sent.at_us + way_us)
    }
}

/// What happens to one message on its way to one camera: numbers that depend on nothing else (`SplitMix64`;
/// Steele, Lea & Flood, OOPSLA 2014).
#[derive(Debug)]
struct Chance(u64);

impl Chance {
    fn new(seed: u64, number: u64, to: usize) -> Self {
        let mut of_message = Self(seed ^ number.wrapping_mul(0xd134_2543_de82_ef95));
        Self(of_message.next() ^ (to as u64).wrapping_mul(0xaf25_1af3_b0f0_25b5))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Within both ends, which are less than 2^32 apart.
    fn between(&mut self, least: u64, most: u64) -> u64 {
        least + (((self.next() >> 32) * (most - least + 1)) >> 32)
    }

    fn happens(&mut self, part: f64) -> bool {
        const STEP: f64 = 1.0 / (1_u64 << 53) as f64;
        part > 0.0 && ((self.next() >> 11) as f64 * STEP) < part
    }
}

/// When the partition begins and ends; both the same when there is none.
pub(super) fn partition_us(options: &Options) -> (u64, u64) {
    let begin_us = micros(options.duration) / 5 * 2;
    (begin_us, begin_us + micros(options.faults.partition))
}
