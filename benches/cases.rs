//! Light, weather, knocks and faults of the source: how many things are followed that are not there.
//!
//! `OMNISIGHT_CASES=FOLDER cargo bench --bench cases` replays the recordings of [`CASES`] that are in the folder and
//! prints a table: tracks that are not the walker, those of them longer than a second, and in how many of the frames in
//! which the walker can be seen the longest track of them follows. `OMNISIGHT_BESIDE=PROGRAM` is another build of
//! omnisight, in columns of its own.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run has to stop")]
#![expect(clippy::print_stdout, reason = "its report")]

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::process::Command;

/// The recordings, at 10 frames/s, and the frames in which their one walker can be seen whole.
const CASES: [(&str, Option<RangeInclusive<u32>>); 11] = [
    ("night-ends", Some(111..=258)),
    ("light-on-and-off", Some(200..=354)),
    ("porch-light", Some(250..=404)),
    ("low-sun", Some(40..=194)),
    ("headlights", None),
    ("cloud-shadows", None),
    ("knocked-camera", None),
    ("turned-camera", None),
    ("frozen-picture", None),
    ("door-opens", None),
    ("covered-lens", None),
];
const FRAMES_PER_S: usize = 10;

/// The frames of each track.
fn replay(program: &str, video: &Path) -> BTreeMap<String, Vec<u32>> {
    let out = tempfile::NamedTempFile::new().unwrap();
    let status =
        Command::new(program).arg("replay").arg(video).arg("--out").arg(out.path()).output().unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    let mut tracks: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for row in std::fs::read_to_string(out.path()).unwrap().lines() {
        let mut columns = row.split(',');
        let frame = columns.next().unwrap().parse().unwrap();
        tracks.entry(columns.next().unwrap().to_owned()).or_default().push(frame);
    }
    tracks
}

/// Two cells of the table.
fn judge(tracks: &BTreeMap<String, Vec<u32>>, walk: Option<&RangeInclusive<u32>>) -> String {
    let is_walker = |frames: &[u32]| {
        walk.is_some_and(|walk| 2 * frames.iter().filter(|frame| walk.contains(frame)).count() > frames.len())
    };
    let others = || tracks.values().filter(|frames| !is_walker(frames));
    let long = others().filter(|frames| frames.len() > FRAMES_PER_S).count();
    let followed = walk.map(|walk| {
        let in_sight = |frames: &Vec<u32>| frames.iter().filter(|frame| walk.contains(frame)).count();
        let longest = tracks.values().map(in_sight).max().unwrap_or(0);
        format!("{longest} of {}", walk.clone().count())
    });
    format!("{} ({long}) | {}", others().count(), followed.unwrap_or_else(|| "-".into()))
}

fn main() {
    let Ok(folder) = std::env::var("OMNISIGHT_CASES") else {
        println!("skipped: OMNISIGHT_CASES names no folder of recordings");
        return;
    };
    let builds: Vec<String> = std::env::var("OMNISIGHT_BESIDE")
        .into_iter()
        .chain([env!("CARGO_BIN_EXE_omnisight").to_owned()])
        .collect();
    let columns = |text: &str| text.repeat(builds.len());
    println!("| recording |{}", columns(" false tracks (over 1 s) | frames with the walker |"));
    println!("|---|{}", columns("---|---|"));
    for (name, walk) in CASES {
        let video = Path::new(&folder).join(format!("{name}.mp4"));
        if video.exists() {
            let cells = builds.iter().map(|build| judge(&replay(build, &video), walk.as_ref()));
            println!("| {name} | {} |", cells.collect::<Vec<_>>().join(" | "));
        }
    }
}
