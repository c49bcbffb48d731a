//! Every way to get it wrong, and what is said about it.

use proptest::prelude::*;

use super::*;

#[test]
fn ten_faults_at_once_are_all_told_with_their_places() {
    let content = "\
[camera]
id = \"gate control/1\"
[capture]
kind = \"synthetic\"
view = 3
[tracker]
iou_mim = 0.2
iou_min = 1.7
min_hits = \"3\"
[calibration]
points = [
  { image = [0, 0], ground = [0, 0] },
  { image = [0, 0], ground = [0] },
]
[[zone]]
name = \"a\"
points_m = [[0, 0], [1, 1], [1, 0], [0, 1]]
[[zone]]
name = \"a\"
[broker]
listen = \"localhost\"
[behaviour]
";
    assert_eq!(
        faults(content, &[]),
        [
            "2:6: camera.id: found \"gate control/1\": a camera id may only hold A-Z a-z 0-9 _ . -, has ' '",
            "5:8: capture.view: found 3, allowed: an integer below capture.cameras (3)",
            "7:1: tracker.iou_mim: unknown key; did you mean iou_min?",
            "8:11: tracker.iou_min: found 1.7, allowed: a number from 0.0 to 1.0",
            "9:12: tracker.min_hits: found \"3\", allowed: an integer from 1 to 100",
            "11:10: calibration.points: found a list of 2, allowed: a list of 4 to 256 elements, each a table with ground, image",
            "13:30: calibration.points.1.ground: found a list of 1, allowed: a list of 2 elements, each a number",
            "17:12: zone.0.points_m: found 4 points: edges 0 and 2 cross",
            "18:1: zone.1.points_m: missing; allowed: 3 or more corners in points_m or points_image",
            "19:8: zone.1.name: found \"a\", allowed: a name that no other zone has",
            "21:10: broker.listen: found \"localhost\", allowed: an IP address and a port, such as 127.0.0.1:1883 or [::]:1883",
            "22:2: behaviour: unknown key; did you mean behavior?",
        ]
    );
}

/// One wrong thing, and what is said about it.
fn tells(content: &str, expected: &str) {
    assert_eq!(faults(content, &[]), [expected], "{content}");
}

#[test]
fn tracks_are_signed_where_messages_are_and_can_not_be_left_out_where_signatures_are_required() {
    let signs_tracks = |keys: &str| {
        let config = load_text(&with(&format!("[trust]\n{keys}\n")), &[]).unwrap().config;
        config.swarm.unwrap().trust.tracks
    };
    assert!(!signs_tracks("") && signs_tracks("sign = true") && signs_tracks("require = true"));
    assert!(!signs_tracks("sign = true\nsign_tracks = false") && signs_tracks("sign_tracks = true"));
    tells(
        &with("[trust]\nsign = true\nrequire = true\nsign_tracks = false\n"),
        "8:15: trust.sign_tracks: found false: trust.require = true accepts only signed tracks; remove sign_tracks or set it to true",
    );
}

#[test]
fn what_is_missing_is_named_even_when_the_section_is() {
    let kinds = "\"synthetic\", \"command\", \"video\" or \"replay\"";
    let id = "camera.id: missing; allowed: a text with 1 to 63 characters";
    let kind = format!("capture.kind: missing; allowed: {kinds}");
    assert_eq!(faults("", &[]), [format!("1:1: {id}"), format!("1:1: {kind}")]);
    let nowhere = load(None, env(&[])).unwrap_err();
    let expected = format!("(no configuration file): {id}\n(no configuration file): {kind}");
    assert_eq!(nowhere.to_string(), expected);
    tells("[camera]\nid='a'\n[capture]\nfps = 'x'", &format!("3:2: {kind}"));
    tells(
        "[camera]\nid='a'\n[capture]\nkind='rtsp'",
        &format!("4:6: capture.kind: found \"rtsp\", allowed: {kinds}"),
    );
    let replay = "[camera]\nid='a'\n[capture]\nkind='replay'\nfile='det.txt'\nheight=1\nfps=5";
    tells(replay, "3:2: capture.width: missing; allowed: an integer from 1 to 65536");
}

#[test]
fn a_key_of_another_kind_of_source_is_told_whose_it_is() {
    tells(
        &with("input = 'a'"),
        "5:1: capture.input: this key belongs to kind = \"video\", found kind = \"synthetic\"",
    );
    let content = "[camera]\nid='a'\n[capture]\nkind='command'\ncommand=['x']\nseed=3";
    tells(content, "6:1: capture.seed: this key belongs to kind = \"synthetic\", found kind = \"command\"");
    tells(&with("fpss = 3"), "5:1: capture.fpss: unknown key; did you mean fps?");
    tells(&with("zzz = 3"), "5:1: capture.zzz: unknown key");
}

#[test]
fn values_of_the_wrong_type_or_range_are_told_what_is_allowed() {
    let tracker = |line: &str, expected: &str| tells(&with(&format!("[tracker]\n{line}")), expected);
    tracker("iou_min = nan", "6:11: tracker.iou_min: found NaN, allowed: a number from 0.0 to 1.0");
    tracker("iou_min = -inf", "6:11: tracker.iou_min: found -inf, allowed: a number from 0.0 to 1.0");
    tracker("min_hits = 3.0", "6:12: tracker.min_hits: found 3.0, allowed: an integer from 1 to 100");
    tracker(
        "min_hits = 99999999999999999999",
        "6:12: tracker.min_hits: found 99999999999999999999, allowed: an integer from 1 to 100",
    );
    tracker(
        "min_hits = 2024-01-01",
        "6:12: tracker.min_hits: found 2024-01-01, allowed: an integer from 1 to 100",
    );
    tells(&with("[swarm]\nenabled = 1"), "6:11: swarm.enabled: found 1, allowed: true or false");
    tells(
        &with("[log]\nlevel = 'loud'"),
        "6:9: log.level: found \"loud\", allowed: \"error\", \"warn\", \"info\", \"debug\" or \"trace\"",
    );
    tells(
        &with("[swarm]\nprefix = ''"),
        "6:10: swarm.prefix: found \"\", allowed: a text with 1 to 200 characters",
    );
    tells(
        &format!("tracker = 1\n{MINIMAL}"),
        "1:11: tracker: found 1, allowed: a table with evidence_min, iou_min, lost_s, max_age_frames, min_hits, tracks_max",
    );
    tells(
        &with("[zone]\nname = 'a'"),
        "5:2: zone: found a table, allowed: a list of up to 64 elements, each a table with classes, dwell_s, kind, name, points_image, points_m",
    );
}

#[test]
fn whole_numbers_are_good_where_reals_are_wanted() {
    assert!(
        (load_text(&with("[tracker]\niou_min = 1"), &[]).unwrap().config.perception.tracker.iou_min - 1.0)
            .abs()
            < 1e-12
    );
}

#[test]
fn a_fault_in_a_variable_names_the_variable() {
    let one =
        |name: &str, value: &str, expected: &str| assert_eq!(faults(MINIMAL, &[(name, value)]), [expected]);
    one(
        "OMNISIGHT_TRACKER__IOU_MIN",
        "much",
        "OMNISIGHT_TRACKER__IOU_MIN: tracker.iou_min: found \"much\", allowed: a number from 0.0 to 1.0",
    );
    one(
        "OMNISIGHT_TRACKER__IOU_MIM",
        "1",
        "OMNISIGHT_TRACKER__IOU_MIM: tracker.iou_mim: unknown key; did you mean iou_min?",
    );
    one(
        "OMNISIGHT_TRAKER__IOU_MIN",
        "1",
        "OMNISIGHT_TRAKER__IOU_MIN: traker: unknown key; did you mean tracker?",
    );
    one("OMNISIGHT_CAMERA__ID__X", "1", "OMNISIGHT_CAMERA__ID__X: camera.id.x: unknown key");
    one(
        "OMNISIGHT_BROKER_LINK_0_URL",
        "x",
        "OMNISIGHT_BROKER_LINK_0_URL: broker_link_0_url: unknown key; did you mean OMNISIGHT_BROKER_LINK__0__URL?",
    );
    one("OMNISIGHT_LOG", "debug", "OMNISIGHT_LOG: log: unknown key; did you mean OMNISIGHT_LOG__KEY?");
    one(
        "OMNISIGHT_A__B__C__D__E__F__G__H__I",
        "1",
        "OMNISIGHT_A__B__C__D__E__F__G__H__I: a.b.c.d.e.f.g.h: unknown key",
    );
    let link = with("[[broker_link]]\nurl = 'mqtt://h'\n");
    assert_eq!(
        faults(&link, &[("OMNISIGHT_BROKER_LINK__5__URL", "mqtt://h")]),
        [
            "OMNISIGHT_BROKER_LINK__5__URL: broker_link.5.url: found 5, allowed: the number of an element: 0 to 1 (a new one)"
        ]
    );
}

#[test]
fn a_secret_is_in_no_fault() {
    let all = [
        faults(&with("[[broker_link]]\nurl = 'mqtt://u:hunter2@h'\npassword = 'hunter2'"), &[]),
        faults(&with("[[broker_link]]\nurl = 'mqtt://h'\npassword = ['hunter2']\nusername='u'"), &[]),
        faults(&with("[[broker_link]]\nurl = 'mqtt://h'\npassword = 1234567\nusername='u'"), &[]),
        faults(&with("[broker]\nusers = 'me:hunter2'"), &[]),
        faults(&with("[broker]\nusers = ['me:hunter2']"), &[]),
        faults(&with("[[broker_link]]\npassword = 'hunter2"), &[]),
        faults(MINIMAL, &[("OMNISIGHT_BROKER_LINK", "hunter2"), ("OMNISIGHT_BROKER__PASSWORD", "hunter2")]),
    ];
    let shown = format!("{all:#?}");
    assert!(!shown.contains("hunter2") && !shown.contains("1234567"), "{shown}");
}

#[test]
fn a_calibration_that_can_not_be_is_refused_with_the_reason() {
    let calibration =
        |more: &str| with(&format!("[calibration]\nimage_width = 640\nimage_height = 480\n{more}"));
    let says = |more: &str, expected: &str| {
        let found = faults(&calibration(more), &[]);
        assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
    };
    let pairs = |pairs: &[[f64; 4]]| {
        let pair = |[u, v, x, y]: &[f64; 4]| format!("{{ image = [{u}, {v}], ground = [{x}, {y}] }}");
        format!("points = [{}]", pairs.iter().map(pair).collect::<Vec<_>>().join(", "))
    };
    let line =
        pairs(&[[0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0], [2.0, 2.0, 2.0, 2.0], [3.0, 3.0, 3.0, 3.0]]);
    says(&line, "8:10: calibration.points: found 4 point pairs: the calibration is degenerate");
    // y down the picture and y down the ground: the plane is seen from below.
    let mirrored = pairs(&[
        [0.0, 0.0, 0.0, 0.0],
        [640.0, 0.0, 6.0, 0.0],
        [640.0, 480.0, 6.0, 5.0],
        [0.0, 480.0, 0.0, 5.0],
    ]);
    says(&mirrored, "the calibration is mirrored");
    says(
        "homography = [[1, 0, -320], [0, 0, 1], [0, 0.01, -1]]",
        "8:14: calibration.homography: found a matrix: the calibration puts the horizon",
    );
    says(
        "homography = [[1, 0, 0], [1, 0, 0], [0, 0, 1]]",
        "calibration.homography: found a matrix: the calibration is degenerate",
    );
    says(
        "homography = [[1, 0, 0], [0, 1, 0]]",
        "allowed: a list of 3 elements, each a list of 3 elements, each a number",
    );
    says(&format!("{mirrored}\nhomography = [[1,0,0],[0,1,0],[0,0,1]]"), "there is calibration.points, too");
    assert_eq!(faults(&calibration(""), &[]).len(), 2);
    let sizeless = with(&format!("[calibration]\n{line}"));
    let found = faults(&sizeless, &[]);
    assert!(found[0].contains("calibration.image_width: missing") && found.len() == 2, "{found:?}");
}

#[test]
fn calibration_keys_without_effect_are_refused() {
    let says = |content: &str, expected: &str| {
        let found = faults(content, &[]);
        assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
    };
    let horizon = with("[calibration]\nallow_horizon = true");
    says(&horizon, "6:17: calibration.allow_horizon: found true: without calibration.points or");
    let simulated = with("[calibration]\nmeters_per_unit = 5");
    says(&simulated, "6:19: calibration.meters_per_unit: found 5.0: a simulated camera");
    let measured = with(
        "[calibration]\nimage_width = 640\nimage_height = 480\nmeters_per_unit = 5\n\
         homography = [[0.01, 0, 0], [0, -0.01, 5], [0, 0, 1]]\n",
    );
    says(&measured, "8:19: calibration.meters_per_unit: found 5.0: with calibration.homography it has");
    let real = "[camera]\nid='a'\n[capture]\nkind='video'\ninput='x'\n[calibration]\nmeters_per_unit = 5";
    let ground = load_text(real, &[]).unwrap().config.perception.ground;
    assert_eq!(ground, GroundPlane::nominal(5.0, Size { width: 1, height: 1 }));
}

#[test]
fn faults_of_variables_are_told_though_the_file_is_no_toml() {
    let variables = [
        ("OMNISIGHT_TRACKER__IOU_MIN", "much"),
        ("OMNISIGHT_LOG", "debug"),
        // Right or wrong by what the file says: not a word about them.
        ("OMNISIGHT_CAPTURE__FPS", "5"),
        ("OMNISIGHT_ZONE__1__NAME", "b"),
        ("OMNISIGHT_ZONE__0__NAME", "a"),
    ];
    let told = [
        "OMNISIGHT_LOG: log: unknown key; did you mean OMNISIGHT_LOG__KEY?",
        "OMNISIGHT_TRACKER__IOU_MIN: tracker.iou_min: found \"much\", allowed: a number from 0.0 to 1.0",
    ];
    let broken = faults("[capture\n", &variables);
    assert!(broken.len() == 3 && broken[0].contains("not TOML") && broken[1..] == told, "{broken:?}");
    let missing = load(Some(Path::new("/no/such/file.toml")), env(&variables)).unwrap_err().to_string();
    let lines: Vec<_> = missing.lines().collect();
    assert!(lines[0].starts_with("/no/such/file.toml: can't be read") && lines[1..] == told, "{missing}");
}

#[test]
fn a_zone_at_the_horizon_has_no_place_on_the_ground() {
    let content = with(
        "[calibration]\nimage_width = 640\nimage_height = 480\nallow_horizon = true\naccept_doubtful = true\n\
         homography = [[1, 0, -320], [0, 0, 1], [0, 0.01, -1]]\n\
         [[zone]]\nname = 'sky'\npoints_image = [[0.1, 0.9], [0.9, 0.9], [0.5, 0.1]]\n",
    );
    let found = faults(&content, &[]);
    assert!(
        found.len() == 1 && found[0].starts_with("13:41: zone.0.points_image.2: found [0.5, 0.1]"),
        "{found:?}"
    );
}

#[test]
fn broker_urls_that_cannot_be_used_are_refused_with_the_reason() {
    let says = |url: &str, expected: &str| {
        let found = faults(&with(&format!("[[broker_link]]\nurl = {url:?}")), &[]);
        assert!(
            found.len() == 1
                && found[0].starts_with("6:7: broker_link.0.url: found ")
                && found[0].contains(expected),
            "{url}: {found:?}"
        );
    };
    says("mqtt://h/path", "only ws:// and wss:// have a path");
    says("mqtt://u:p@h", "name and password belong in");
    says("mqtt://h:0", "the port is an integer from 1 to 65535");
    says("mqtt://h:99999", "the port is an integer from 1 to 65535");
    says("mqtt://[::x]:1", "no IPv6 address");
    for other in ["h:1883", "http://h", "mqtt://", "mqtt://h o", "mqtt://::1", "mqtt://[::1]x"] {
        says(other, "a broker is mqtt://host");
    }
    for (good, host, port, websocket) in [
        ("mqtt://h", "h", 1883, None),
        ("mqtt://h:1/", "h", 1, None),
        ("mqtt://[::1]:7", "::1", 7, None),
        ("ws://h", "h", 80, Some("/mqtt")),
        ("ws://h:9001/a/b", "h", 9001, Some("/a/b")),
    ] {
        let loaded = load_text(&with(&format!("[[broker_link]]\nurl = {good:?}")), &[]).unwrap();
        let link = loaded.config.links[0].options.clone();
        assert_eq!((link.host.as_str(), link.port, link.websocket.as_deref()), (host, port, websocket));
        assert_eq!(link.tls, None);
    }
}

#[test]
fn tls_keys_must_fit_together_and_their_files_must_be_there() {
    let says = |link: &str, expected: &str| {
        let found = faults(&with(&format!("[[broker_link]]\n{link}")), &[]);
        assert!(found.len() == 1 && found[0].contains(expected), "{link}: {found:?}");
    };
    says("url = 'mqtt://h'\ntls_ca = '/x'", "broker_link.0.tls_ca: found \"/x\"");
    says("url = 'mqtts://h'\ntls_ca = '/no/such.pem'", "/no/such.pem can't be read");
    says("url = 'mqtts://h'\ntls_certificate = '/x'", "broker_link.0.tls_key: missing");
    says("url = 'mqtts://h'\ntls_key = '/x'", "broker_link.0.tls_certificate: missing");
    says("url = 'mqtts://h'\ntls_min_version = '1.1'", "broker_link.0.tls_min_version: found \"1.1\"");
    says("url = 'mqtt://h'\nprotocol = '4'", "broker_link.0.protocol: found \"4\"");
}

#[test]
fn rules_between_keys_hold() {
    let link = |more: &str| with(&format!("[[broker_link]]\nurl = 'mqtt://h'\n{more}"));
    let says = |content: &str, expected: &str| {
        let found = faults(content, &[]);
        assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
    };
    says(&link("[[broker_link]]\nurl = 'mqtt://g'"), "broker_link.1.name: found \"main\"");
    says(&link("[[broker_link]]\nname = 'b'\nurl = 'mqtt://h:1883'"), "another link goes to the same broker");
    says(&link("topics = ['a/#/b']"), "broker_link.0.topics.0: found \"a/#/b\"");
    says(&link("carries = ['everything']"), "broker_link.0.carries.0");
    says(&link("password = 'x'"), "broker_link.0.username: missing");
    says(
        &link("username = 'u'\npassword = 'x'\npassword_file = '/x'"),
        "the password stands in another key, too",
    );
    says(&link("username = 'u'\npassword_file = '/no/such'"), "the file can't be read: No such file");
    says(&link("username = 'u'\npassword_file = '/dev/null'"), "the first line of the file is empty");
    says(&link("username = 'u'\npassword_file = '/dev/zero'"), "the file is larger than 4096 bytes");
    says(
        &link("reconnect_first_s = 90"),
        "broker_link.0.reconnect_max_s: found 60.0, allowed: a number from reconnect_first_s (90.0) up",
    );
    says(
        &with("[prediction]\nstep_s = 0.1\nhorizon_s = 31"),
        "6:10: prediction.step_s: found 0.1, allowed: 1 to 300 steps",
    );
    says(&with("[prediction]\nstep_s = 40"), "prediction.step_s");
    says(
        &with("[prediction]\nstep_s = 3\nevent_horizon_s = 2"),
        "prediction.step_s: found 3.0, allowed: a number up to prediction.event_horizon_s (2.0)",
    );
    says(
        &with("[prediction]\npredict_at = 0.2"),
        "prediction.retract_below: found 0.3, allowed: a number below",
    );
    for prefix in ["$SYS", "a/+", "#", "/a", "a/", "a//b", "a\\u0000b"] {
        says(&with(&format!("[swarm]\nprefix = \"{prefix}\"")), "swarm.prefix: found");
    }
    says(
        &with("[detector]\nroi = [[[0,0],[0.5,0.5],[1,1]]]"),
        "6:8: detector.roi.0: found 3 points: the points enclose no area",
    );
    says("[camera]\nid='a'\n[capture]\nkind='video'\ninput='x'\nwidth=64", "capture.height: missing");
    says("[camera]\nid='a'\n[capture]\nkind='command'\ncommand=['']", "capture.command.0");
    says(&with("[state]\ndir=''"), "state.dir");
}

#[test]
fn what_has_no_effect_on_a_live_source_is_refused_there() {
    let capture = |lines: &str| format!("[camera]\nid = 'a'\n[capture]\n{lines}\n");
    let says = |lines: &str, expected: &str| {
        let found = faults(&capture(lines), &[]);
        assert!(found.len() == 1 && found[0].starts_with(expected), "{lines}: {found:?}");
    };
    let pace = "5:8: capture.pace: found \"fast\": this source is live";
    for live in [
        "kind = 'synthetic'\npace = 'fast'",
        "command = ['x']\npace = 'fast'\nkind = 'command'",
        "input = 'rtsp://h/x'\npace = 'fast'\nkind = 'video'",
    ] {
        says(live, pace);
    }
    says("kind = 'command'\nfps = 5\ncommand = ['x']", "5:7: capture.fps: found 5.0: this source is live");
    says("kind = 'video'\nfps = 5\ninput = 'http://h/x'", "5:7: capture.fps: found 5.0: this source is live");
}

#[test]
fn every_recording_can_be_played_as_fast_as_it_goes() {
    use crate::capture::{Kind, Pace, command::Timing};
    for recording in [
        "kind = 'command'\nlive = false\ncommand = ['x']\nfps = 5",
        "kind = 'video'\ninput = 'x.mp4'\nfps = 5",
        "kind = 'replay'\nfile = 'det.txt'\nwidth = 4\nheight = 3\nfps = 5",
    ] {
        let content = format!("[camera]\nid = 'a'\n[capture]\n{recording}\n");
        let unset = load_text(&content, &[]).unwrap().config.capture;
        assert_eq!(unset.pace, Pace::Realtime);
        let rate_hz = match unset.kind {
            Kind::Command(command) => match command.timing {
                Timing::Offline { rate_hz } => rate_hz,
                Timing::Live => None,
            },
            Kind::Video(video) => video.rate_hz,
            Kind::Replay(replay) => Some(replay.rate_hz),
            Kind::Synthetic(_) => None,
        };
        assert_eq!(rate_hz, Some(5.0), "{recording}");
        let fast = load_text(&format!("{content}pace = 'fast'\n"), &[]).unwrap().config.capture;
        assert_eq!(fast.pace, Pace::Fast, "{recording}");
    }
}

#[cfg(feature = "broker")]
#[test]
fn the_embedded_broker_lets_nobody_in_without_a_name_but_on_loopback() {
    let broker = |more: &str| with(&format!("[broker]\nenabled = true\n{more}"));
    let says = |content: &str, expected: &str| {
        let found = faults(content, &[]);
        assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
    };
    says(
        &broker("allow_anonymous = true\nlisten = '0.0.0.0:1883'"),
        "7:19: broker.allow_anonymous: found true: other machines can reach",
    );
    says(&broker(""), "broker.users: missing");
    says(&broker("users = [{ name = 'a' }]"), "broker.users.0.password: missing");
    says(
        &broker("users = [{ name = 'a', password = 'x' }, { name = 'a', password = 'y' }]"),
        "broker.users.1.name: found \"a\", allowed: a name that no other user has",
    );
    says(
        &broker("allow_anonymous = true\nlisten = '127.0.0.1:0'"),
        "8:10: broker.listen: found \"127.0.0.1:0\": nobody",
    );
    for listen in ["127.0.0.1:1884", "[::1]:1883"] {
        let content = broker(&format!("allow_anonymous = true\nlisten = {listen:?}"));
        assert!(load_text(&content, &[]).unwrap().config.broker.is_some());
    }
}

#[test]
fn a_file_that_is_none_is_one_fault() {
    let whole = |path: &Path| load(Some(path), env(&[])).unwrap_err();
    let missing = whole(Path::new("/no/such/file.toml"));
    assert!(missing.to_string().starts_with("/no/such/file.toml: can't be read: No such file"), "{missing}");
    assert_eq!(missing.kind().exit_code(), 78);
    let latin = whole(&file(b"[camera]\nid = \"\xe9\"\n").path);
    assert!(latin.to_string().ends_with("c.toml: is not UTF-8 text (line 2)"), "{latin}");
    let large = whole(&file(vec![b'#'; FILE_BYTES_MAX as usize + 1]).path);
    assert!(large.to_string().ends_with("c.toml: is larger than 1048576 bytes"), "{large}");
    let syntax = faults("[camera]\nid = \"a\"\n[capture\nkind = 1\n", &[]);
    assert!(syntax.len() == 1 && syntax[0].starts_with("3:9: not TOML: "), "{syntax:?}");
    let twice = faults("[camera]\nid = 'a'\nid = 'b'\n", &[]);
    assert!(twice.len() == 1 && twice[0].starts_with("3:1: not TOML: "), "{twice:?}");
    let long = faults(&with(&format!("[detector]\nroi = [{}]", "1,".repeat(500_000))), &[]);
    assert_eq!(long.len(), 1 + 16, "too long a list, and its first elements");
    let deep = faults(&format!("a = {}", "[".repeat(100_000)), &[]);
    assert_eq!(deep.len(), 1);
}

#[test]
fn the_list_of_faults_is_bounded() {
    use std::fmt::Write;
    let mut content = MINIMAL.to_owned();
    for i in 0..5000 {
        writeln!(content, "key{i} = 1").unwrap();
    }
    let faults = load_text(&content, &[]).unwrap_err();
    assert_eq!(faults.list().len(), Faults::FAULTS_MAX);
    assert!(faults.to_string().ends_with("\nand 4800 more faults"));
}

/// A value of any TOML type.
fn toml_value() -> impl Strategy<Value = String> {
    let scalars = [
        "1",
        "-1",
        "0.5",
        "nan",
        "true",
        "'x'",
        "''",
        "2024-01-01",
        "9223372036854775807",
        "1e308",
        "{}",
        "[]",
    ];
    prop::sample::select(scalars.to_vec()).prop_map(str::to_owned).prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|v| format!("[{}]", v.join(", "))),
            prop::collection::vec(inner, 2..3)
                .prop_map(|v| format!("{{ image = {}, ground = {} }}", v[0], v[1])),
        ]
    })
}

/// Paths of all keys, as they are written at the top of a file.
fn any_key() -> impl Strategy<Value = String> {
    let schema = schema();
    let mut keys = Vec::new();
    for (section, s) in schema["properties"].as_object().unwrap() {
        let s = s.get("items").unwrap_or(s);
        let branches = s["oneOf"].as_array().into_iter().flatten();
        for table in std::iter::once(s).chain(branches) {
            let names = table["properties"].as_object().unwrap().keys();
            keys.extend(names.map(|k| format!("{section}.{k}")));
        }
        keys.push(section.clone());
    }
    prop::sample::select(keys)
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(content in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(load(Some(&file(content).path), env(&[])).is_err());
    }

    #[test]
    fn arbitrary_values_load_or_have_faults(lines in prop::collection::vec((any_key(), toml_value()), 0..6)) {
        let lines: Vec<String> = lines.into_iter().map(|(k, v)| format!("{k} = {v}")).collect();
        let base = "camera.id = 'a'\ncapture.kind = 'synthetic'\n";
        match load_text(&format!("{base}{}\n", lines.join("\n")), &[]) {
            Ok(loaded) => prop_assert_eq!(load_text(&effective(&loaded).unwrap(), &[]).unwrap().raw, loaded.raw),
            Err(faults) => {
                prop_assert!(!faults.list().is_empty());
                prop_assert!(!faults.to_string().contains("an error of ours"), "{}", faults);
                prop_assert!(faults.list().iter().all(|f| f.to_string().lines().count() == 1), "{}", faults);
            }
        }
    }

    #[test]
    fn arbitrary_variables_load_or_have_faults(key in any_key(), tail in "(__[0-3])?(__[A-Z]{0,3})?", value in ".{0,20}") {
        let name = format!("OMNISIGHT_{}{tail}", key.replace('.', "__").to_uppercase());
        if let Err(faults) = load_text(MINIMAL, &[(&name, &value)]) {
            prop_assert!(!faults.list().is_empty());
        }
    }
}
