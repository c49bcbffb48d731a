//! What loading a configuration promises, tried on whole files.

mod discovery;
mod examples;
mod faults;
mod fleet;

use std::path::PathBuf;

use super::*;
use crate::model::{GroundPlane, Size};

/// A file in a folder of its own.
pub(super) struct File {
    _folder: tempfile::TempDir,
    pub(super) path: PathBuf,
}

pub(super) fn file(content: impl AsRef<[u8]>) -> File {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    std::fs::write(&path, content).unwrap();
    File { _folder: folder, path }
}

pub(super) fn env(variables: &[(&str, &str)]) -> std::vec::IntoIter<(String, String)> {
    let owned: Vec<_> = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    owned.into_iter()
}

fn load_text(content: &str, variables: &[(&str, &str)]) -> Result<Loaded, Faults> {
    load(Some(&file(content).path), env(variables))
}

/// The faults as lines, the file's name left out.
fn faults(content: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let faults = load_text(content, variables).expect_err("there must be faults");
    let line = |f: &Fault| {
        let text = f.to_string();
        text.split_once("c.toml:").map_or(text.clone(), |(_, rest)| rest.to_owned())
    };
    faults.list().iter().map(line).collect()
}

/// The shortest configuration there is, on four lines.
const MINIMAL: &str = "[camera]\nid = \"a\"\n[capture]\nkind = \"synthetic\"\n";

fn with(more: &str) -> String {
    format!("{MINIMAL}{more}")
}

#[test]
fn a_camera_and_a_kind_of_capture_are_enough() {
    let config = load_text(MINIMAL, &[]).unwrap().config;
    assert_eq!((config.camera.id.as_str(), config.camera.name.as_str()), ("a", "a"));
    // And the broker is found.
    let link = &config.links[0].options;
    assert_eq!((config.links.len(), link.host.as_str(), &link.credentials), (1, "", &None));
    let discovery = config.discovery.unwrap().options;
    assert_eq!(
        (discovery.seeks, discovery.can_host, discovery.fixed),
        (true, cfg!(feature = "broker"), None)
    );
    assert_eq!(config.state_dir, PathBuf::from("/var/lib/omnisight"));
}

/// Every default stands twice, in the schema and in the part that owns it.
#[test]
fn what_is_not_set_is_as_the_parts_have_it() {
    let text = "[camera]\nid = 'a'\n[capture]\nkind = 'command'\ncommand = ['x']\n[[broker_link]]\nurl = 'mqtt://h'\n";
    let config = load_text(text, &[]).unwrap().config;
    let perception = config.perception;
    assert_eq!(perception.detector, crate::inference::Options::default());
    assert_eq!(perception.tracker, crate::track::Options::default());
    assert_eq!(perception.behavior, crate::behavior::Options::default());
    assert_eq!(perception.prediction, crate::predict::Options::default());
    assert!(perception.zones.is_empty());
    assert_eq!(perception.ground, GroundPlane::nominal(10.0, Size { width: 1, height: 1 }));
    assert_eq!(config.swarm, Some(crate::swarm::Options::default()));
    let kind = crate::capture::Kind::Synthetic(crate::capture::synthetic::Options::default());
    let capture = crate::capture::Options::new(kind);
    assert_eq!(config.capture.stall_after, capture.stall_after);
    let synthetic = load_text(MINIMAL, &[]).unwrap().config.capture;
    assert_eq!(format!("{synthetic:?}"), format!("{capture:?}"));
    let (link, default) = (config.links[0].options.clone(), crate::link::Options::default());
    assert_eq!(
        (link.name, link.port, link.keep_alive, link.backoff),
        (default.name, default.port, default.keep_alive, default.backoff)
    );
}

#[cfg(feature = "broker")]
#[test]
fn the_embedded_broker_is_as_its_part_has_it() {
    let content =
        with("[broker]\nenabled = true\nusers = [{ name = 'u', password = 'p' }]\n[state]\ndir = '/s'\n");
    let broker = load_text(&content, &[]).unwrap().config.broker.unwrap();
    assert_eq!(broker.data_dir, Some(PathBuf::from("/s/broker")));
    let set = crate::broker::Options {
        data_dir: broker.data_dir.clone(),
        users: broker.users.clone(),
        ..Default::default()
    };
    assert_eq!(format!("{broker:?}"), format!("{set:?}"));
}

#[cfg(feature = "broker")]
#[test]
fn a_broker_alone_needs_neither_camera_nor_capture() {
    let loaded = |content: &str, variables: &[(&str, &str)]| load_broker(&file(content).path, env(variables));
    let content = "[broker]\nlisten = '[::1]:0'\nallow_anonymous = true\n[state]\ndir = '/s'\n";
    let alone = loaded(content, &[("OMNISIGHT_LOG__LEVEL", "debug")]).unwrap();
    assert_eq!(alone.options.listen.port(), 0);
    assert_eq!(alone.options.data_dir, Some(PathBuf::from("/s/broker")));
    assert_eq!(alone.log.level, raw::Level::Debug);
    // A camera's file will do, whatever it says of `enabled`.
    assert!(loaded(&with("[broker]\nallow_anonymous = true\n"), &[]).is_ok());
    let nobody = loaded("[broker]\n", &[]).unwrap_err().to_string();
    assert!(nobody.contains("broker.users: missing") && nobody.lines().count() == 1, "{nobody}");
    let unknown = loaded(&format!("{content}[brokre]\n"), &[]).unwrap_err().to_string();
    assert!(unknown.contains("did you mean broker?"), "{unknown}");
}

#[test]
fn a_simulated_camera_knows_its_calibration() {
    let ground = load_text(&with("view = 1\n"), &[]).unwrap().config.perception.ground;
    let size = Size { width: 480, height: 360 };
    assert_eq!(ground, crate::capture::synthetic::ground_plane(3, 1, size).unwrap());
    assert!(ground.is_calibrated());
}

#[test]
fn variables_beat_the_file_and_need_none() {
    let variables = [
        ("OMNISIGHT_CAMERA__ID", "7"),
        ("OMNISIGHT_CAPTURE__KIND", "command"),
        ("OMNISIGHT_CAPTURE__COMMAND", "['cat', 'a.y4m']"),
        ("OMNISIGHT_CAPTURE__LIVE", "false"),
        ("OMNISIGHT_TRACKER__IOU_MIN", "1"),
        ("OMNISIGHT_BROKER_LINK__0__URL", "mqtt://[::1]:99"),
        ("OMNISIGHT_BROKER_LINK__0__USERNAME", "true"),
        ("OMNISIGHT_BROKER_LINK__0__PASSWORD", "123"),
        ("OMNISIGHT_DETECTOR__ROI", "[[[0,0],[1,0],[1,1]]]"),
        ("OMNISIGHT_ZONE__1__NAME", "b"),
        ("OMNISIGHT_ZONE__0__NAME", "a"),
        ("OMNISIGHT_ZONE__0__POINTS_M", "[[0,0],[1,0],[1,1]]"),
        ("OMNISIGHT_ZONE__1__POINTS_M", "[[0,0],[1,0],[1,1]]"),
        ("PATH", "/bin"),
        ("OMNISIGHT_HOME", "/opt"),
    ];
    let alone = load(None, env(&variables)).unwrap();
    let over =
        load_text("[camera]\nid = 'x'\n[capture]\nkind = 'video'\n[tracker]\niou_min = 0.2\n", &variables)
            .unwrap();
    assert_eq!(alone.raw, over.raw);
    let config = alone.config;
    assert_eq!(config.camera.id.as_str(), "7");
    let crate::capture::Kind::Command(command) = config.capture.kind else { panic!("{:?}", config.capture) };
    assert_eq!(command.argv, ["cat", "a.y4m"]);
    assert_eq!(command.timing, crate::capture::command::Timing::Offline { rate_hz: None });
    let link = config.links[0].options.clone();
    assert_eq!((link.host.as_str(), link.port), ("::1", 99));
    let user = link.credentials.unwrap();
    assert_eq!((user.username.as_str(), user.password.unwrap().reveal()), ("true", "123"));
    assert_eq!(config.perception.zones.iter().map(|z| z.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let crate::inference::Options::Motion(motion) = config.perception.detector;
    assert_eq!(motion.regions.len(), 1);
}

#[test]
fn the_state_folder_is_the_files_then_systemds_then_the_default() {
    let dir =
        |content: &str, variables: &[(&str, &str)]| load_text(content, variables).unwrap().config.state_dir;
    let systemd = ("STATE_DIRECTORY", "/var/lib/private/a:/b");
    assert_eq!(dir(MINIMAL, &[systemd]), PathBuf::from("/var/lib/private/a"));
    assert_eq!(dir(&with("[state]\ndir = '/mine'\n"), &[systemd]), PathBuf::from("/mine"));
    assert_eq!(dir(MINIMAL, &[systemd, ("OMNISIGHT_STATE__DIR", "/env")]), PathBuf::from("/env"));
    assert_eq!(dir(MINIMAL, &[("STATE_DIRECTORY", "")]), PathBuf::from("/var/lib/omnisight"));
}

#[test]
fn a_named_file_is_not_searched_for() {
    let named = Path::new("/no/such/file.toml");
    assert_eq!(find(Some(named)), Some(named.to_path_buf()));
    // Tests run in the package's folder, which has the first of the searched files.
    assert_eq!(find(None), Some(PathBuf::from(SEARCHED[0])));
}

#[test]
fn the_effective_configuration_loads_again_and_holds_every_default() {
    let loaded = load_text(&with("[tracker]\nmin_hits = 2\n"), &[]).unwrap();
    let text = effective(&loaded).unwrap();
    assert_eq!(load_text(&text, &[]).unwrap().raw, loaded.raw, "{text}");
    for line in ["min_hits = 2", "iou_min = 0.21", "fps = 10.0", "level = \"info\"", "step_s = 1.0"] {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
}

#[cfg(feature = "broker")]
#[test]
fn a_secret_is_in_no_debug_and_no_effective_configuration() {
    let secret_file = file("hunter3\nsecond line\n");
    let content = format!(
        "[camera]\nid = 'a'\n[capture]\nkind = 'video'\ninput = 'rtsp://me:hunter0@host/x?token=hunter4#hunter5'\n\
         [[broker_link]]\nurl = 'mqtt://h'\nusername = 'u'\npassword = 'hunter1'\n\
         [broker]\nenabled = true\nusers = [{{ name = 'u', password = 'hunter2' }}, {{ name = 'v', password_file = {:?} }}]\n",
        secret_file.path
    );
    let loaded = load_text(&content, &[]).unwrap();
    let shown = format!("{loaded:?}\n{}", effective(&loaded).unwrap());
    assert!(!shown.contains("hunter") && shown.contains("rtsp://***@host/***"), "{shown}");
    let broker = loaded.config.broker.unwrap();
    let passwords: Vec<_> = broker.users.iter().map(|(_, password)| password.reveal()).collect();
    assert_eq!(passwords, ["hunter2", "hunter3"]);
}

/// A camera with this stream.
fn stream(input: &str) -> String {
    format!("[camera]\nid = 'a'\n[capture]\nkind = 'video'\ninput = \"{input}\"\n")
}

#[test]
fn the_secrets_of_a_stream_are_shown_wherever_they_stand_in_its_url_by_nothing() {
    for input in [
        "rtsp://127.0.0.1:554/user=admin&password=kret9&channel=1&stream=0.sdp",
        "rtsps://host:7441/kret9token",
        "rtsp://me:kret9 word#/?@host/x",
        "rtsp://me:kret9 word",
        "rtsp:/me:kret9@host/x",
        "RTSP://host/live?key=kret9",
    ] {
        let loaded = load_text(&stream(input), &[]).unwrap();
        let shown = format!("{loaded:?}\n{}", effective(&loaded).unwrap());
        assert!(!shown.contains("kret9") && !shown.contains("word#"), "{input}: {shown}");
        let found = faults(&format!("{}width = 0\npace = 'fast'\nfps = 'x'\n", stream(input)), &[]);
        assert!(!found.concat().contains("kret9"), "{input}: {found:?}");
    }
}

#[test]
fn a_stream_takes_its_secrets_from_the_store_and_from_systemd() {
    let folder = tempfile::tempdir().unwrap();
    let state = format!("[state]\ndir = {:?}\n", folder.path().join("state"));
    let credentials = [("CREDENTIALS_DIRECTORY", folder.path().to_str().unwrap())];
    std::fs::write(folder.path().join("gate"), "pa 55/w@rd%20\n").unwrap();
    let content = stream("rtsp://me:{secret:gate}@host/x?key={secret:gate}") + &state;
    let loaded = load_text(&content, &credentials).unwrap();
    let crate::capture::Kind::Video(video) = &loaded.config.capture.kind else { panic!("no video") };
    assert_eq!(video.input, "rtsp://me:pa%2055%2Fw%40rd%2520@host/x?key=pa%2055%2Fw%40rd%2520");
    let shown = format!("{loaded:?}\n{}", effective(&loaded).unwrap());
    assert!(!shown.contains("pa%2055") && !shown.contains("pa 55"), "{shown}");
    let missing = faults(&content, &[]);
    assert!(
        missing[0].contains("capture.input") && missing[0].contains("omnisight secret set gate"),
        "{missing:?}"
    );
    let open = faults(&stream("rtsp://me:{secret:gate@host/x"), &[]);
    assert!(open[0].contains("the closing brace is missing"), "{open:?}");
}

#[test]
fn a_scheme_in_upper_case_and_an_international_host_name_are_a_broker() {
    for (url, host, port) in [
        ("MQTT://Broker.example", "Broker.example", 1883),
        ("Mqtts://tür.example:1", "xn--tr-xka.example", 1),
        ("WS://例え.テスト/mqtt", "xn--r8jz45g.xn--zckzah", 80),
    ] {
        let config = load_text(&with(&format!("[[broker_link]]\nurl = {url:?}\n")), &[]).unwrap().config;
        let link = &config.links[0].options;
        assert_eq!((link.host.as_str(), link.port), (host, port), "{url}");
    }
}

#[test]
fn a_byte_order_mark_is_skipped_and_another_encoding_named() {
    let marked = format!("\u{feff}{MINIMAL}");
    assert!(load_text(&marked, &[]).is_ok());
    let password = file("\u{feff}hunter\r\n");
    let link =
        format!("[[broker_link]]\nurl = 'mqtt://h'\nusername = 'u'\npassword_file = {:?}\n", password.path);
    let config = load_text(&with(&link), &[]).unwrap().config;
    let login = config.links[0].options.credentials.as_ref().unwrap();
    assert_eq!(login.password.as_ref().unwrap().reveal(), "hunter");
    let utf16: Vec<u8> = marked.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let found = load(Some(&file(utf16).path), env(&[])).unwrap_err().to_string();
    assert!(found.contains("the text is UTF-16: save it as UTF-8"), "{found}");
}

#[test]
fn a_calibration_puts_zones_drawn_in_the_picture_on_the_ground() {
    // A plane without perspective: 100 px are a metre, y points up the picture.
    let content = with(
        "[calibration]\nimage_width = 1000\nimage_height = 500\n\
         homography = [[0.01, 0, 0], [0, -0.01, 5], [0, 0, 1]]\n\
         [[zone]]\nname = 'z'\npoints_image = [[0, 1], [0.5, 1], [0.5, 0]]\n",
    );
    let config = load_text(&content, &[]).unwrap().config;
    let corners = config.perception.zones[0].border_m.corners();
    for (corner, (x, y)) in corners.iter().zip([(0.0, 0.0), (5.0, 0.0), (5.0, 5.0)]) {
        assert!((corner.x - x).abs() < 1e-9 && (corner.y - y).abs() < 1e-9, "{corners:?}");
    }
    let ground = config.perception.ground;
    assert!(ground.is_calibrated());
    // The simulated picture has 480 columns and 360 rows.
    let place = ground.to_ground(crate::model::Point::new(480.0, 360.0)).unwrap();
    assert!(place.distance(crate::model::Point::new(10.0, 0.0)) < 1e-9, "{place:?}");
}

#[test]
fn a_camera_without_calibration_is_told_which_rules_are_off() {
    let video = "[camera]\nid = 'a'\n[capture]\nkind = 'video'\ninput = 'a.mp4'\n";
    let notes = |text: &str| load_text(text, &[]).unwrap().config.notes;
    let [note] = &notes(video)[..] else { panic!() };
    for off in ["no metres", "collision", "running", "zigzag", "passes", "loitering by distance"] {
        assert!(note.contains(off), "{off}: {note}");
    }
    let some = notes(&format!("{video}[prediction]\ncollision = false\n[behavior]\nrunning = false\n"));
    assert!(!some[0].contains("collision") && !some[0].contains("running"), "{some:?}");
    assert!(notes(MINIMAL).is_empty(), "a simulated camera is calibrated");
}

#[test]
fn a_zone_is_about_persons_and_vehicles_unless_it_names_other_classes() {
    let zone = "[[zone]]\nname = 'a'\npoints_image = [[0, 0.5], [1, 0.5], [1, 1]]\n";
    let zones = |text: &str| load_text(&with(text), &[]).unwrap().config.perception.zones;
    assert_eq!(zones(zone)[0].classes, crate::model::Zone::CLASSES);
    assert_eq!(zones(&format!("{zone}classes = ['animal']\n"))[0].classes, [crate::model::Class::Animal]);
    assert!(load_text(&with(&format!("{zone}classes = ['persn']\n")), &[]).is_err());
}

#[test]
fn the_dwell_time_of_a_zone_is_optional_and_has_a_range() {
    let zone = "[[zone]]\nname = 'a'\npoints_image = [[0, 0.5], [1, 0.5], [1, 1]]\n";
    let dwell_s = |text: &str| {
        let loaded = load_text(&with(&format!("{zone}{text}")), &[]);
        loaded.map(|loaded| loaded.config.perception.zones[0].dwell_s)
    };
    assert_eq!(dwell_s("").unwrap(), None);
    assert_eq!(dwell_s("dwell_s = 60").unwrap(), Some(60.0));
    for wrong in ["0.5", "86401.0", "nan", "-60"] {
        let faults = dwell_s(&format!("dwell_s = {wrong}")).unwrap_err().to_string();
        assert!(faults.contains("zone.0.dwell_s: found"), "{faults}");
        assert!(faults.contains("allowed: a number from 1.0 to 86400.0"), "{faults}");
    }
}
