//! `omnisight replay` of recorded detections.

use std::fmt::Write;
use std::path::Path;

use tempfile::TempDir;

use crate::support::program::{Finished, Program, omnisight};

/// Two people who walk for 40 frames, unseen for three.
fn detections() -> String {
    let mut rows = String::new();
    for n in (1..=40).filter(|n| !(20..=22).contains(n)) {
        writeln!(rows, "{n},-1,{},50,40,100,0.9,-1,-1,-1", 10 + 3 * n).unwrap();
        writeln!(rows, "{n},-1,{},200,40,100,0.9,-1,-1,-1", 500 - 3 * n).unwrap();
    }
    rows
}

/// A folder with `det.txt` and whatever else a test puts there.
fn folder(det: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("det.txt"), det).unwrap();
    folder
}

fn replay(folder: &Path, arguments: &[&str]) -> Finished {
    let mut command = omnisight(&["replay"]);
    Program::finish(command.args(arguments).current_dir(folder))
}

/// The columns of each row of a CSV file.
fn rows(file: &Path) -> Vec<Vec<f64>> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().map(|line| line.split(',').map(|column| column.parse().expect(line)).collect()).collect()
}

const BY_HAND: [&str; 7] = ["det.txt", "--out", "out.txt", "--size", "640x480", "--fps", "25"];

#[test]
fn detections_become_mot_rows_of_two_tracks_and_frames_without_rows_count() {
    let folder = folder(&detections());
    let finished = replay(folder.path(), &BY_HAND);
    assert_eq!((finished.code, finished.err.as_str()), (Some(0), ""));
    let rows = rows(&folder.path().join("out.txt"));
    assert!(finished.out.starts_with(&format!("40 frames, {} rows, ", rows.len())), "{}", finished.out);
    assert!(rows.len() >= 60, "{rows:?}");
    for row in &rows {
        let [frame, id, left, top, width, height, confidence, rest @ ..] = row.as_slice() else {
            panic!("{row:?}")
        };
        // The two keep their ids over the gap.
        let first = *top < 100.0;
        assert_eq!((*id, rest), (if first { 1.0 } else { 2.0 }, [-1.0; 3].as_slice()), "{row:?}");
        let expected = if first { 10.0 + 3.0 * frame } else { 500.0 - 3.0 * frame };
        assert!((left - expected).abs() < 10.0, "{row:?}");
        assert!((width - 40.0).abs() < 4.0 && (height - 100.0).abs() < 4.0, "{row:?}");
        assert!((1.0..=40.0).contains(frame) && (0.0..=1.0).contains(confidence), "{row:?}");
    }
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let folder = folder(&detections());
    replay(folder.path(), &BY_HAND);
    let first = std::fs::read(folder.path().join("out.txt")).unwrap();
    replay(folder.path(), &BY_HAND);
    assert_eq!(std::fs::read(folder.path().join("out.txt")).unwrap(), first);
}

#[test]
fn explain_tells_of_one_track_and_changes_no_row() {
    let folder = folder(&detections());
    replay(folder.path(), &BY_HAND);
    let silent = std::fs::read(folder.path().join("out.txt")).unwrap();
    let explained = replay(folder.path(), &[&BY_HAND[..], &["--explain", "2"]].concat());
    assert_eq!((explained.code, explained.err.as_str()), (Some(0), ""));
    assert_eq!(std::fs::read(folder.path().join("out.txt")).unwrap(), silent);
    let confirmed = explained.out.lines().filter(|line| line.contains("confirmed as")).collect::<Vec<_>>();
    assert!(matches!(confirmed[..], [line] if line.ends_with("confirmed as 2")), "{}", explained.out);
    let none = replay(folder.path(), &[&BY_HAND[..], &["--explain", "99"]].concat());
    assert_eq!(none.code, Some(1));
    assert!(none.err.contains("--explain 99: no track of this recording has this id"), "{}", none.err);
}

#[test]
fn with_a_camera_file_the_ground_file_has_a_header_and_metres() {
    let folder = folder(&detections());
    // A centimetre a pixel to the right, two towards the camera.
    let camera = r#"{"homography":[[0.01,0,0],[0,-0.02,0],[0,0,1]],"width":640,"height":480,"fps":25}"#;
    std::fs::write(folder.path().join("camera.json"), camera).unwrap();
    let finished = replay(
        folder.path(),
        &["det.txt", "--out", "out.txt", "--camera", "camera.json", "--ground", "ground.csv"],
    );
    assert_eq!((finished.code, finished.err.as_str()), (Some(0), ""));
    let text = std::fs::read_to_string(folder.path().join("ground.csv")).unwrap();
    let places = text.strip_prefix("frame,id,x,y\n").expect(&text);
    std::fs::write(folder.path().join("places.csv"), places).unwrap();
    let places = rows(&folder.path().join("places.csv"));
    let boxes = rows(&folder.path().join("out.txt"));
    assert_eq!(places.len(), boxes.len());
    for (place, b) in places.iter().zip(&boxes) {
        assert_eq!(place[..2], b[..2]);
        // The middle of the lower edge; the place is filtered, so it may lag behind the box.
        let (x, y) = ((b[2] + b[4] / 2.0) * 0.01, (b[3] + b[5]) * -0.02);
        assert!((place[2] - x).abs() < 0.3 && (place[3] - y).abs() < 0.3, "{place:?} for {b:?}");
    }
}

#[test]
fn rate_and_size_come_from_a_seqinfo_beside_or_above_the_detections() {
    let folder = folder("");
    let deep = folder.path().join("det");
    std::fs::create_dir(&deep).unwrap();
    std::fs::write(deep.join("det.txt"), detections()).unwrap();
    let info = "[Sequence]\nname=Two\nframeRate=25\nseqLength=40\nimWidth=640\nimHeight=480\n";
    for place in ["seqinfo.ini", "det/seqinfo.ini"] {
        let file = folder.path().join(place);
        std::fs::write(&file, info).unwrap();
        let finished = replay(folder.path(), &["det/det.txt", "--out", "out.txt"]);
        assert_eq!(finished.code, Some(0), "{place}: {finished:?}");
        assert!(finished.out.starts_with("40 frames"), "{finished:?}");
        std::fs::remove_file(&file).unwrap();
    }
}

#[test]
fn a_missing_rate_or_size_is_a_usage_error_that_says_what_to_do() {
    let folder = folder(&detections());
    for (given, wanted) in [("--size=640x480", "--fps"), ("--fps=25", "--size")] {
        let finished = replay(folder.path(), &["det.txt", "--out", "out.txt", given]);
        assert_eq!(finished.code, Some(64), "{finished:?}");
        for word in ["det.txt", wanted, "--camera", "seqinfo.ini"] {
            assert!(finished.err.contains(word), "no {word} in {finished:?}");
        }
        assert!(!folder.path().join("out.txt").exists());
    }
}

#[test]
fn rows_that_cannot_be_used_are_skipped_and_named_with_their_line() {
    let mut det = detections();
    det.push_str("41,-1,rubbish\n41,-1,1,1,nan,5,1\n-3,-1,1,1,5,5,1\n41,-1,300,300,0,5,1\n");
    let folder = folder(&det);
    let finished = replay(folder.path(), &BY_HAND);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(finished.out.starts_with("40 frames"), "{finished:?}");
    for word in ["det.txt", "rows skipped: 4", "line 75", "line 76", "line 77", "line 78"] {
        assert!(finished.err.contains(word), "no {word} in {finished:?}");
    }
}

#[test]
fn an_input_that_is_missing_empty_or_rubbish_is_named_and_nothing_is_written() {
    let folder = folder("");
    let rubbish: Vec<u8> = (0..5_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(folder.path().join("rubbish.txt"), rubbish).unwrap();
    std::fs::create_dir(folder.path().join("folder.txt")).unwrap();
    for input in ["missing.txt", "det.txt", "rubbish.txt", "folder.txt"] {
        let finished =
            replay(folder.path(), &[input, "--out", "out.txt", "--size", "640x480", "--fps", "25"]);
        assert!(finished.code.is_some_and(|code| code == 1 || code == 69), "{finished:?}");
        assert!(finished.err.contains(input), "{finished:?}");
        assert!(!folder.path().join("out.txt").exists(), "{input}");
    }
}

#[test]
fn a_camera_file_that_is_missing_broken_or_degenerate_is_named() {
    let folder = folder(&detections());
    let flat = r#"{"homography":[[1,0,0],[1,0,0],[0,0,1]],"width":640,"height":480,"fps":25}"#;
    let zero = r#"{"homography":[[0,0,0],[0,0,0],[0,0,0]],"width":640,"height":480,"fps":25}"#;
    let empty = r#"{"homography":[[0.01,0,0],[0,-0.01,0],[0,0,1]],"width":0,"height":480,"fps":25}"#;
    let slow = r#"{"homography":[[0.01,0,0],[0,-0.01,0],[0,0,1]],"width":640,"height":480,"fps":0}"#;
    let cases = [(flat, "degenerate"), (zero, "degenerate"), (empty, "width"), (slow, "rate"), ("{", "EOF")];
    for (text, what) in cases {
        std::fs::write(folder.path().join("camera.json"), text).unwrap();
        let finished = replay(folder.path(), &["det.txt", "--out", "out.txt", "--camera", "camera.json"]);
        assert_eq!(finished.code, Some(1), "{finished:?}");
        assert!(finished.err.contains("camera.json") && finished.err.contains(what), "{finished:?}");
    }
    let finished = replay(folder.path(), &["det.txt", "--out", "out.txt", "--camera", "none.json"]);
    assert_eq!(finished.code, Some(69), "{finished:?}");
    assert!(finished.err.contains("none.json"), "{finished:?}");
}

#[test]
fn an_output_that_cannot_be_written_is_named() {
    let folder = folder(&detections());
    let finished =
        replay(folder.path(), &["det.txt", "--out", "no/out.txt", "--size", "640x480", "--fps", "25"]);
    assert_eq!(finished.code, Some(69), "{finished:?}");
    assert!(finished.err.contains("no/out.txt"), "{finished:?}");
}

#[test]
fn a_configuration_changes_the_tracker() {
    let folder = folder(&detections());
    let config = "[camera]\nid = 'gate'\n[capture]\nkind = 'synthetic'\n[tracker]\nmin_hits = 12\n";
    std::fs::write(folder.path().join("camera.toml"), config).unwrap();
    replay(folder.path(), &BY_HAND);
    let usual = rows(&folder.path().join("out.txt"));
    let finished = replay(folder.path(), &[BY_HAND.as_slice(), &["--config", "camera.toml"]].concat());
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let late = rows(&folder.path().join("out.txt"));
    assert!(usual[0][0] < 12.0 && late[0][0] >= 12.0, "{} and {}", usual[0][0], late[0][0]);
}

#[test]
fn a_video_is_not_put_on_the_ground_of_a_simulated_camera() {
    let folder = folder("");
    std::fs::write(folder.path().join("c.toml"), "[camera]\nid = 'gate'\n[capture]\nkind = 'synthetic'\n")
        .unwrap();
    let finished = replay(folder.path(), &["film.mp4", "--out", "out.txt", "--config", "c.toml"]);
    assert_eq!(finished.code, Some(64), "{}", finished.err);
    assert!(
        finished.err.contains("c.toml: capture.kind = \"synthetic\" has the ground of a simulated camera"),
        "{}",
        finished.err
    );
}
