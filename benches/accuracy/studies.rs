//! What is asked of the tracker, and how the answers are told.

use std::path::Path;

use omnisight::track::Options;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use crate::chart;
use crate::parameters::{PARAMETERS, change};
use crate::score::{BINS, Score};
use crate::sequences::{Sequence, evaluate, total};

/// How far a draw changes a number, up or down.
const CHANGE: f64 = 0.25;
const DRAWS: usize = 60;
const SEED: u64 = 4;

/// One ingredient left out: what it is, and the numbers that say so.
const ABLATIONS: &[(&str, &[&str])] = &[
    ("nothing", &[]),
    ("all detections are sure", &["sure_odds=-99"]),
    ("scores are not scaled", &["doubt_share=1", "clear_odds=0.1"]),
    ("no search by distance, no joining", &["gate=0"]),
    ("lost for 0.5 s only", &["lost_s=0.5", "max_age_frames=1"]),
    ("a lost track before a new object", &["birth_density=1e-9"]),
    ("the velocity of the unseen does not fade", &["motion.heading_s=1000"]),
    ("overlap alone", &["stray_cost=0"]),
    ("no occlusion noise", &["occlusion_noise=0"]),
    ("the estimated box alone", &["detected_share=0", "detected_share_moving=0"]),
    ("as free up and down as across", &["motion.rise_share=1"]),
    ("nobody leaves at the edge", &["exit_s=99"]),
    ("covered tracks not reported", &["covered_s=0"]),
    ("sizes do not grow", &["motion.growth_s=0.01"]),
    ("no tentative cost", &["tentative_cost=0"]),
];

fn head(name: &str) {
    println!(
        "{name:44} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6}",
        "HOTA", "MOTA", "IDF1", "IDSW", "FP", "FN", "ECE"
    );
}

fn row(name: &str, s: &Score) {
    println!(
        "{name:44} {:6.2} {:6.2} {:6.2} {:6.0} {:6.0} {:6.0} {:6.3}",
        s.hota(),
        s.mota(),
        s.idf1(),
        s.switches,
        s.false_ones(),
        s.misses(),
        s.calibration_error()
    );
}

fn of(sequences: &[Sequence], options: &Options) -> Score {
    total(&evaluate(sequences, options))
}

pub fn scores(sequences: &[Sequence], options: &Options) {
    head("sequence");
    let scores = evaluate(sequences, options);
    for (sequence, score) in sequences.iter().zip(&scores) {
        row(&sequence.name, score);
    }
    row("all", &total(&scores));
}

/// With the defaults, and the median over the draws: only what both show is more than luck.
pub fn ablation(sequences: &[Sequence], options: &Options) {
    let names = "  HOTA   MOTA   IDF1   IDSW";
    println!("{:42}{names}  | of {DRAWS} draws{names}", "left out");
    for (name, changes) in ABLATIONS {
        let without = |mut options: Options| {
            changes.iter().for_each(|text| change(&mut options, text).unwrap());
            of(sequences, &options)
        };
        let drawn: Vec<Score> = draws(options).into_iter().map(without).collect();
        let median = |value: fn(&Score) -> f64| sorted(&drawn, value)[DRAWS / 2];
        let one = without(*options);
        println!(
            "{name:42}{:6.1} {:6.1} {:6.1} {:6.0}  |            {:6.1} {:6.1} {:6.1} {:6.0}",
            one.hota(),
            one.mota(),
            one.idf1(),
            one.switches,
            median(Score::hota),
            median(Score::mota),
            median(Score::idf1),
            median(|s| s.switches)
        );
    }
}

fn sorted(scores: &[Score], value: fn(&Score) -> f64) -> Vec<f64> {
    let mut values: Vec<f64> = scores.iter().map(value).collect();
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// `options` with every number multiplied by 0.75..1.25.
fn draw(options: &Options, random: &mut Pcg64Mcg) -> Options {
    let mut drawn = *options;
    for parameter in PARAMETERS {
        let factor = random.random_range(1.0 - CHANGE..=1.0 + CHANGE);
        (parameter.set)(&mut drawn, factor * (parameter.get)(options));
    }
    drawn
}

fn draws(options: &Options) -> Vec<Options> {
    let mut random = Pcg64Mcg::seed_from_u64(SEED);
    (0..DRAWS).map(|_| draw(options, &mut random)).collect()
}

pub fn robustness(sequences: &[Sequence], options: &Options) {
    let drawn: Vec<Score> = draws(options).into_iter().map(|o| of(sequences, &o)).collect();
    head("");
    row("defaults", &of(sequences, options));
    let values: [fn(&Score) -> f64; 4] = [Score::hota, Score::mota, Score::idf1, |s| s.switches];
    let columns = values.map(|value| sorted(&drawn, value));
    for (name, place) in [("worst", 0), ("5 of 60", 5), ("median", DRAWS / 2), ("best", DRAWS - 1)] {
        let [h, m, i, s] = columns.each_ref().map(|c| c[place]);
        println!("{name:44} {h:6.2} {m:6.2} {i:6.2} {s:6.0}");
    }
}

pub fn rates(sequences: &[Sequence], options: &Options) {
    head("frames used");
    for n in 1..=3 {
        let fewer: Vec<Sequence> = sequences.iter().map(|s| s.every(n)).collect();
        row(&format!("one of {n}"), &of(&fewer, options));
    }
}

pub fn sweep(sequences: &[Sequence], options: &Options) {
    head("changed");
    row("nothing", &of(sequences, options));
    for parameter in PARAMETERS {
        for factor in [1.0 - CHANGE, 1.0 + CHANGE] {
            let (mut changed, value) = (*options, factor * (parameter.get)(options));
            (parameter.set)(&mut changed, value);
            row(&format!("{} {value:.3}", parameter.name), &of(sequences, &changed));
        }
    }
}

/// For each sequence, the draw that is best on all others: what tuning on six gives on the seventh.
pub fn left_out(sequences: &[Sequence], options: &Options) {
    let worth = |s: &Score| s.hota() + s.idf1();
    let mut drawn = draws(options);
    drawn.push(*options);
    let scores: Vec<Vec<Score>> = drawn.iter().map(|o| evaluate(sequences, o)).collect();
    head("chosen on the others");
    let mut all = Score::default();
    for (left, sequence) in sequences.iter().enumerate() {
        let others = |scores: &Vec<Score>| {
            let rest = scores.iter().enumerate().filter(|(i, _)| *i != left).map(|(_, s)| s);
            worth(&total(rest))
        };
        let best = scores.iter().max_by(|a, b| others(a).total_cmp(&others(b))).unwrap();
        row(&sequence.name, &best[left]);
        all += &best[left];
    }
    row("all", &all);
    row("the defaults", &of(sequences, options));
    let best = scores.iter().map(total).max_by(|a, b| worth(a).total_cmp(&worth(b))).unwrap();
    row("the best draw on all", &best);
}

pub fn calibration(sequences: &[Sequence], options: &Options) {
    let scores = evaluate(sequences, options);
    let all = total(&scores);
    println!("{:>12} {:>8} {:>10} {:>8}", "confidence", "reports", "mean", "true");
    for (i, [reports, hits, sum]) in all.bins.iter().enumerate() {
        let (from, to) = (i as f64 / BINS as f64, (i + 1) as f64 / BINS as f64);
        let n = reports.max(1.0);
        println!("{from:>5.1}..{to:<5.1} {reports:>8.0} {:>10.3} {:>8.3}", sum / n, hits / n);
    }
    for (sequence, score) in sequences.iter().zip(&scores) {
        println!("{:20} {:6.3}", sequence.name, score.calibration_error());
    }
    println!("{:20} {:6.3}", "all", all.calibration_error());
}

pub fn picture(sequences: &[Sequence], options: &Options, path: &Path) {
    let drawn: Vec<Score> = draws(options).into_iter().map(|o| of(sequences, &o)).collect();
    let median = sorted(&drawn, Score::idf1)[DRAWS / 2];
    chart::write(path, &of(sequences, options), median).unwrap();
}
