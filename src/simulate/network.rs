//! The broker and the ways to it: who gets a message, when, and how often.
//!
//! A track goes to those who listen to its camera's tracks, everything else to all. At `QoS` 0 a message may
//! be lost; what has a higher one is sent again after [`AGAIN_US`], and what a partition holds up comes when it
//! ends. Any message may come twice. Each way takes a random time, so messages overtake one another, which
//! is worse than a broker is.
//!
//! Pure; one generator, used in the order of the senders.

use std::collections::BTreeSet;
use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::Options;
use super::world::{World, micros};
use crate::model::{Delivery, Qos};
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
    /// Rises with every message of the site.
    pub(super) number: u64,
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

/// What a camera gives to the network.
#[expect(clippy::large_enum_variant, reason = "nearly all are messages")]
#[derive(Debug)]
pub(super) enum Post {
    /// A message.
    Message { at_us: u64, letter: Letter, qos: Qos, track: bool, bytes: usize },
    /// Listen to these tracks.
    Listen(Whose),
    /// Listen no longer.
    Ignore(Whose),
}

/// Whose tracks are meant.
#[derive(Debug, Clone, Copy)]
pub(super) enum Whose {
    Everybody,
    Camera(usize),
}

/// What the network counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counted {
    /// Messages given to it.
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

/// See the module.
#[derive(Debug)]
pub(super) struct Network {
    rng: Pcg64Mcg,
    loss: f64,
    duplicate: f64,
    least_us: u64,
    most_us: u64,
    partition_us: (u64, u64),
    beyond: Vec<bool>,
    /// Who listens to all tracks, and to each camera's.
    to_all: BTreeSet<usize>,
    to_one: Vec<BTreeSet<usize>>,
    number: u64,
    pub(super) counted: Counted,
}

impl Network {
    pub(super) fn new(options: &Options, world: &World) -> Self {
        let faults = &options.faults;
        let least_us = micros(faults.delay.0).max(1_000);
        Self {
            rng: Pcg64Mcg::seed_from_u64(options.seed ^ 0x6e_6574),
            loss: faults.loss,
            duplicate: faults.duplicate,
            least_us,
            most_us: micros(faults.delay.1).max(least_us),
            partition_us: partition_us(options),
            beyond: (0..options.cameras).map(|camera| world.is_beyond(camera)).collect(),
            to_all: (0..options.cameras).collect(),
            to_one: vec![BTreeSet::new(); options.cameras],
            number: 0,
            counted: Counted::default(),
        }
    }

    /// The shortest way: what one camera does is nothing to another before it.
    pub(super) fn least_us(&self) -> u64 {
        self.least_us
    }

    /// Takes what a camera gives; what is to come of it is told to `arrive`, copy by copy.
    pub(super) fn take(&mut self, from: usize, post: Post, mut arrive: impl FnMut(usize, Arrival)) {
        match post {
            Post::Listen(whose) => {
                self.listeners(whose).insert(from);
            }
            Post::Ignore(whose) => {
                self.listeners(whose).remove(&from);
            }
            Post::Message { at_us, letter, qos, track, bytes } => {
                self.counted.sent += 1;
                self.counted.bytes += bytes as u64;
                let letter = Arc::new(letter);
                if track {
                    self.counted.tracks += 1;
                    self.counted.track_bytes += bytes as u64;
                    let to: Vec<usize> = self.to_all.union(&self.to_one[from]).copied().collect();
                    for to in to {
                        self.copies(from, to, at_us, qos, &letter, &mut arrive);
                    }
                    return;
                }
                for to in 0..self.beyond.len() {
                    self.copies(from, to, at_us, qos, &letter, &mut arrive);
                }
            }
        }
    }

    fn listeners(&mut self, whose: Whose) -> &mut BTreeSet<usize> {
        match whose {
            Whose::Everybody => &mut self.to_all,
            Whose::Camera(camera) => &mut self.to_one[camera],
        }
    }

    fn copies(
        &mut self,
        from: usize,
        to: usize,
        at_us: u64,
        qos: Qos,
        letter: &Arc<Letter>,
        arrive: &mut impl FnMut(usize, Arrival),
    ) {
        if from == to {
            return;
        }
        let copies = 1 + u64::from(self.chance(self.duplicate));
        self.counted.repeated += copies - 1;
        for _ in 0..copies {
            let Some(at_us) = self.way(from, to, at_us, qos) else {
                self.counted.lost += 1;
                continue;
            };
            *(if qos == Qos::AtMostOnce {
                &mut self.counted.track_copies
            } else {
                &mut self.counted.other_copies
            }) += 1;
            self.number += 1;
            arrive(to, Arrival { at_us, number: self.number, letter: Arc::clone(letter) });
        }
    }

    /// When a copy arrives, if it does.
    fn way(&mut self, from: usize, to: usize, at_us: u64, qos: Qos) -> Option<u64> {
        let (cut_us, healed_us) = self.partition_us;
        let mut way_us = self.rng.random_range(self.least_us..=self.most_us);
        if self.beyond[from] != self.beyond[to] && (cut_us..healed_us).contains(&at_us) {
            if qos == Qos::AtMostOnce {
                return None;
            }
            way_us += healed_us - at_us + self.rng.random_range(0..=RUSH_US);
        }
        if self.chance(self.loss) {
            if qos == Qos::AtMostOnce {
                return None;
            }
            way_us += AGAIN_US;
        }
        Some(at_us + way_us)
    }

    fn chance(&mut self, part: f64) -> bool {
        part > 0.0 && self.rng.random_bool(part)
    }
}

/// When the partition begins and ends; both the same when there is none.
pub(super) fn partition_us(options: &Options) -> (u64, u64) {
    let begin_us = micros(options.duration) / 5 * 2;
    (begin_us, begin_us + micros(options.faults.partition))
}
