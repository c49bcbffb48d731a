//! Brings keys in order, in a time that grows as their number does.
//!
//! Places in a picture are spread out: put into as many bins as there are keys, few share one. An insertion
//! sort does the rest, so the result is exact whatever the bins hold. Should all fall into one, as a thousand
//! objects in one place may, it takes n² / 4 comparisons. All buffers are reused.

use std::cmp::Ordering;

/// What something is sorted by, and which it is.
pub(super) type Key = (f64, usize);

/// Sorts one list of keys after the other.
#[derive(Debug, Default)]
pub(super) struct Sorter {
    /// Where each bin begins, and while it is filled, where its next key goes.
    bins: Vec<usize>,
    binned: Vec<Key>,
}

impl Sorter {
    /// Sorts finite keys; where two are alike, `tie` decides.
    pub(super) fn sort(&mut self, keys: &mut Vec<Key>, tie: impl Fn(usize, usize) -> Ordering) {
        let least = keys.iter().map(|p| p.0).fold(f64::INFINITY, f64::min);
        let most = keys.iter().map(|p| p.0).fold(f64::NEG_INFINITY, f64::max);
        let bins_per_unit = keys.len() as f64 / (most - least);
        // Rounding leaves the order as it is, so a greater key is in no earlier bin.
        let bin = |p: &Key| (((p.0 - least) * bins_per_unit) as usize).min(keys.len() - 1);
        self.bins.clear();
        self.bins.resize(keys.len() + 1, 0);
        for key in keys.iter() {
            self.bins[bin(key) + 1] += 1;
        }
        let mut begin = 0;
        for next in &mut self.bins {
            begin += *next;
            *next = begin;
        }
        self.binned.clear();
        self.binned.resize(keys.len(), (0.0, 0));
        for key in keys.iter() {
            let next = &mut self.bins[bin(key)];
            self.binned[*next] = *key;
            *next += 1;
        }
        for end in 1..self.binned.len() {
            let key = self.binned[end];
            let mut at = end;
            while at > 0 && after(self.binned[at - 1], key, &tie) {
                self.binned[at] = self.binned[at - 1];
                at -= 1;
            }
            self.binned[at] = key;
        }
        std::mem::swap(keys, &mut self.binned);
    }
}

fn after(a: Key, b: Key, tie: impl Fn(usize, usize) -> Ordering) -> bool {
    a.0 > b.0 || a.0 >= b.0 && tie(a.1, b.1) == Ordering::Greater
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_order_is_that_of_a_sort_by_comparison(
            x in proptest::collection::vec(prop_oneof![Just(0.0), Just(-1e6), Just(1e6), -9.0..9.0f64], 0..200),
        ) {
            let mut keys: Vec<Key> = x.into_iter().zip(0..).collect();
            let mut expected = keys.clone();
            expected.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
            Sorter::default().sort(&mut keys, |a, b| b.cmp(&a));
            prop_assert_eq!(keys, expected);
        }
    }
}
