//! HOTA (Luiten et al., IJCV 2021), CLEAR (Bernardin & Stiefelhagen 2008) and identity scores
//! (Ristani et al. 2016) as `TrackEval` computes them; sums of sequences, like its COMBINED row.

use std::ops::AddAssign;

use omnisight::model::BBox;

/// Localisation thresholds of HOTA: 0.05, 0.10 .. 0.95.
const ALPHAS: usize = 19;
/// Overlap from which a box counts as found.
const IOU_MIN: f64 = 0.5;
/// Equal but for rounding.
const TINY: f64 = 1e-9;
/// Bins of the calibration.
pub const BINS: usize = 10;

/// A box with an identity, and how sure its maker is of it.
#[derive(Debug, Clone, Copy)]
pub struct Labelled {
    pub id: u32,
    pub bbox: BBox,
    pub confidence: f64,
}

/// Counts that can be added over sequences.
#[derive(Debug, Clone, Default)]
pub struct Score {
    truths: f64,
    reports: f64,
    hota_hits: [f64; ALPHAS],
    /// Sum over the hits of how well their pair of identities is associated.
    hota_association: [f64; ALPHAS],
    clear_hits: f64,
    pub switches: f64,
    identity_hits: f64,
    /// Reports, those that are true, and the sum of confidences, by confidence.
    pub bins: [[f64; 3]; BINS],
}

impl Score {
    pub fn hota(&self) -> f64 {
        let at = |i: usize| {
            let hits = self.hota_hits[i];
            let detection = hits / (self.truths + self.reports - hits).max(1.0);
            (detection * self.hota_association[i] / hits.max(1.0)).sqrt()
        };
        100.0 * (0..ALPHAS).map(at).sum::<f64>() / ALPHAS as f64
    }

    pub fn mota(&self) -> f64 {
        let (misses, false_ones) = (self.truths - self.clear_hits, self.reports - self.clear_hits);
        100.0 * (1.0 - (misses + false_ones + self.switches) / self.truths.max(1.0))
    }

    pub fn idf1(&self) -> f64 {
        100.0 * 2.0 * self.identity_hits / (self.truths + self.reports).max(1.0)
    }

    pub fn misses(&self) -> f64 {
        self.truths - self.clear_hits
    }

    pub fn false_ones(&self) -> f64 {
        self.reports - self.clear_hits
    }

    /// Expected calibration error: how far confidence and truth are apart in a bin, on average.
    pub fn calibration_error(&self) -> f64 {
        let apart: f64 = self.bins.iter().map(|[_, hits, sum]| (hits - sum).abs()).sum();
        apart / self.reports.max(1.0)
    }
}

impl AddAssign<&Score> for Score {
    fn add_assign(&mut self, o: &Score) {
        self.truths += o.truths;
        self.reports += o.reports;
        self.clear_hits += o.clear_hits;
        self.switches += o.switches;
        self.identity_hits += o.identity_hits;
        for i in 0..ALPHAS {
            self.hota_hits[i] += o.hota_hits[i];
            self.hota_association[i] += o.hota_association[i];
        }
        for (bin, other) in self.bins.iter_mut().flatten().zip(o.bins.iter().flatten()) {
            *bin += other;
        }
    }
}

/// Small whole numbers for identities.
struct Names(std::collections::HashMap<u32, usize>);

impl Names {
    fn of(frames: &[Vec<Labelled>]) -> Self {
        let mut names = std::collections::HashMap::new();
        for one in frames.iter().flatten() {
            let next = names.len();
            names.entry(one.id).or_insert(next);
        }
        Self(names)
    }

    fn in_frame(&self, frame: &[Labelled]) -> Vec<usize> {
        frame.iter().map(|one| self.0[&one.id]).collect()
    }
}

/// One frame: who is there, who is reported, and how much they overlap.
struct Overlaps {
    truths: Vec<usize>,
    reports: Vec<usize>,
    iou: Vec<Vec<f64>>,
}

/// Scores one sequence; both sides have one entry for each frame.
pub fn score(truths: &[Vec<Labelled>], reports: &[Vec<Labelled>]) -> Score {
    let (truth_names, report_names) = (Names::of(truths), Names::of(reports));
    let none = Vec::new();
    let frames: Vec<Overlaps> = truths
        .iter()
        .enumerate()
        .map(|(i, truth)| {
            let report = reports.get(i).unwrap_or(&none);
            Overlaps {
                truths: truth_names.in_frame(truth),
                reports: report_names.in_frame(report),
                iou: truth.iter().map(|t| report.iter().map(|r| t.bbox.iou(r.bbox)).collect()).collect(),
            }
        })
        .collect();
    let sizes = (truth_names.0.len(), report_names.0.len());
    let mut score = Score {
        truths: truths.iter().map(Vec::len).sum::<usize>() as f64,
        reports: reports.iter().map(Vec::len).sum::<usize>() as f64,
        ..Score::default()
    };
    hota(&frames, sizes, &mut score);
    clear(&frames, sizes, reports, &mut score);
    identity(&frames, sizes, &mut score);
    score
}

fn count(frames: &[Overlaps], (truths, reports): (usize, usize)) -> (Vec<f64>, Vec<f64>) {
    let (mut of_truth, mut of_report) = (vec![0.0; truths], vec![0.0; reports]);
    for frame in frames {
        frame.truths.iter().for_each(|&t| of_truth[t] += 1.0);
        frame.reports.iter().for_each(|&r| of_report[r] += 1.0);
    }
    (of_truth, of_report)
}

fn hota(frames: &[Overlaps], sizes: (usize, usize), score: &mut Score) {
    let (of_truth, of_report) = count(frames, sizes);
    let mut likely = vec![vec![0.0; sizes.1]; sizes.0];
    for frame in frames {
        let rows: Vec<f64> = frame.iou.iter().map(|row| row.iter().sum()).collect();
        let columns: Vec<f64> =
            (0..frame.reports.len()).map(|c| frame.iou.iter().map(|row| row[c]).sum()).collect();
        for (r, row) in frame.iou.iter().enumerate() {
            for (c, iou) in row.iter().enumerate() {
                let share = rows[r] + columns[c] - iou;
                if share > TINY {
                    likely[frame.truths[r]][frame.reports[c]] += iou / share;
                }
            }
        }
    }
    let mut pairs = vec![vec![[0.0; ALPHAS]; sizes.1]; sizes.0];
    for frame in frames {
        let benefit: Vec<Vec<f64>> = frame
            .iou
            .iter()
            .enumerate()
            .map(|(r, row)| {
                let t = frame.truths[r];
                let one = |(c, iou): (usize, &f64)| {
                    let o = frame.reports[c];
                    likely[t][o] / (of_truth[t] + of_report[o] - likely[t][o]).max(TINY) * iou
                };
                row.iter().enumerate().map(one).collect()
            })
            .collect();
        for (r, c) in best_pairs(&benefit) {
            let hits = &mut pairs[frame.truths[r]][frame.reports[c]];
            for (alpha, hits) in hits.iter_mut().enumerate() {
                if frame.iou[r][c] >= 0.05 * (alpha + 1) as f64 - TINY {
                    *hits += 1.0;
                }
            }
        }
    }
    for (t, row) in pairs.iter().enumerate() {
        for (o, hits) in row.iter().enumerate() {
            for (alpha, &n) in hits.iter().enumerate() {
                score.hota_hits[alpha] += n;
                score.hota_association[alpha] += n * n / (of_truth[t] + of_report[o] - n).max(1.0);
            }
        }
    }
}

fn clear(frames: &[Overlaps], sizes: (usize, usize), reports: &[Vec<Labelled>], score: &mut Score) {
    /// Whoever was paired in the frame before stays so while it can.
    const STAY: f64 = 1000.0;
    // By truth: with whom in the frame before, and with whom at last.
    let (mut before, mut last) = (vec![None; sizes.0], vec![None; sizes.0]);
    for (index, frame) in frames.iter().enumerate() {
        let benefit: Vec<Vec<f64>> = frame
            .iou
            .iter()
            .enumerate()
            .map(|(r, row)| {
                let one = |(c, &iou): (usize, &f64)| {
                    let stay = if before[frame.truths[r]] == Some(frame.reports[c]) { STAY } else { 0.0 };
                    if iou >= IOU_MIN - TINY { stay + iou } else { 0.0 }
                };
                row.iter().enumerate().map(one).collect()
            })
            .collect();
        let mut is_true = vec![false; frame.reports.len()];
        before.fill(None);
        for (r, c) in best_pairs(&benefit) {
            if benefit[r][c] <= TINY {
                continue;
            }
            let (t, o) = (frame.truths[r], frame.reports[c]);
            score.clear_hits += 1.0;
            is_true[c] = true;
            if last[t].is_some_and(|was| was != o) {
                score.switches += 1.0;
            }
            (before[t], last[t]) = (Some(o), Some(o));
        }
        for (report, is_true) in reports.get(index).into_iter().flatten().zip(is_true) {
            let bin = ((report.confidence * BINS as f64) as usize).min(BINS - 1);
            score.bins[bin][0] += 1.0;
            score.bins[bin][1] += f64::from(u8::from(is_true));
            score.bins[bin][2] += report.confidence;
        }
    }
}

fn identity(frames: &[Overlaps], sizes: (usize, usize), score: &mut Score) {
    let mut shared = vec![vec![0.0; sizes.1]; sizes.0];
    for frame in frames {
        for (r, row) in frame.iou.iter().enumerate() {
            for (c, &iou) in row.iter().enumerate() {
                if iou >= IOU_MIN {
                    shared[frame.truths[r]][frame.reports[c]] += 1.0;
                }
            }
        }
    }
    score.identity_hits = best_pairs(&shared).iter().map(|&(r, c)| shared[r][c]).sum();
}

/// The pairs of the assignment with the greatest total (Hungarian method with potentials).
pub fn best_pairs(benefit: &[Vec<f64>]) -> Vec<(usize, usize)> {
    let (rows, columns) = (benefit.len(), benefit.first().map_or(0, Vec::len));
    let turned = rows > columns;
    let (lines, slots) = if turned { (columns, rows) } else { (rows, columns) };
    let cost = |line: usize, slot: usize| -if turned { benefit[slot][line] } else { benefit[line][slot] };
    let (mut u, mut v) = (vec![0.0; lines + 1], vec![0.0; slots + 1]);
    let (mut line_of, mut way) = (vec![0; slots + 1], vec![0; slots + 1]);
    for line in 1..=lines {
        line_of[0] = line;
        let (mut least, mut done) = (vec![f64::INFINITY; slots + 1], vec![false; slots + 1]);
        let mut slot = 0;
        loop {
            done[slot] = true;
            let (from, mut delta, mut next) = (line_of[slot], f64::INFINITY, 0);
            for j in 1..=slots {
                if done[j] {
                    continue;
                }
                let reduced = cost(from - 1, j - 1) - u[from] - v[j];
                if reduced < least[j] {
                    (least[j], way[j]) = (reduced, slot);
                }
                if least[j] < delta {
                    (delta, next) = (least[j], j);
                }
            }
            for j in 0..=slots {
                if done[j] {
                    u[line_of[j]] += delta;
                    v[j] -= delta;
                } else {
                    least[j] -= delta;
                }
            }
            slot = next;
            if line_of[slot] == 0 {
                break;
            }
        }
        while slot != 0 {
            let before = way[slot];
            line_of[slot] = line_of[before];
            slot = before;
        }
    }
    let chosen = (1..=slots).filter(|&j| line_of[j] > 0);
    chosen.map(|j| if turned { (j - 1, line_of[j] - 1) } else { (line_of[j] - 1, j - 1) }).collect()
}
