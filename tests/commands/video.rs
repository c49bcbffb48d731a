//! `omnisight replay` of videos and `omnisight check --picture`; needs ffmpeg, as the program itself does for them.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::program::{Program, omnisight};

/// Makes a video of a white box that walks over a grey ground for two seconds, or says why not.
fn made(file: &Path) -> bool {
    let ground = "color=gray:size=160x120:rate=25:duration=4";
    let walker = "color=white:size=16x40:rate=25:duration=4";
    let walk = "[0][1]overlay=x='if(lt(t,2),-100,(t-2)*60)':y=50";
    let mut command = Command::new("ffmpeg");
    command.args(["-loglevel", "error", "-y", "-f", "lavfi", "-i", ground, "-f", "lavfi", "-i", walker]);
    command.args(["-filter_complex", walk, "-pix_fmt", "yuv420p"]).arg(file).stdin(Stdio::null());
    let Ok(status) = command.status() else {
        // Past the test harness, which keeps what a passing test prints.
        let _ = writeln!(std::io::stderr(), "skipped: ffmpeg not installed");
        return false;
    };
    assert!(status.success(), "ffmpeg can't make {}", file.display());
    true
}

#[test]
fn a_video_is_detected_and_tracked_at_its_own_size_and_rate() {
    for name in ["walk.y4m", "walk.mp4"] {
        let folder = tempfile::tempdir().unwrap();
        if !made(&folder.path().join(name)) {
            return;
        }
        let mut command = omnisight(&["replay", name, "--out", "out.txt"]);
        let finished = Program::finish(command.current_dir(folder.path()));
        assert_eq!((finished.code, finished.err.as_str()), (Some(0), ""), "{name}");
        assert!(finished.out.starts_with("100 frames, "), "{name}: {finished:?}");
        let text = std::fs::read_to_string(folder.path().join("out.txt")).unwrap();
        let mut seen = 0;
        for line in text.lines() {
            let row: Vec<f64> = line.split(',').map(|column| column.parse().expect(line)).collect();
            let truth = (row[0] - 1.0) / 25.0 * 60.0 - 120.0;
            seen += u32::from((row[2] - truth).abs() < 8.0 && (row[3] - 50.0).abs() < 8.0);
        }
        assert!(seen >= 20, "{name}: {seen} good rows of\n{text}");
    }
}

#[test]
fn a_video_that_is_none_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rubbish.mp4"), "not a video").unwrap();
    for (input, code) in [("rubbish.mp4", 1), ("missing.mp4", 69)] {
        let mut command = omnisight(&["replay", input, "--out", "out.txt"]);
        let finished = Program::finish(command.current_dir(folder.path()));
        let needs_ffmpeg = finished.err.contains("can't start `ffmpeg`");
        assert_eq!(finished.code, Some(if needs_ffmpeg { 69 } else { code }), "{finished:?}");
        assert!(needs_ffmpeg || finished.err.contains(input), "{finished:?}");
    }
}

#[test]
fn check_draws_the_ground_over_a_still_and_names_what_it_can_not_draw() {
    let folder = tempfile::tempdir().unwrap();
    let still = folder.path().join("still.mp4");
    if !made(&still) {
        return;
    }
    let check = |name: &str, calibration: &str| {
        let config = folder.path().join(name);
        std::fs::write(
            &config,
            format!(
                "[camera]\nid = 'gate'\n[capture]\nkind = 'video'\ninput = '{}'\n{calibration}",
                still.display()
            ),
        )
        .unwrap();
        let arguments = ["check", "--config", config.to_str().unwrap(), "--picture", still.to_str().unwrap()];
        Program::finish(&mut omnisight(&arguments))
    };
    let calibration = |height| {
        format!(
            "[calibration]\nimage_width = 640\nimage_height = {height}\n\
             homography = [[0.05, 0.0, 0.0], [0.0, -0.05, 24.0], [0.0, 0.0, 1.0]]\n"
        )
    };
    let drawn = check("good.toml", &calibration(480));
    assert_eq!(drawn.code, Some(0), "{}", drawn.err);
    let file = std::fs::File::open(folder.path().join("still-ground.png")).unwrap();
    let decoder = png::Decoder::new(std::io::BufReader::new(file));
    assert_eq!(decoder.read_info().unwrap().info().size(), (160, 120));
    let other_shape = check("wide.toml", &calibration(360));
    assert_eq!(other_shape.code, Some(64));
    assert!(other_shape.err.contains("not the same shape"), "{}", other_shape.err);
    let uncalibrated = check("none.toml", "");
    assert_eq!(uncalibrated.code, Some(64));
    assert!(uncalibrated.err.contains("no [calibration]"), "{}", uncalibrated.err);
}
