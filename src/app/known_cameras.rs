//! The cameras of the site that are known by id, and whether a broker delivers what it retains of them.
//!
//! Every camera subscribes to the presence of all with a wildcard. A broker that supports that fully then delivers the
//! retained presence of each camera, also of those that are offline. `RabbitMQ` searches retained messages by their
//! exact topic only: a camera that starts later never learns of those that are away. So the ids are kept over a
//! restart, and a known camera that was not heard within [`HEARD_WITHIN`] of a connection is subscribed to by the exact
//! topic of its presence, for [`ASKED_FOR`]. A retained message that comes only then shows what the broker lacks. A
//! broker that lacks nothing is asked for those alone of which it retains nothing.
//!
//! Bounds: [`KNOWN_MAX`] ids; the one heard longest ago makes room. Pure but for the file that it is read from.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::base::Time;
use crate::model::{CameraId, Delivery};

/// In the state folder: a list of ids.
pub(super) const FILE: &str = "known-cameras.json";
/// As many as the table of the other cameras holds by default.
const KNOWN_MAX: usize = 256;
/// A larger file is not one of ours.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// How long the retained messages of a wildcard filter may take after a connection.
const HEARD_WITHIN: Duration = Duration::from_secs(5);
/// How long an exact filter stays: the broker delivers what it retains as soon as it takes it.
const ASKED_FOR: Duration = Duration::from_secs(5);

/// Shortest time between two writes of the file: a flood of made-up names does not wear out the flash memory.
const WRITE_EVERY: Duration = Duration::from_mins(1);

/// What is to be done about a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Filter {
    Begin(String),
    End(String),
}

/// See the module.
pub(super) struct KnownCameras {
    /// The topic of a camera's presence, without its id.
    before_id: String,
    own: CameraId,
    /// When each was heard last by this process.
    heard: BTreeMap<CameraId, Time>,
    changed: bool,
    written: Option<Time>,
    /// The latest connection, until it was looked at.
    connected: Option<Time>,
    /// Topics that are subscribed to, and since when.
    asked: Option<(BTreeSet<String>, Time)>,
    /// Links whose broker finds no retained messages by wildcard filters.
    lacking: BTreeSet<Arc<str>>,
}

impl KnownCameras {
    /// Of the camera that publishes its presence to this topic; none is known yet.
    pub(super) fn new(own: CameraId, topic: &str) -> Self {
        let before_id = topic.strip_suffix(own.as_str()).unwrap_or(topic).to_owned();
        Self {
            before_id,
            own,
            heard: BTreeMap::new(),
            changed: false,
            written: None,
            connected: None,
            asked: None,
            lacking: BTreeSet::new(),
        }
    }

    /// Knows the ids in this state folder. What can't be read is learned again.
    pub(super) fn read(&mut self, folder: &Path) {
        let path = folder.join(FILE);
        if std::fs::metadata(&path).is_ok_and(|file| file.len() <= FILE_BYTES_MAX)
            && let Ok(bytes) = std::fs::read(&path)
        {
            match serde_json::from_slice::<Vec<String>>(&bytes) {
                Ok(ids) => ids
                    .iter()
                    .filter_map(|id| CameraId::parse(id).ok())
                    .for_each(|id| self.note(&id, Time::default())),
                Err(error) => tracing::warn!("{}: {error}, cameras are learned again", path.display()),
            }
        }
        self.changed = false;
    }

    /// Returns the content of [`FILE`] if it changed, at most once in [`WRITE_EVERY`].
    pub(super) fn changed_file(&mut self, now: Time) -> Option<Vec<u8>> {
        if !self.changed || self.written.is_some_and(|written| now.since(written) < WRITE_EVERY) {
            return None;
        }
        (self.changed, self.written) = (false, Some(now));
        let ids: Vec<&str> = self.heard.keys().map(CameraId::as_str).collect();
        serde_json::to_vec_pretty(&ids).ok()
    }

    /// A link has connected.
    pub(super) fn connected(&mut self, now: Time) {
        self.connected = Some(now);
    }

    /// Takes note of a received message. Returns true for the first that shows that the broker of its link finds no
    /// retained messages by wildcard filters.
    pub(super) fn heard(&mut self, delivery: &Delivery) -> bool {
        let asked = self.asked.as_ref().is_some_and(|(topics, _)| topics.contains(&delivery.topic));
        asked && delivery.retained && self.lacking.insert(Arc::clone(&delivery.link))
    }

    /// Whether a broker finds no retained messages by wildcard filters.
    pub(super) fn is_lacking(&self) -> bool {
        !self.lacking.is_empty()
    }

    /// Looks at which cameras were heard and when; filters that begin and end.
    pub(super) fn look<'a>(
        &mut self,
        peers: impl Iterator<Item = (&'a CameraId, Time)>,
        now: Time,
    ) -> Vec<Filter> {
        for (id, heard) in peers {
            self.note(id, heard);
        }
        let mut filters = Vec::new();
        if let Some((topics, _)) = self.asked.take_if(|(_, since)| now.since(*since) >= ASKED_FOR) {
            filters.extend(topics.into_iter().map(Filter::End));
        }
        if self.asked.is_none()
            && let Some(connected) = self.connected.take_if(|connected| now.since(*connected) >= HEARD_WITHIN)
        {
            let missing = self.heard.iter().filter(|(_, heard)| **heard < connected);
            let topics: BTreeSet<_> = missing.map(|(id, _)| format!("{}{id}", self.before_id)).collect();
            filters.extend(topics.iter().cloned().map(Filter::Begin));
            self.asked = (!topics.is_empty()).then_some((topics, now));
        }
        filters
    }

    fn note(&mut self, id: &CameraId, heard: Time) {
        if let Some(known) = self.heard.get_mut(id) {
            *known = heard.max(*known);
            return;
        }
        if *id == self.own {
            return;
        }
        if self.heard.len() == KNOWN_MAX {
            let oldest = self.heard.iter().min_by_key(|(_, heard)| **heard).map(|(id, _)| id.clone());
            oldest.and_then(|id| self.heard.remove(&id));
        }
        self.heard.insert(id.clone(), heard);
        self.changed = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Time {
        Time { mono_ns: s * 1_000_000_000, epoch_ms: s * 1_000 }
    }

    fn id(text: &str) -> CameraId {
        CameraId::parse(text).unwrap()
    }

    fn known(ids: &[&str]) -> KnownCameras {
        let mut known = KnownCameras::new(id("gate"), "omnisight/swarm/status/gate");
        for each in ids {
            known.note(&id(each), Time::default());
        }
        known
    }

    fn retained(camera: &str) -> Delivery {
        Delivery {
            topic: format!("omnisight/swarm/status/{camera}"),
            retained: true,
            link: "main".into(),
            ..Delivery::default()
        }
    }

    #[test]
    fn a_known_camera_that_is_not_heard_after_a_connection_is_asked_for_by_its_topic_for_a_while() {
        let mut known = known(&["yard", "door"]);
        known.connected(at(10));
        let yard = id("yard");
        assert_eq!(known.look([(&yard, at(11))].into_iter(), at(14)), []);
        let door = "omnisight/swarm/status/door".to_owned();
        assert_eq!(known.look([].into_iter(), at(15)), [Filter::Begin(door.clone())]);
        assert_eq!(known.look([].into_iter(), at(19)), []);
        assert_eq!(known.look([].into_iter(), at(20)), [Filter::End(door)]);
        assert_eq!(known.look([].into_iter(), at(60)), []);
    }

    #[test]
    fn a_retained_message_that_comes_when_it_is_asked_for_shows_what_the_broker_lacks() {
        let mut known = known(&["door"]);
        known.connected(at(10));
        assert!(!known.heard(&retained("door")) && !known.is_lacking());
        known.look([].into_iter(), at(15));
        assert!(!known.heard(&Delivery { retained: false, ..retained("door") }));
        assert!(known.heard(&retained("door")) && !known.heard(&retained("door")) && known.is_lacking());
    }

    #[test]
    fn ids_outlive_the_process_and_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let mut before = known(&[]);
        for n in 0..KNOWN_MAX as u64 + 10 {
            before.look([(&id(&format!("camera-{n}")), at(n))].into_iter(), at(n));
        }
        before.look([(&id("gate"), at(999))].into_iter(), at(999));
        std::fs::write(folder.path().join(FILE), before.changed_file(at(1)).unwrap()).unwrap();
        before.note(&id("late"), at(1_000));
        assert_eq!(before.changed_file(at(60)), None);
        assert!(before.changed_file(at(61)).is_some());
        assert_eq!(before.changed_file(at(200)), None);
        let mut after = known(&[]);
        after.read(folder.path());
        assert_eq!(after.changed_file(at(1)), None);
        let ids: Vec<_> = after.heard.keys().cloned().collect();
        assert_eq!(ids.len(), KNOWN_MAX);
        assert!(
            !ids.contains(&id("camera-9")) && ids.contains(&id("camera-10")) && !ids.contains(&id("gate"))
        );
    }
}
