//! How good the tracker is: its scores, what each ingredient gives, and how little its numbers matter.
//!
//! ```text
//! OMNISIGHT_MOT=FOLDER cargo bench --bench tracker_accuracy -- [STUDY] [--det FILE] [--set NAME=VALUE]...
//! ```
//!
//! FOLDER holds MOTChallenge sequences (`SEQ/seqinfo.ini`, `SEQ/gt/gt.txt`, `SEQ/det/FILE`); without it
//! nothing is measured, and that is said. FILE is `det_sort_frcnn.txt` unless told.
//!
//! | study | what it prints |
//! |---|---|
//! | `scores` | each sequence and all of them (the default) |
//! | `ablation` | one ingredient left out at a time |
//! | `robustness` | 60 draws with every number changed by up to 25 % |
//! | `rates` | every second and every third frame only |
//! | `sweep` | each number alone, 25 % less and more |
//! | `left-out` | numbers chosen on all sequences but one, tried on that one |
//! | `calibration` | the confidences against what was true |
//! | `picture` | nothing: the charts of the README go to `--out FILE` |
//!
//! `--set` changes one number for all of it (`motion.place_noise=0.1`, `gate*0.75`).

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a table for people, made by hand")]
#![allow(missing_docs, unreachable_pub, reason = "a command of one page")]

mod chart;
mod parameters;
mod score;
mod sequences;
mod studies;

use std::path::PathBuf;

use omnisight::track::Options;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|a| a != "--bench");
    let (mut study, mut detections) = ("scores".to_owned(), "det_sort_frcnn.txt".to_owned());
    let (mut options, mut picture) = (Options::default(), PathBuf::from("tracker.png"));
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--det" => detections = arguments.next().unwrap_or_default(),
            "--out" => picture = arguments.next().unwrap_or_default().into(),
            "--set" => {
                let changed = parameters::change(&mut options, &arguments.next().unwrap_or_default());
                if let Err(fault) = changed {
                    println!("{fault}");
                    std::process::exit(64);
                }
            }
            _ => study = argument,
        }
    }
    let Some(root) = std::env::var_os("OMNISIGHT_MOT").map(PathBuf::from) else {
        println!("skipped: OMNISIGHT_MOT names no folder of MOTChallenge sequences");
        return;
    };
    let sequences = sequences::read_all(&root, &detections);
    if sequences.is_empty() {
        println!("skipped: no sequence with det/{detections} in {}", root.display());
        return;
    }
    match study.as_str() {
        "scores" => studies::scores(&sequences, &options),
        "ablation" => studies::ablation(&sequences, &options),
        "robustness" => studies::robustness(&sequences, &options),
        "rates" => studies::rates(&sequences, &options),
        "sweep" => studies::sweep(&sequences, &options),
        "left-out" => studies::left_out(&sequences, &options),
        "calibration" => studies::calibration(&sequences, &options),
        "picture" => studies::picture(&sequences, &options, &picture),
        other => {
            println!("{other}: no such study");
            std::process::exit(64);
        }
    }
}
