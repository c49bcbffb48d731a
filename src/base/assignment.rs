//! The assignment with the greatest total benefit on a sparse graph.
//!
//! Rows and columns that no chain of pairs connects do not influence each other, so each connected
//! component is solved apart: exactly, by the Hungarian method with shortest augmenting paths (Kuhn
//! 1955; Jonker & Volgenant 1987) on its small dense matrix. Rows and columns may stay alone. The
//! order in which pairs are added changes nothing. All buffers are reused.

/// That `row` and `column` may go together, and what that is worth (finite, above zero).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// One side.
    pub row: usize,
    /// The other side.
    pub column: usize,
    /// What it is worth.
    pub benefit: f64,
}

/// Solves one assignment after the other.
#[derive(Debug, Clone, Default)]
pub struct Assignment {
    /// The candidates: filled by the caller, taken by `solve`.
    pub pairs: Vec<Pair>,
    /// What was chosen.
    chosen: Vec<(usize, usize)>,
    /// Union-find over rows, then columns.
    parent: Vec<usize>,
    /// Rows and columns of one component.
    rows: Vec<usize>,
    columns: Vec<usize>,
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
    /// Chooses among `pairs`, of `rows` and `columns`, and empties them. Returns (row, column).
    pub fn solve(&mut self, rows: usize, columns: usize) -> &[(usize, usize)] {
        self.chosen.clear();
        self.parent.clear();
        self.parent.extend(0..rows + columns);
        for i in 0..self.pairs.len() {
            let Pair { row, column, .. } = self.pairs[i];
            let (a, b) = (self.root(row), self.root(rows + column));
            self.parent[a.max(b)] = a.min(b);
        }
        for node in 0..rows + columns {
            let root = self.root(node);
            self.parent[node] = root;
        }
        let (mut pairs, parent) = (std::mem::take(&mut self.pairs), std::mem::take(&mut self.parent));
        pairs.sort_unstable_by_key(|p| (parent[p.row], p.row, p.column));
        for component in pairs.chunk_by(|a, b| parent[a.row] == parent[b.row]) {
            self.solve_component(component);
        }
        pairs.clear();
        (self.pairs, self.parent) = (pairs, parent);
        &self.chosen
    }

    fn root(&mut self, mut node: usize) -> usize {
        while self.parent[node] != node {
            self.parent[node] = self.parent[self.parent[node]];
            node = self.parent[node];
        }
        node
    }

    fn solve_component(&mut self, pairs: &[Pair]) {
        if let [only] = pairs {
            self.chosen.push((only.row, only.column));
            return;
        }
        self.rows.clear();
        self.rows.extend(pairs.iter().map(|p| p.row));
        self.rows.dedup();
        self.columns.clear();
        self.columns.extend(pairs.iter().map(|p| p.column));
        self.columns.sort_unstable();
        self.columns.dedup();
        let (rows, columns) = (self.rows.len(), self.columns.len());
        let (lines, slots) = (rows.min(columns), rows.max(columns));
        self.cost.clear();
        self.cost.resize(lines * slots, 0.0);
        for p in pairs {
            let r = self.rows.partition_point(|&row| row < p.row);
            let c = self.columns.partition_point(|&column| column < p.column);
            let place = if rows > columns { c * slots + r } else { r * slots + c };
            self.cost[place] = -p.benefit;
        }
        self.reset(lines, slots);
        for line in 1..=lines {
            self.augment(line, slots);
        }
        for slot in 0..slots {
            let Some(line) = self.line_of[slot + 1].checked_sub(1) else { continue };
            if self.cost[line * slots + slot] < 0.0 {
                let (r, c) = if rows > columns { (slot, line) } else { (line, slot) };
                self.chosen.push((self.rows[r], self.columns[c]));
            }
        }
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
            if !used[c] && m[row][c] > 0.0 {
                used[c] = true;
                best = best.max(m[row][c] + best_by_trying_all(m, row + 1, used));
                used[c] = false;
            }
        }
        best
    }

    fn solve(a: &mut Assignment, m: &[Vec<f64>]) -> Vec<(usize, usize)> {
        let columns = m.first().map_or(0, Vec::len);
        for (row, line) in m.iter().enumerate() {
            for (column, &benefit) in line.iter().enumerate().filter(|(_, b)| **b > 0.0) {
                a.pairs.push(Pair { row, column, benefit });
            }
        }
        a.solve(m.len(), columns).to_vec()
    }

    proptest! {
        #[test]
        fn no_other_assignment_is_worth_more(
            m in (0usize..7, 0usize..7).prop_flat_map(|(r, c)| {
                // Mostly no pair: more than one component is the rule.
                let entry = prop_oneof![3 => Just(0.0), 2 => 0.3..1.0f64];
                proptest::collection::vec(proptest::collection::vec(entry, c), r)
            }),
        ) {
            let columns = m.first().map_or(0, Vec::len);
            let mut a = Assignment::default();
            // A solved problem before it must leave no trace.
            solve(&mut a, &[vec![0.5, 0.7, 0.0], vec![0.9, 0.8, 0.1]]);
            let pairs = solve(&mut a, &m);
            let (mut rows, mut seen) = (vec![false; m.len()], vec![false; columns]);
            for &(r, c) in &pairs {
                prop_assert!(m[r][c] > 0.0);
                prop_assert!(!std::mem::replace(&mut seen[c], true) && !std::mem::replace(&mut rows[r], true));
            }
            let total: f64 = pairs.iter().map(|&(r, c)| m[r][c]).sum();
            let best = best_by_trying_all(&m, 0, &mut vec![false; columns]);
            prop_assert!((total - best).abs() < 1e-9, "{total} {best}");
        }
    }

    #[test]
    fn a_greedy_choice_gives_way_to_a_better_total() {
        let pairs = solve(&mut Assignment::default(), &[vec![0.9, 0.8], vec![0.8, 0.0]]);
        assert!(pairs.contains(&(0, 1)) && pairs.contains(&(1, 0)), "{pairs:?}");
    }
}
