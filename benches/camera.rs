//! What a whole camera costs beside bare decoding: the program and its ffmpeg together, user and system time, against
//! `ffmpeg -i FILE -f null -` on the same file, in turns.
//!
//! `cargo bench --bench camera` makes a file of each size, H.264 where this ffmpeg can encode it, and prints the
//! medians of [`ROUNDS`] rounds and their ratios. `OMNISIGHT_VIDEO=FILE` measures that file instead;
//! `OMNISIGHT_BESIDE=PROGRAM` is another build of omnisight that takes its turn, too. Goal: 1.25 at 1920x1080, 1.2 at
//! 3840x2160.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run has to stop")]
#![expect(clippy::print_stdout, reason = "its report")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const ROUNDS: usize = 5;
/// Seconds of each generated file, and its frames a second.
const LASTS_S: u32 = 20;
const FPS: u32 = 25;
/// Clock ticks a second, as `/proc` counts them on Linux.
const TICKS: f64 = 100.0;

/// Objects that move over a still background, with a sensor's noise.
fn generate(folder: &Path, size: &str) -> PathBuf {
    let path = folder.join(format!("{size}.mp4"));
    let still = format!(
        "testsrc2=size={size}:rate={FPS}:duration={LASTS_S},trim=end_frame=1,loop=-1:1,setpts=N/{FPS}/TB"
    );
    let walker = format!("color=c=brown:size=60x160:rate={FPS}:duration={LASTS_S}");
    let filter = "[0][1]overlay=x='100+mod(n*6,W-200)':y=H/2:shortest=1,noise=alls=4:allf=t,format=yuv420p";
    let encoded = |encoder: &[&str]| {
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-nostdin", "-y", "-loglevel", "error", "-f", "lavfi", "-i", &still]);
        ffmpeg.args(["-f", "lavfi", "-i", &walker, "-filter_complex", filter]).args(encoder).arg(&path);
        ffmpeg.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    let made = encoded(&["-c:v", "libx264", "-preset", "medium", "-crf", "23"])
        || encoded(&["-c:v", "mpeg4", "-q:v", "4"]);
    assert!(made, "ffmpeg makes no video");
    path
}

/// User and system time of all children that have ended, seconds.
fn children_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    // Fields 16 and 17 of proc(5); the first here is the third there.
    after_name
        .split_ascii_whitespace()
        .skip(13)
        .take(2)
        .map(|ticks| ticks.parse::<f64>().unwrap())
        .sum::<f64>()
        / TICKS
}

/// The processor time of the program and of what it started.
fn measure(program: &str, arguments: &[&str]) -> f64 {
    let before = children_s();
    let status = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{program} {arguments:?}: {status}");
    children_s() - before
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn compare(video: &Path) {
    let video = video.to_str().unwrap();
    let decode = ["-nostdin", "-loglevel", "error", "-i", video, "-f", "null", "-"];
    let replay = ["replay", video, "--out", "/dev/null"];
    let mut contestants = vec![
        ("ffmpeg, decoding alone".to_owned(), "ffmpeg".to_owned(), decode.to_vec()),
        ("omnisight".to_owned(), env!("CARGO_BIN_EXE_omnisight").to_owned(), replay.to_vec()),
    ];
    if let Ok(beside) = std::env::var("OMNISIGHT_BESIDE") {
        contestants.push((beside.clone(), beside, replay.to_vec()));
    }
    let mut times = vec![Vec::new(); contestants.len()];
    for _ in 0..ROUNDS {
        for ((_, program, arguments), times) in contestants.iter().zip(&mut times) {
            times.push(measure(program, arguments));
        }
    }
    println!("{video}");
    let alone_s = median(&mut times[0].clone());
    for ((name, ..), times) in contestants.iter().zip(&mut times) {
        let median_s = median(times);
        println!("  {name}: {median_s:.2} s of processor time, {:.2} of decoding alone", median_s / alone_s);
    }
}

fn main() {
    if Command::new("ffmpeg").arg("-version").stdout(Stdio::null()).status().is_err() {
        println!("skipped: ffmpeg not installed");
        return;
    }
    if let Ok(video) = std::env::var("OMNISIGHT_VIDEO") {
        compare(Path::new(&video));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for size in ["1920x1080", "3840x2160"] {
        compare(&generate(folder.path(), size));
    }
}
