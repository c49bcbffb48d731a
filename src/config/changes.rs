//! What a configuration that was read again changes, and which of it a running daemon can take over.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::document::Node;
use super::{Config, Loaded, Place};
use crate::model::MessageClass;

/// What the swarm goes by from one moment to the next.
const SWARM: [&str; 4] =
    ["swarm.track_rate_hz", "swarm.publish_severity", "swarm.peers_max", "swarm.stale_after_s"];

/// What a fleet server may change from one moment to the next.
const FLEET: [&str; 9] = [
    "fleet.detection_interval_ms",
    "fleet.confidence_min",
    "fleet.vehicles_max",
    "fleet.alerts",
    "fleet.alert_confidence_min",
    "fleet.notification_channels",
    "fleet.near_matches",
    "fleet.enable_recording",
    "control.frame_quality",
];

/// The sections whose single values can be set while running.
const LIVE_SECTIONS: [&str; 4] = ["tracker", "behavior", "prediction", "consensus"];

/// Whether a single value can be set while running; whatever else is changed needs file and restart.
pub(super) fn is_live(key: &str) -> bool {
    let section = key.split_once('.').map(|(section, _)| section);
    section.is_some_and(|section| LIVE_SECTIONS.contains(&section))
        || SWARM.contains(&key)
        || FLEET.contains(&key)
        || key == "log.level"
}

/// Who may do what at the embedded broker.
#[cfg(feature = "broker")]
const ACCESS: [&str; 3] = ["broker.users", "broker.password_file", "broker.acl_file"];

/// The effective configuration with its secrets in clear, for comparing; never shown.
#[derive(Clone, Default)]
pub(super) struct Clear(Json);

impl std::fmt::Debug for Clear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Clear {
    /// `effective` has every key, its secrets hidden; `written` has those of file and environment as
    /// they are.
    pub(super) fn new(effective: Json, written: &Json) -> Self {
        Self(filled(effective, written))
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The configuration file.
    File,
    /// An environment variable.
    Environment,
    /// A setting made while running.
    Runtime,
}

/// Where the values that can be set while running come from.
pub(super) fn origins(root: &Node, effective: &Json) -> BTreeMap<String, Origin> {
    let sections = effective.as_object().into_iter().flatten();
    let keys = sections.flat_map(|(section, values)| {
        values.as_object().into_iter().flatten().map(move |(name, _)| super::schema::join(section, name))
    });
    let origin = |key: &String| match root.written(key) {
        None => Origin::Default,
        Some(Place::Line { .. } | Place::File(_) | Place::Nowhere) => Origin::File,
        Some(Place::Variable(_)) => Origin::Environment,
        Some(Place::Runtime) => Origin::Runtime,
    };
    keys.filter(|key| is_live(key)).map(|key| (key.clone(), origin(&key))).collect()
}

/// The keys that differ, by their paths, in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// They are in force from now on.
    pub applied: Vec<String>,
    /// They are in force from the next start on.
    pub need_restart: Vec<String>,
}

impl Changes {
    /// Nothing differs.
    pub fn is_empty(&self) -> bool {
        self.applied.is_empty() && self.need_restart.is_empty()
    }
}

impl Loaded {
    /// The single values that can be set while running, with the place that each comes from.
    pub fn settings(&self) -> impl Iterator<Item = (&str, &Json, Origin)> {
        self.origins.iter().map(|(key, origin)| {
            let (section, name) = key.split_once('.').unwrap_or((key, ""));
            (key.as_str(), &self.clear.0[section][name], *origin)
        })
    }

    /// Takes over from `new` what a running daemon can: tracker, behaviour, prediction and zones, what
    /// the swarm publishes and keeps, the links to brokers, the log's level, and who may do what at the
    /// embedded broker. The rest stays as it is in force, and is named again at every reload until the
    /// restart.
    pub fn adopt(&mut self, new: &Self) -> Changes {
        let before = self.clear.0.clone();
        let (mine, other) = (&mut self.config, &new.config);
        mine.perception.tracker = other.perception.tracker;
        mine.perception.behavior = other.perception.behavior;
        mine.perception.prediction = other.perception.prediction;
        let mut keys = vec!["tracker", "behavior", "prediction", "log.level"];
        // Places in the picture were put on the ground that comes with the restart.
        if before["calibration"] == new.clear.0["calibration"] && before["capture"] == new.clear.0["capture"]
        {
            mine.perception.zones.clone_from(&other.perception.zones);
            keys.push("zone");
        }
        if let (Some(mine), Some(other)) = (&mut mine.swarm, &other.swarm) {
            (mine.publish, mine.peers) = (other.publish, other.peers);
            mine.consensus = other.consensus;
            keys.extend(SWARM);
            keys.push("consensus");
        }
        let relinked = mine.links != other.links && can_relink(mine, other);
        if relinked {
            mine.links.clone_from(&other.links);
            keys.push("broker_link");
        }
        if let (Some(mine), Some(other)) = (&mut mine.fleet, &other.fleet) {
            mine.tuning = other.tuning;
        }
        if let (Some(mine), Some(other)) = (&mut mine.control, &other.control) {
            mine.data.frame_quality = other.data.frame_quality;
        }
        keys.extend(FLEET);
        mine.log.level = other.log.level;
        self.origins.clone_from(&new.origins);
        #[cfg(feature = "broker")]
        if let (Some(mine), Some(other)) = (&mut mine.broker, &other.broker) {
            mine.users.clone_from(&other.users);
            mine.passwords.clone_from(&other.passwords);
            mine.acl.clone_from(&other.acl);
            keys.extend(ACCESS);
        }
        #[cfg(feature = "broker")]
        if let (Some(mine), Some(other)) = (&mut mine.discovery, &other.discovery)
            && let (Some(mine), Some(other)) = (&mut mine.host, &other.host)
            // From where it can be reached is settled when it begins to listen.
            && mine.allow_anonymous == other.allow_anonymous
        {
            mine.users.clone_from(&other.users);
            mine.passwords.clone_from(&other.passwords);
            mine.acl.clone_from(&other.acl);
            keys.extend(ACCESS);
        }
        for key in keys {
            take_over(&mut self.clear.0, &new.clear.0, key);
        }
        let mut applied = differing(&before, &self.clear.0);
        let mut need_restart = differing(&self.clear.0, &new.clear.0);
        // A password may have changed behind its name, in a file or in the store.
        let links_of = |keys: &[String]| keys.iter().any(|key| key.starts_with("broker_link"));
        if relinked && !links_of(&applied) {
            applied.push("broker_link".to_owned());
        }
        if self.config.links != new.config.links && !links_of(&need_restart) {
            need_restart.push("broker_link".to_owned());
        }
        Changes { applied, need_restart }
    }
}

/// Whether a camera can change from these links to those while it runs: what listens to them, what takes
/// commands by them, and who finds a broker for them, must be there before and after.
fn can_relink(mine: &Config, other: &Config) -> bool {
    let takes_commands =
        |config: &Config| config.links.iter().any(|link| link.carries.classes.contains(&MessageClass::Reply));
    let linked = |config: &Config| config.swarm.is_some() && !config.links.is_empty();
    let sought = |config: &Config| {
        let link = config.links.iter().find(|link| link.options.host.is_empty());
        link.map(|link| link.options.name.clone())
    };
    let finds = |config: &Config| {
        let options = config.discovery.as_ref().map(|discovery| discovery.options.clone());
        (options, sought(config))
    };
    linked(mine)
        && linked(other)
        && takes_commands(mine) == takes_commands(other)
        && finds(mine) == finds(other)
}

/// `over` on top of `under`, table by table.
fn filled(under: Json, over: &Json) -> Json {
    match (under, over) {
        (Json::Object(mut under), Json::Object(over)) => {
            for (key, value) in over {
                let below = under.remove(key).unwrap_or_default();
                under.insert(key.clone(), filled(below, value));
            }
            Json::Object(under)
        }
        (Json::Array(under), Json::Array(over)) => {
            let below = under.into_iter().chain(std::iter::repeat(Json::Null));
            Json::Array(over.iter().zip(below).map(|(over, under)| filled(under, over)).collect())
        }
        (_, over) => over.clone(),
    }
}

fn take_over(mine: &mut Json, other: &Json, path: &str) {
    let (section, key) = path.split_once('.').map_or((path, None), |(section, key)| (section, Some(key)));
    match key {
        None => mine[section] = other[section].clone(),
        Some(key) => mine[section][key] = other[section][key].clone(),
    }
}

fn differing(a: &Json, b: &Json) -> Vec<String> {
    let mut found = Vec::new();
    walk(a, b, String::new(), &mut found);
    found
}

fn walk(a: &Json, b: &Json, path: String, found: &mut Vec<String>) {
    if a == b {
        return;
    }
    let empty = Map::new();
    match (a, b) {
        (Json::Object(_) | Json::Null, Json::Object(_) | Json::Null) if !(a.is_null() && b.is_null()) => {
            let (a, b) = (a.as_object().unwrap_or(&empty), b.as_object().unwrap_or(&empty));
            let mut keys: Vec<&String> =
                a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))).collect();
            keys.sort();
            for key in keys {
                let (a, b) = (a.get(key).unwrap_or(&Json::Null), b.get(key).unwrap_or(&Json::Null));
                walk(a, b, super::schema::join(&path, key), found);
            }
        }
        (Json::Array(a), Json::Array(b)) if a.iter().chain(b).all(Json::is_object) => {
            for i in 0..a.len().max(b.len()) {
                let (a, b) = (a.get(i).unwrap_or(&Json::Null), b.get(i).unwrap_or(&Json::Null));
                walk(a, b, super::schema::join(&path, &i.to_string()), found);
            }
        }
        _ => found.push(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::{env, file};

    fn with_settings(settings: &[(&str, Json)]) -> Result<Loaded, crate::config::Faults> {
        let file = file("[camera]\nid = 'gate'\n[capture]\nkind = 'synthetic'\n[tracker]\nmin_hits = 4\n");
        let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        let env = env(&[("OMNISIGHT_TRACKER__LOST_S", "2.5"), ("OMNISIGHT_TRACKER__IOU_MIN", "0.5")]);
        crate::config::load_with(Some(&file.path), env, &settings)
    }

    #[test]
    fn a_setting_beats_the_environment_and_every_value_says_where_it_comes_from() {
        let loaded = with_settings(&[("tracker.iou_min", 0.25.into())]).unwrap();
        let of = |wanted: &str| {
            let (_, value, origin) = loaded.settings().find(|(key, ..)| *key == wanted).unwrap();
            (value.clone(), origin)
        };
        assert_eq!(of("tracker.iou_min"), (0.25.into(), Origin::Runtime));
        assert_eq!(of("tracker.lost_s"), (2.5.into(), Origin::Environment));
        assert_eq!(of("tracker.min_hits"), (4.into(), Origin::File));
        assert_eq!(of("tracker.max_age_frames").1, Origin::Default);
        assert!(loaded.settings().all(|(key, ..)| is_live(key)));
        assert!(loaded.config.perception.tracker.iou_min < 0.3);
    }

    #[test]
    fn settings_are_validated_as_a_whole_and_every_fault_is_named() {
        let faults = with_settings(&[
            ("tracker.iou_min", 7.into()),
            ("tracker.iou_mix", 0.1.into()),
            ("behavior.running_mps", "fast".into()),
            ("prediction.retract_below", 0.9.into()),
            ("prediction.horizon_s", Json::Object(Map::new())),
        ])
        .unwrap_err();
        let told = faults.to_string();
        for key in ["tracker.iou_min", "tracker.iou_mix", "behavior.running_mps", "prediction.horizon_s"] {
            assert!(told.contains(&format!("runtime setting: {key}")), "{key}: {told}");
        }
    }

    const FILE: &str = "[camera]\nid = 'gate'\n[capture]\nkind = 'synthetic'\n[[broker_link]]\n\
                        url = 'mqtt://h'\nusername = 'u'\npassword = 'hush-1'\n";

    fn loaded(text: &str) -> Loaded {
        crate::config::load(Some(&file(text).path), env(&[])).unwrap()
    }

    fn changes(from: &str, to: &str) -> (Loaded, Changes) {
        let mut mine = loaded(from);
        let changes = mine.adopt(&loaded(to));
        (mine, changes)
    }

    #[test]
    fn what_is_the_same_in_other_words_is_no_change() {
        let (_, same) = changes(FILE, &format!("{FILE}keep_alive_s = 60\n[tracker]\nmin_hits = 3\n"));
        assert!(same.is_empty(), "{same:?}");
    }

    #[test]
    fn what_can_be_changed_is_taken_over_and_the_rest_is_named_until_the_restart() {
        let zone = "[[zone]]\nname = 'a'\npoints_m = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]\n";
        let further =
            "[tracker]\nmin_hits = 5\n[log]\nlevel = 'debug'\n[swarm]\npeers_max = 7\nprefix = 'x'\n";
        let text = format!("{}{further}{zone}", FILE.replace("gate", "yard"));
        let (mut mine, changed) = changes(FILE, &text);
        assert_eq!(changed.applied, ["log.level", "swarm.peers_max", "tracker.min_hits", "zone"]);
        assert_eq!(changed.need_restart, ["camera.id", "swarm.prefix"]);
        assert_eq!(mine.config.perception.tracker.min_hits, 5);
        assert_eq!(mine.config.perception.zones.len(), 1);
        assert_eq!(mine.config.swarm.as_ref().unwrap().peers.peers_max, 7);
        assert_eq!(mine.config.camera.id.as_str(), "gate");
        let again = mine.adopt(&loaded(&text));
        assert_eq!((again.applied.len(), again.need_restart.len()), (0, 2));
    }

    #[test]
    fn zones_wait_for_the_restart_that_brings_the_ground_they_were_put_on() {
        let zone = "[[zone]]\nname = 'a'\npoints_m = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]\n";
        let text = format!("{}{zone}", FILE.replace("'synthetic'", "'synthetic'\nwidth = 320"));
        let (mine, changed) = changes(FILE, &text);
        assert_eq!(mine.config.perception.zones, []);
        assert!(changed.need_restart.contains(&"zone".to_owned()), "{changed:?}");
    }

    #[test]
    fn a_password_that_changed_is_named_by_its_key_and_not_shown() {
        let (mine, changed) = changes(FILE, &FILE.replace("hush-1", "hush-2"));
        assert_eq!(
            (changed.applied, changed.need_restart.len()),
            (vec!["broker_link.0.password".to_owned()], 0)
        );
        assert!(!format!("{mine:?}").contains("hush"));
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), "one").unwrap();
        let text = FILE.replace("password = 'hush-1'", &format!("password_file = {:?}", secret.path()));
        let mut mine = loaded(&text);
        std::fs::write(secret.path(), "two").unwrap();
        let changed = mine.adopt(&loaded(&text));
        assert_eq!((changed.applied, changed.need_restart.len()), (vec!["broker_link".to_owned()], 0));
    }

    #[cfg(feature = "broker")]
    #[test]
    fn who_may_use_the_elected_broker_changes_while_running_but_not_from_everybody_to_users_or_back() {
        let open = FILE.split("[[broker_link]]").next().unwrap();
        let closed = format!("{open}[broker]\nusers = [{{ name = 'u', password = 'p' }}]\n");
        let (mine, changed) = changes(&closed, &closed.replace("'p'", "'q'"));
        assert_eq!((changed.applied.len(), changed.need_restart.len()), (1, 0), "{changed:?}");
        assert_eq!(mine.config.discovery.unwrap().host.unwrap().users[0].1.reveal(), "q");
        for (from, to) in [(open, &*closed), (&*closed, open)] {
            let (_, changed) = changes(from, to);
            assert!(changed.applied.is_empty() && !changed.need_restart.is_empty(), "{changed:?}");
        }
    }

    #[test]
    fn links_are_changed_added_and_taken_away_while_running_but_not_from_or_to_none() {
        let more = "[[broker_link]]\nname = 'cloud'\nurl = 'mqtts://c'\ncarries = ['events']\n";
        let both = format!("{FILE}{more}");
        let (mine, changed) = changes(FILE, &both);
        assert_eq!((mine.config.links.len(), changed.need_restart.len()), (2, 0));
        let (mine, changed) = changes(&both, FILE);
        assert_eq!((mine.config.links.len(), changed.need_restart.len()), (1, 0));
        assert!(changed.applied.iter().all(|key| key.starts_with("broker_link.1.")), "{changed:?}");
        let none = FILE.split("[[broker_link]]").next().unwrap();
        for (from, to) in [(FILE, none), (none, FILE)] {
            let (_, changed) = changes(from, to);
            assert!(changed.applied.is_empty() && !changed.need_restart.is_empty(), "{changed:?}");
        }
        // Who finds a broker does so from the start.
        let discover = FILE.replace("mqtt://h", "discover");
        let renamed = discover.replace("[[broker_link]]\n", "[[broker_link]]\nname = 'other'\n");
        for (from, to) in [(FILE, &*discover), (&*discover, FILE), (&*discover, &*renamed)] {
            let (_, changed) = changes(from, to);
            assert!(changed.applied.is_empty() && !changed.need_restart.is_empty(), "{changed:?}");
        }
        // Commands come by a link that carries their answers.
        let deaf = FILE.replace("[[broker_link]]\n", "[[broker_link]]\ncarries = ['events']\n");
        let (_, changed) = changes(FILE, &deaf);
        assert_eq!(changed.need_restart, ["broker_link.0.carries"]);
    }
}
