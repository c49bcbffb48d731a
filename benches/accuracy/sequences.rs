//! Sequences of a MOTChallenge folder, and a tracker run over them.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;
use std::time::Duration;

use omnisight::base::{CountingIds, Time};
use omnisight::capture::replay::parse_rows;
use omnisight::model::{BBox, Detection, Size};
use omnisight::track::{Options, Tracker};

use crate::score::{Labelled, Score, score};

/// Detections and truth, frame by frame.
#[derive(Debug, Clone)]
pub struct Sequence {
    pub name: String,
    pub rate_hz: f64,
    pub size: Size,
    pub detections: Vec<Vec<Detection>>,
    pub truths: Vec<Vec<Labelled>>,
}

impl Sequence {
    /// `None` where something of it is missing.
    fn read(folder: &Path, detections: &str) -> Option<Self> {
        let info = fs::read_to_string(folder.join("seqinfo.ini")).ok()?;
        let value = |key: &str| {
            let pair = info.lines().filter_map(|line| line.split_once('=')).find(|(k, _)| k.trim() == key)?;
            pair.1.trim().parse::<f64>().ok()
        };
        let (rate_hz, frames) = (value("frameRate")?, value("seqLength")? as usize);
        let truth_text = fs::read_to_string(folder.join("gt/gt.txt")).ok()?;
        let (rows, _) =
            parse_rows(BufReader::new(File::open(folder.join("det").join(detections)).ok()?)).ok()?;
        let mut truths = vec![Vec::new(); frames];
        for line in truth_text.lines() {
            let columns: Vec<f64> = line.split(',').filter_map(|c| c.trim().parse().ok()).collect();
            let &[frame, id, left, top, width, height, considered, ref rest @ ..] = columns.as_slice() else {
                continue;
            };
            // Since MOT16 a row has nine columns, the eighth being the class, and only people (1) count.
            let is_person = rest.len() != 2 || (rest[0] - 1.0).abs() < 0.5;
            if considered != 0.0 && is_person && (1..=frames).contains(&(frame as usize)) {
                let bbox = BBox::new(left, top, width, height);
                truths[frame as usize - 1].push(Labelled { id: id as u32, bbox, confidence: 1.0 });
            }
        }
        Some(Self {
            name: folder.file_name()?.to_string_lossy().into_owned(),
            rate_hz,
            size: Size { width: value("imWidth")? as u32, height: value("imHeight")? as u32 },
            detections: (0..frames).map(|i| rows.of_frame(i).to_vec()).collect(),
            truths,
        })
    }

    /// Every `n`th frame only, at the rate that belongs to them.
    pub fn every(&self, n: usize) -> Self {
        Self {
            name: self.name.clone(),
            rate_hz: self.rate_hz / n as f64,
            size: self.size,
            detections: self.detections.iter().step_by(n).cloned().collect(),
            truths: self.truths.iter().step_by(n).cloned().collect(),
        }
    }

    /// What the tracker reports of each frame.
    pub fn run(&self, options: &Options) -> Vec<Vec<Labelled>> {
        let (mut tracker, mut ids) = (Tracker::new(*options), CountingIds::default());
        let report = |(i, detections): (usize, &Vec<Detection>)| {
            let now = Time::default() + Duration::from_secs_f64(1.0 + i as f64 / self.rate_hz);
            tracker.step(detections, self.size, now, &mut ids);
            let labelled =
                |t: &omnisight::model::Track| Labelled { id: t.id, bbox: t.bbox, confidence: t.confidence };
            tracker.tracks().iter().map(labelled).collect()
        };
        self.detections.iter().enumerate().map(report).collect()
    }
}

/// All sequences below `root` that have this file of detections, by name.
pub fn read_all(root: &Path, detections: &str) -> Vec<Sequence> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let mut all: Vec<_> = entries.filter_map(|e| Sequence::read(&e.path(), detections)).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// The score of each sequence; sequences are independent, so they share the processors.
pub fn evaluate(sequences: &[Sequence], options: &Options) -> Vec<Score> {
    std::thread::scope(|scope| {
        let mut running = Vec::new();
        for s in sequences {
            running.push(scope.spawn(move || score(&s.truths, &s.run(options))));
        }
        running.into_iter().map(|r| r.join().unwrap_or_default()).collect()
    })
}

/// All of them as one.
pub fn total<'a>(scores: impl IntoIterator<Item = &'a Score>) -> Score {
    let mut sum = Score::default();
    scores.into_iter().for_each(|s| sum += s);
    sum
}
