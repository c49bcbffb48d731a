//! The assignment with the greatest total benefit.
//!
//! The Hungarian method by shortest augmenting paths (Kuhn 1955; Jonker & Volgenant 1987), on a
//! rectangular matrix of benefits. A pair of benefit zero is no pair: rows and columns may stay
//! alone. All buffers are reused.

/// Solves one assignment after the other.
#[derive(Debug, Default)]
pub(super) struct Assignment {
    /// The column of each row.
    columns: Vec<Option<usize>>,
    /// Costs with the shorter side as lines.
    cost: Vec<f64>,
    line_potential: Vec<f64>,
    slot_potential: Vec<f64>,
    /// The line in each slot; slot 0 and line 0 stand for "none".
    line_of: Vec<usize>,
    way: Vec<usize>,
    least: Vec<f64>,
    done: Vec<bool>,
}

impl Assignment {
    /// Finds the pairs; `benefit(row, column)` is not negative and finite, zero forbids the pair.
    pub(super) fn solve(&mut self, rows: usize, columns: usize, benefit: impl Fn(usize, usize) -> f64) {
        self.columns.clear();
        self.columns.resize(rows, None);
        if rows == 0 || columns == 0 {
            return;
        }
        let transposed = rows > columns;
        let (lines, slots) = if transposed { (columns, rows) } else { (rows, columns) };
        let pair = |line: usize, slot: usize| if transposed { (slot, line) } else { (line, slot) };
        self.cost.clear();
        for line in 0..lines {
            self.cost.extend((0..slots).map(|slot| {
                let (r, c) = pair(line, slot);
                -benefit(r, c)
            }));
        }
        self.reset(lines, slots);
        for line in 1..=lines {
            self.augment(line, slots);
        }
        for slot in 1..=slots {
            let line = self.line_of[slot];
            if line > 0 && self.cost[(line - 1) * slots + slot - 1] < 0.0 {
                let (r, c) = pair(line - 1, slot - 1);
                self.columns[r] = Some(c);
            }
        }
    }

    /// The column that each row was given.
    pub(super) fn columns(&self) -> &[Option<usize>] {
        &self.columns
    }

    fn reset(&mut self, lines: usize, slots: usize) {
        let fill = |v: &mut Vec<f64>, n: usize| {
            v.clear();
            v.resize(n, 0.0);
        };
        fill(&mut self.line_potential, lines + 1);
        fill(&mut self.slot_potential, slots + 1);
        fill(&mut self.least, slots + 1);
        self.line_of.clear();
        self.line_of.resize(slots + 1, 0);
        self.way.clear();
        self.way.resize(slots + 1, 0);
        self.done.clear();
        self.done.resize(slots + 1, false);
    }

    /// Gives `line` a slot, moving others along the shortest augmenting path.
    fn augment(&mut self, line: usize, slots: usize) {
        self.line_of[0] = line;
        self.least.fill(f64::INFINITY);
        self.done.fill(false);
        let mut slot = 0;
        loop {
            self.done[slot] = true;
            let from = self.line_of[slot];
            let costs = &self.cost[(from - 1) * slots..from * slots];
            let (mut delta, mut next) = (f64::INFINITY, 0);
            for j in 1..=slots {
                if self.done[j] {
                    continue;
                }
                let reduced = costs[j - 1] - self.line_potential[from] - self.slot_potential[j];
                if reduced < self.least[j] {
                    self.least[j] = reduced;
                    self.way[j] = slot;
                }
                if self.least[j] < delta {
                    (delta, next) = (self.least[j], j);
                }
            }
            for j in 0..=slots {
                if self.done[j] {
                    self.line_potential[self.line_of[j]] += delta;
                    self.slot_potential[j] -= delta;
                } else {
                    self.least[j] -= delta;
                }
            }
            slot = next;
            if self.line_of[slot] == 0 {
                break;
            }
        }
        while slot != 0 {
            let before = self.way[slot];
            self.line_of[slot] = self.line_of[before];
            slot = before;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn best_by_trying_all(m: &[Vec<f64>], row: usize, used: &mut Vec<bool>) -> f64 {
        if row == m.len() {
            return 0.0;
        }
        let mut best = best_by_trying_all(m, row + 1, used);
        for c in 0..used.len() {
            if !used[c] {
                used[c] = true;
                best = best.max(m[row][c] + best_by_trying_all(m, row + 1, used));
                used[c] = false;
            }
        }
        best
    }

    proptest! {
        #[test]
        fn no_other_assignment_is_worth_more(
            m in (0usize..6, 0usize..6).prop_flat_map(|(r, c)| {
                let entry = prop_oneof![Just(0.0), 0.3..1.0f64];
                proptest::collection::vec(proptest::collection::vec(entry, c), r)
            }),
        ) {
            let columns = m.first().map_or(0, Vec::len);
            let mut a = Assignment::default();
            // A solved problem before it must leave no trace.
            a.solve(7, 3, |r, c| (r * c) as f64);
            a.solve(m.len(), columns, |r, c| m[r][c]);
            let pairs: Vec<_> = a.columns().iter().enumerate().filter_map(|(r, c)| c.map(|c| (r, c))).collect();
            let mut seen = vec![false; columns];
            for &(r, c) in &pairs {
                prop_assert!(m[r][c] > 0.0 && !std::mem::replace(&mut seen[c], true));
            }
            let total: f64 = pairs.iter().map(|&(r, c)| m[r][c]).sum();
            let best = best_by_trying_all(&m, 0, &mut vec![false; columns]);
            prop_assert!((total - best).abs() < 1e-9, "{total} {best}");
        }
    }

    #[test]
    fn a_greedy_choice_gives_way_to_a_better_total() {
        let m = [[0.9, 0.8], [0.8, 0.0]];
        let mut a = Assignment::default();
        a.solve(2, 2, |r, c| m[r][c]);
        assert_eq!(a.columns(), [Some(1), Some(0)]);
    }
}
