//! The assignment with the greatest total benefit on a sparse graph.
//!
//! Exact, by shortest augmenting paths (Jonker & Volgenant 1987) searched along the pairs there are
//! (Dijkstra 1959, with prices that keep every cost above zero), never over a full matrix. A search
//! never leaves its connected component, so components are solved apart without being looked for, and
//! a pair that nobody contests is taken at once. Rows and columns may stay alone. Rows are taken in order
//! and ties go to the first column: the same pairs, the same result.
//!
//! With n rows and e pairs a search takes at most e log e, all of them n e log e; in a crowd most rows
//! find their best column free, and the others search among a few neighbours. All buffers are reused.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// That `row` and `column` may go together, and what that is worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// One side.
    pub row: usize,
    /// The other side.
    pub column: usize,
    /// Beside staying alone; finite, above zero.
    pub worth: f64,
}

/// A row that has to compete, its pairs, and what it has.
#[derive(Debug, Clone)]
struct Line {
    row: usize,
    first: usize,
    end: usize,
    price: f64,
    slot: Option<usize>,
}

/// A column that a line may take, at this cost.
#[derive(Debug, Clone)]
struct Edge {
    column: usize,
    cost: f64,
}

/// A column: who has it, and how far the present search has come to it.
#[derive(Debug, Clone)]
struct Slot {
    price: f64,
    line: Option<usize>,
    distance: f64,
    from: usize,
}

const FREE: Slot = Slot { price: 0.0, line: None, distance: f64::INFINITY, from: 0 };

/// A column at its distance, the nearest first.
#[derive(Debug, Clone, PartialEq)]
struct Reached(f64, usize);

impl Eq for Reached {}

impl Ord for Reached {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0).then(self.1.cmp(&other.1))
    }
}

impl PartialOrd for Reached {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Solves one assignment after the other.
#[derive(Debug, Clone, Default)]
pub struct Assignment {
    /// What was chosen, row and column.
    chosen: Vec<(usize, usize)>,
    /// How many rows want each column.
    wanted: Vec<u32>,
    lines: Vec<Line>,
    edges: Vec<Edge>,
    slots: Vec<Slot>,
    heap: BinaryHeap<Reverse<Reached>>,
    /// Columns that the present search has come to, and those it has gone through.
    reached: Vec<usize>,
    passed: Vec<usize>,
}

impl Assignment {
    /// Chooses among `pairs`, which come by row and then column, of columns below `columns`. What was
    /// chosen can be read until the next one is solved.
    pub fn solve(&mut self, pairs: &[Pair], columns: usize) {
        debug_assert!(pairs.is_sorted_by_key(|p| (p.row, p.column)));
        self.chosen.clear();
        if pairs.is_empty() {
            return;
        }
        self.wanted.clear();
        self.wanted.resize(columns, 0);
        for pair in pairs {
            self.wanted[pair.column] += 1;
        }
        self.lines.clear();
        self.edges.clear();
        for of_row in pairs.chunk_by(|a, b| a.row == b.row) {
            if let [only] = of_row
                && self.wanted[only.column] == 1
            {
                self.chosen.push((only.row, only.column));
                continue;
            }
            let first = self.edges.len();
            self.edges.extend(of_row.iter().map(|p| Edge { column: p.column, cost: -p.worth }));
            let price = self.edges[first..].iter().map(|e| e.cost).fold(0.0, f64::min);
            self.lines.push(Line { row: of_row[0].row, first, end: self.edges.len(), price, slot: None });
        }
        if !self.lines.is_empty() {
            self.compete(columns);
        }
    }

    /// The pairs of the best assignment as (row, column), in no particular order.
    pub fn chosen(&self) -> &[(usize, usize)] {
        &self.chosen
    }

    fn compete(&mut self, columns: usize) {
        self.slots.clear();
        self.slots.resize(columns, FREE);
        // Most find what they want most still free.
        for (index, line) in self.lines.iter_mut().enumerate() {
            let edges = &self.edges[line.first..line.end];
            let best = edges.iter().find(|e| e.cost <= line.price && self.slots[e.column].line.is_none());
            if let Some(best) = best {
                line.slot = Some(best.column);
                self.slots[best.column].line = Some(index);
            }
        }
        for index in 0..self.lines.len() {
            if self.lines[index].slot.is_none() {
                self.augment(index);
            }
        }
        let taken = self.lines.iter().filter_map(|line| Some((line.row, line.slot?)));
        self.chosen.extend(taken);
    }

    /// Gives line `start` a column, moving others along the shortest augmenting path; at its end is a
    /// free column, or a line that stays alone.
    fn augment(&mut self, start: usize) {
        let (mut line, mut distance) = (start, 0.0);
        let (mut alone, mut alone_at) = (start, f64::INFINITY);
        let free = loop {
            let price = self.lines[line].price;
            // To stay alone costs nothing.
            if distance - price < alone_at {
                (alone, alone_at) = (line, distance - price);
            }
            for edge in &self.edges[self.lines[line].first..self.lines[line].end] {
                let slot = &mut self.slots[edge.column];
                // Rounding must not lead backwards.
                let to = distance.max(distance + (edge.cost - price - slot.price));
                if to < slot.distance {
                    if slot.distance == f64::INFINITY {
                        self.reached.push(edge.column);
                    }
                    (slot.distance, slot.from) = (to, line);
                    self.heap.push(Reverse(Reached(to, edge.column)));
                }
            }
            let nearest = loop {
                match self.heap.pop() {
                    // What was reached again on a shorter way.
                    Some(Reverse(Reached(to, column))) if to > self.slots[column].distance => {}
                    Some(Reverse(next)) => break Some(next).filter(|next| next.0 < alone_at),
                    None => break None,
                }
            };
            let Some(Reached(to, column)) = nearest else { break None };
            distance = to;
            let Some(owner) = self.slots[column].line else { break Some(column) };
            self.passed.push(column);
            line = owner;
        };
        let length = if free.is_some() { distance } else { alone_at };
        self.lines[start].price += length;
        for column in self.passed.drain(..) {
            let slot = &mut self.slots[column];
            slot.price += slot.distance - length;
            if let Some(owner) = slot.line {
                self.lines[owner].price += length - slot.distance;
            }
        }
        // Back along the path: each line takes the column that it was left for.
        let mut next = free.or_else(|| self.lines[alone].slot.take());
        while let Some(column) = next {
            let from = self.slots[column].from;
            self.slots[column].line = Some(from);
            next = self.lines[from].slot.replace(column);
        }
        for column in self.reached.drain(..) {
            self.slots[column].distance = f64::INFINITY;
        }
        self.heap.clear();
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
        let mut pairs = Vec::new();
        for (row, line) in m.iter().enumerate() {
            for (column, &benefit) in line.iter().enumerate().filter(|(_, b)| **b > 0.0) {
                pairs.push(Pair { row, column, worth: benefit });
            }
        }
        a.solve(&pairs, columns);
        a.chosen().to_vec()
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

    proptest! {
        #[test]
        fn in_a_crowd_the_prices_prove_that_nothing_is_worth_more(
            n in 20usize..120,
            picks in proptest::collection::vec((0usize..120, 0usize..120, 0.1..1.0f64), 50..1500),
        ) {
            let all: std::collections::BTreeMap<_, _> =
                picks.into_iter().map(|(r, c, worth)| ((r % n, c % n), worth)).collect();
            let pairs: Vec<Pair> =
                all.iter().map(|(&(row, column), &worth)| Pair { row, column, worth }).collect();
            let mut a = Assignment::default();
            a.solve(&pairs, n);
            let worth: f64 = a.chosen().iter().map(|chosen| all[chosen]).sum();
            // Uncontested pairs have no line: with them the prices would need theirs, their benefit.
            let contested: f64 = a.lines.iter().filter_map(|l| Some(all[&(l.row, l.slot?)])).sum();
            let bound: f64 = a.lines.iter().map(|l| -l.price).sum::<f64>()
                - a.slots.iter().map(|s| s.price).sum::<f64>();
            for line in &a.lines {
                prop_assert!(line.price <= 1e-9);
                for edge in &a.edges[line.first..line.end] {
                    let slot = &a.slots[edge.column];
                    prop_assert!(slot.price <= 0.0 && edge.cost - line.price - slot.price > -1e-9);
                }
            }
            // Weak duality: no assignment of the contested pairs is worth more than the prices.
            prop_assert!((contested - bound).abs() < 1e-6, "{contested} {bound}");
            prop_assert!(worth >= contested - 1e-9);
        }
    }

    #[test]
    fn a_greedy_choice_gives_way_to_a_better_total() {
        let pairs = solve(&mut Assignment::default(), &[vec![0.9, 0.8], vec![0.8, 0.0]]);
        assert!(pairs.contains(&(0, 1)) && pairs.contains(&(1, 0)), "{pairs:?}");
    }
}
