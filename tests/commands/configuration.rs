//! `omnisight check` and `omnisight schema`, and usage errors.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::program::{Finished, Program, omnisight};

fn file(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("camera.toml");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

fn check(path: &Path, variables: &[(&str, &str)]) -> Finished {
    let mut command = omnisight(&["check", "--config", path.to_str().unwrap()]);
    Program::finish(command.envs(variables.iter().copied()))
}

const GOOD: &str = "[camera]\nid = 'gate'\n[capture]\nkind = 'synthetic'\n";

#[test]
fn check_prints_what_is_in_force_and_that_is_a_configuration_again() {
    let (_folder, path) = file(GOOD);
    let first = check(&path, &[("OMNISIGHT_TRACKER__IOU_MIN", "0.25")]);
    assert_eq!((first.code, first.err.as_str()), (Some(0), ""));
    let table: toml::Table = first.out.parse().unwrap();
    assert_eq!(table["camera"]["id"].as_str(), Some("gate"));
    assert_eq!(table["tracker"]["iou_min"].as_float(), Some(0.25));
    assert_eq!(table["tracker"]["min_hits"].as_integer(), Some(3));
    let (_folder, again) = file(&first.out);
    assert_eq!(check(&again, &[]).out, first.out);
}

#[cfg(feature = "broker")]
#[test]
fn every_shipped_configuration_is_good() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let folders = [folder.clone(), folder.join("three-cameras")];
    let entries = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let paths = entries.map(|entry| entry.unwrap().path());
    let files: Vec<_> = paths.filter(|path| path.extension().is_some_and(|e| e == "toml")).collect();
    assert!(files.len() >= 6, "{files:?}");
    for path in files {
        let finished = check(&path, &[]);
        // Where a camera hangs is not known before.
        let is_expected = |line: &str| line.contains("calibration: the camera is not calibrated");
        assert!(finished.code == Some(0) && finished.err.lines().all(is_expected), "{}", path.display());
    }
}

#[test]
fn ten_faults_are_ten_lines_each_with_its_place_key_value_and_what_is_allowed() {
    let (_folder, path) = file(
        "[camera]\nid = 'a b'\n[capture]\nkind = 'synthetic'\nwidth = 10\nfps = 'fast'\n\
         [tracker]\niou_min = 7\nmin_hits = 0\n[behavior]\npasses = 1\n\
         [[broker_link]]\nurl = 'http://broker'\n[broker]\nenabled = true\nlisten = 'nowhere'\n\
         users = [{ name = 'u', password = 'p' }]\n[swarm]\nprefix = 'a/#'\n[log]\nlevel = 'loud'\n",
    );
    let finished = check(&path, &[]);
    assert_eq!((finished.code, finished.out.as_str()), (Some(78), ""), "{finished:?}");
    let expected = [
        ("2:6", "camera.id", "a b"),
        ("5:9", "capture.width", "10"),
        ("6:7", "capture.fps", "fast"),
        ("8:11", "tracker.iou_min", "7"),
        ("9:12", "tracker.min_hits", "0"),
        ("11:10", "behavior.passes", "1"),
        ("13:7", "broker_link.0.url", "http://broker"),
        ("16:10", "broker.listen", "nowhere"),
        ("19:10", "swarm.prefix", "a/#"),
        ("21:9", "log.level", "loud"),
    ];
    let lines: Vec<&str> = finished.err.trim_start_matches("omnisight: ").lines().collect();
    assert_eq!(lines.len(), expected.len(), "{}", finished.err);
    for (line, (place, key, found)) in lines.iter().zip(expected) {
        let beginning = format!("{}:{place}: {key}: found ", path.display());
        assert!(line.starts_with(&beginning) && line.contains(found), "{line}\nnot\n{beginning}{found}");
        // What is allowed, in so many words or as the rule that was broken.
        assert!(line.len() > beginning.len() + found.len() + 15, "{line}");
    }
}

#[test]
fn a_fault_in_one_key_does_not_hide_the_fault_in_the_next() {
    let (_folder, path) = file(
        "[camera]\nid = 'gate'\n[capture]\nkind = 'synthetic'\n\
         [[broker_link]]\nurl = 'http://broker'\nkeep_alive_s = 1\n\
         [swarm]\nprefix = 'a/#'\npublish_severity = 'huge'\n\
         [broker]\nlisten = 'nowhere'\nmax_clients = 0\n",
    );
    let finished = check(&path, &[]);
    let keys = [
        "broker_link.0.url",
        "broker_link.0.keep_alive_s",
        "swarm.prefix",
        "swarm.publish_severity",
        "broker.listen",
        "broker.max_clients",
    ];
    for key in keys {
        assert!(finished.err.contains(&format!(" {key}: found ")), "no {key} in\n{}", finished.err);
    }
}

#[test]
fn an_unknown_key_gets_the_nearest_one_suggested() {
    let (_folder, path) = file(&format!("{GOOD}[tracker]\niou_mim = 0.3\n"));
    let finished = check(&path, &[]);
    assert_eq!(finished.code, Some(78));
    let expected =
        format!("omnisight: {}:6:1: tracker.iou_mim: unknown key; did you mean iou_min?\n", path.display());
    assert_eq!(finished.err, expected);
}

#[test]
fn a_fault_in_a_variable_names_the_variable() {
    let (_folder, path) = file(GOOD);
    let finished =
        check(&path, &[("OMNISIGHT_TRACKER__MIN_HITS", "many"), ("OMNISIGHT_TRACKER_MAX_AGE_FRAMES", "3")]);
    assert_eq!(finished.code, Some(78));
    assert!(finished.err.contains("OMNISIGHT_TRACKER__MIN_HITS: tracker.min_hits: found"), "{finished:?}");
    assert!(finished.err.contains("did you mean OMNISIGHT_TRACKER__MAX_AGE_FRAMES?"), "{finished:?}");
}

#[test]
fn secrets_are_never_shown_whether_the_configuration_is_good_or_bad() {
    let secrets = format!(
        "{GOOD}[[broker_link]]\nurl = 'mqtt://broker'\nusername = 'gate'\npassword = 'hush-1'\n\
         [broker]\nenabled = true\nusers = [{{ name = 'yard', password = 'hush-2' }}]\n"
    );
    let stream = secrets.replace("'synthetic'", "'video'\ninput = 'rtsp://viewer:hush-3@10.0.0.1/stream1'");
    for text in [secrets, stream] {
        for bad in ["", "[tracker]\nmin_hits = 0\n", "[camara]\n", "="] {
            let (_folder, path) = file(&format!("{text}{bad}"));
            let finished = check(&path, &[("OMNISIGHT_BROKER_LINK__0__PASSWORD", "hush-4")]);
            assert_eq!(finished.code, Some(if bad.is_empty() { 0 } else { 78 }), "{finished:?}");
            assert!(!format!("{finished:?}").contains("hush"), "{finished:?}");
        }
    }
}

#[test]
fn a_configuration_that_cannot_be_read_is_named() {
    let finished = check(Path::new("/no/such/file.toml"), &[]);
    assert_eq!(finished.code, Some(78), "{finished:?}");
    assert!(finished.err.contains("/no/such/file.toml"), "{finished:?}");
    let (_folder, path) = file("[camera\n");
    let finished = check(&path, &[]);
    assert_eq!(finished.code, Some(78), "{finished:?}");
    assert!(finished.err.contains(&format!("{}:1:", path.display())), "{finished:?}");
}

#[test]
fn without_any_configuration_file_the_places_that_were_searched_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = omnisight(&["check"]);
    let finished = Program::finish(command.current_dir(folder.path()));
    if Path::new("/etc/omnisight/omnisight.toml").exists() {
        return;
    }
    assert_eq!(finished.code, Some(78), "{finished:?}");
    assert!(finished.err.contains("config/omnisight.toml, /etc/omnisight/omnisight.toml"), "{finished:?}");
}

#[test]
fn the_schema_of_the_configuration_is_json_with_a_description_of_every_section() {
    let finished = Program::finish(&mut omnisight(&["schema", "config"]));
    assert_eq!((finished.code, finished.err.as_str()), (Some(0), ""));
    let schema: Value = serde_json::from_str(&finished.out).unwrap();
    for section in ["camera", "capture", "tracker", "zone", "swarm", "broker_link", "broker", "log"] {
        let described = schema["properties"][section]["description"].as_str();
        assert!(described.is_some_and(|text| !text.is_empty()), "{section}");
    }
}

#[test]
fn a_usage_error_exits_with_64_and_help_and_version_with_0() {
    let usage: [&[&str]; 7] = [
        &[],
        &["fly"],
        &["run", "--nope"],
        &["demo", "--for", "soon"],
        &["demo", "--cameras", "0"],
        &["replay", "det.txt", "--out", "out.txt", "--size", "big"],
        &["check", "--log", "loud"],
    ];
    for arguments in usage {
        let finished = Program::finish(&mut omnisight(arguments));
        assert_eq!((finished.code, finished.out.as_str()), (Some(64), ""), "{arguments:?}: {finished:?}");
        assert!(finished.err.contains("--help"), "{arguments:?}: {finished:?}");
    }
    let help = Program::finish(&mut omnisight(&["--help"]));
    assert_eq!((help.code, help.err.as_str()), (Some(0), ""));
    assert!(help.out.contains("demo") && help.out.contains("replay"), "{}", help.out);
    let version = Program::finish(&mut omnisight(&["--version"]));
    assert_eq!(version.out, format!("omnisight {}\n", env!("CARGO_PKG_VERSION")));
}
