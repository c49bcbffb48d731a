//! What brokers do not offer, as the connections of this process have found it out.
//!
//! A camera has several connections to one broker. What one of them learns (the version spoken, retained
//! messages, the highest `QoS`, a packet limit) holds for the others too: [`Known`] passes it on, by the
//! broker's `host:port`. It also holds whether another process uses this camera's id. Nothing of it is kept over a
//! restart: a broker that was mended is asked anew.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::session::Fallback;
use crate::base::Time;
use crate::model::Qos;

/// The largest ordinary messages (replies with the status, presence with all counters) stay below that, bytes.
const ORDINARY_BYTES: usize = 16 << 10;

/// What a broker offers less than MQTT 5 allows; the default is a broker that offers everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Why MQTT 3.1.1 is spoken though 5 would have been better.
    pub fallback: Option<Fallback>,
    /// It stores retained messages.
    pub retain: bool,
    /// The highest `QoS` that it takes.
    pub qos_max: Qos,
    /// It takes a last will.
    pub will: bool,
    /// It takes topic filters with wildcards.
    pub wildcards: bool,
    /// The largest packet that it takes, bytes.
    pub max_packet_bytes: usize,
    /// What it shows by ending connections.
    pub(super) conduct: Conduct,
}

/// What a broker takes, by what it ended connections at; not forgotten when it then says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Conduct {
    pub(super) qos_max: Qos,
    pub(super) retain: bool,
    pub(super) wildcards: bool,
}

impl Default for Conduct {
    fn default() -> Self {
        Self { qos_max: Qos::ExactlyOnce, retain: true, wildcards: true }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fallback: None,
            retain: true,
            qos_max: Qos::ExactlyOnce,
            will: true,
            wildcards: true,
            max_packet_bytes: usize::MAX,
            conduct: Conduct::default(),
        }
    }
}

impl Limits {
    /// What is missing beside MQTT 5, a sentence each.
    pub(super) fn lacks(&self) -> impl Iterator<Item = String> + use<> {
        let qos = self.qos_max as u8;
        let bytes = self.max_packet_bytes;
        let lacks = [
            (!self.retain).then(|| "broker stores no retained messages, cameras that connect later get no presence until the next message".to_owned()),
            (self.qos_max < Qos::ExactlyOnce).then(|| format!("broker takes messages up to QoS {qos} only")),
            (!self.will).then(|| "broker takes no last will, a camera that fails is offline only by its silence".to_owned()),
            (!self.wildcards).then(|| "broker takes no topic filters with wildcards, messages of unknown cameras do not arrive".to_owned()),
            self.is_packet_small().then(|| format!("broker takes no packet of more than {bytes} bytes")),
        ];
        lacks.into_iter().flatten()
    }

    /// Ordinary messages may not fit: presence with all counters, replies, long events.
    pub fn is_packet_small(&self) -> bool {
        self.max_packet_bytes < ORDINARY_BYTES
    }

    /// The same, with what was seen of the broker's conduct.
    pub(super) fn observed(mut self, conduct: Conduct) -> Self {
        let known = self.conduct;
        self.conduct = Conduct {
            qos_max: known.qos_max.min(conduct.qos_max),
            retain: known.retain && conduct.retain,
            wildcards: known.wildcards && conduct.wildcards,
        };
        self.qos_max = self.qos_max.min(self.conduct.qos_max);
        self.retain &= self.conduct.retain;
        self.wildcards &= self.conduct.wildcards;
        self
    }
}

/// What is known of every broker; cheap to clone, shared by the clones.
#[derive(Debug, Clone, Default)]
pub struct Known(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Rises with every change, so that a look costs no lock.
    changes: AtomicU64,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    brokers: BTreeMap<String, Limits>,
    rival: Option<Time>,
}

impl Known {
    /// Another process was heard under this camera's id at `now`.
    pub fn note_rival(&self, now: Time) {
        self.table().rival = Some(now);
        self.0.changes.fetch_add(1, Ordering::Release);
    }

    /// What is known of a broker (none: nothing yet) and when a rival was heard last, if anything has changed
    /// since `seen`, which is brought up to date.
    pub(super) fn news(&self, broker: &str, seen: &mut u64) -> Option<(Option<Limits>, Option<Time>)> {
        let changes = self.0.changes.load(Ordering::Acquire);
        if changes == *seen {
            return None;
        }
        *seen = changes;
        let table = self.table();
        Some((table.brokers.get(broker).copied(), table.rival))
    }

    /// A connection has found this out.
    pub(super) fn tell(&self, broker: &str, limits: Limits) {
        let mut table = self.table();
        let entry = table.brokers.entry(broker.to_owned()).or_default();
        let limits = limits.observed(entry.conduct);
        if *entry != limits {
            *entry = limits;
            self.0.changes.fetch_add(1, Ordering::Release);
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_connection_finds_out_is_news_to_the_others_once_and_conduct_is_not_forgotten() {
        let known = Known::default();
        let mut seen = 0;
        assert_eq!(known.news("b:1", &mut seen), None);
        let conduct = Conduct { qos_max: Qos::AtLeastOnce, ..Conduct::default() };
        known.tell("b:1", Limits::default().observed(conduct));
        known.tell("b:1", Limits { retain: false, ..Limits::default() });
        let (limits, _) = known.news("b:1", &mut seen).unwrap();
        let limits = limits.unwrap();
        assert_eq!((limits.retain, limits.qos_max), (false, Qos::AtLeastOnce));
        assert_eq!(known.news("b:1", &mut seen), None);
        let mut other = 0;
        assert_eq!(known.news("c:1", &mut other), Some((None, None)));
    }
}
