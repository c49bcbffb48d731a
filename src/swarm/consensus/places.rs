//! Where the claims lie, so that those that could be of one incident are found without looking at all.
//!
//! A grid for each kind of event, its cells as wide as claims of one incident may lie apart: who could join
//! lies in the same cell or next to it.

use std::collections::{BTreeMap, BTreeSet};

use super::ClaimId;
use crate::model::EventType;

/// A kind of event and a cell of the ground.
pub(super) type Place = (EventType, i32, i32);

/// The claims of each place.
#[derive(Debug, Clone, Default)]
pub(super) struct Places {
    claims: BTreeMap<Place, BTreeSet<ClaimId>>,
}

impl Places {
    pub(super) fn insert(&mut self, id: ClaimId, at: Place) {
        self.claims.entry(at).or_default().insert(id);
    }

    pub(super) fn remove(&mut self, id: &ClaimId, at: Place) {
        if let Some(claims) = self.claims.get_mut(&at) {
            claims.remove(id);
            if claims.is_empty() {
                self.claims.remove(&at);
            }
        }
    }

    pub(super) fn moved(&mut self, id: &ClaimId, from: Place, to: Place) {
        if from != to {
            self.remove(id, from);
            self.insert(id.clone(), to);
        }
    }

    /// The claims of one place.
    pub(super) fn at(&self, place: Place) -> impl Iterator<Item = &ClaimId> {
        self.claims.get(&place).into_iter().flatten()
    }

    /// A place and those next to it, with their claims.
    pub(super) fn around(&self, (kind, x, y): Place) -> impl Iterator<Item = (&Place, &BTreeSet<ClaimId>)> {
        let rows = (-1..=1).map(move |dx| x.saturating_add(dx));
        rows.flat_map(move |x| {
            let row = (kind, x, y.saturating_sub(1))..=(kind, x, y.saturating_add(1));
            self.claims.range(row)
        })
    }
}
