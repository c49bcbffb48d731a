//! What the swarm counts, since the start of the process.
//!
//! Every message that was lost, refused, repeated or held back shows in exactly one number here; a
//! counter only rises, and nothing resets it. The names in [`Counters::entries`] leave with the presence
//! message, so they are kept. Families and reasons are the index of their own counter.

use super::codec::Reason;
use super::topic::Family;

/// Counts since the start. All only rise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Envelopes given out, per family in the order of [`Family::ALL`].
    pub sent: [u64; Family::ALL.len()],
    /// Messages of others that were understood, per family; repetitions included.
    pub received: [u64; Family::ALL.len()],
    /// Messages refused, per reason in the order of [`Reason::ALL`].
    pub refused: [u64; Reason::ALL.len()],
    /// Our own messages that came back.
    pub own: u64,
    /// Messages that had come before.
    pub duplicates: u64,
    /// Messages older than what they would have replaced.
    pub reordered: u64,
    /// Track messages of other cameras that did not arrive, by their `seq`: each counts once, when its number
    /// leaves the reorder window unseen or its camera's stream ends.
    pub missing: u64,
    /// Events that were older on arrival than events are kept.
    pub stale_events: u64,
    /// Presence of an earlier start of a camera that has since started again.
    pub old_boots: u64,
    /// Presence of cameras far away on a large site, not kept.
    pub far_presence: u64,
    /// Tracks of cameras far away on a large site that came all the same, not read.
    pub far_tracks: u64,
    /// Events, votes on them, and alerts far away on a large site, not followed.
    pub far_events: u64,
    /// Cameras pushed out of the full table.
    pub evicted_peers: u64,
    /// Tracks of others pushed out of the full table.
    pub evicted_tracks: u64,
    /// Events of others pushed out of the full table.
    pub evicted_events: u64,
    /// Open events of others that ended with the process of their camera.
    pub orphaned_events: u64,
    /// Tracks of ours not published because more threatening ones filled the limit per scene.
    pub over_limit: u64,
    /// Tracks of ours not published because they have no place on the ground.
    pub no_ground: u64,
    /// Messages of ours that broke the contract, and did not leave.
    pub unsendable: u64,
    /// Events of ours that were held because the clock was never set.
    pub events_held: u64,
    /// Those of them that gave way to more severe or newer ones, and never left.
    pub held_evicted: u64,
}

impl Counters {
    /// Name and value of each counter, in a fixed order.
    pub fn entries(&self) -> impl Iterator<Item = (String, u64)> + '_ {
        let families = |what: &'static str, counts: &[u64; Family::ALL.len()]| {
            let counts = *counts;
            Family::ALL.into_iter().zip(counts).map(move |(f, n)| (format!("{what}_{}", f.as_str()), n))
        };
        let refused = Reason::ALL.into_iter().zip(self.refused);
        let single = [
            ("own", self.own),
            ("duplicates", self.duplicates),
            ("reordered", self.reordered),
            ("missing", self.missing),
            ("stale_events", self.stale_events),
            ("old_boots", self.old_boots),
            ("far_presence", self.far_presence),
            ("far_tracks", self.far_tracks),
            ("far_events", self.far_events),
            ("evicted_peers", self.evicted_peers),
            ("evicted_tracks", self.evicted_tracks),
            ("evicted_events", self.evicted_events),
            ("orphaned_events", self.orphaned_events),
            ("over_limit", self.over_limit),
            ("no_ground", self.no_ground),
            ("unsendable", self.unsendable),
            ("events_held", self.events_held),
            ("held_evicted", self.held_evicted),
        ];
        families("sent", &self.sent)
            .chain(families("received", &self.received))
            .chain(refused.map(|(r, n)| (format!("refused_{}", r.as_str()), n)))
            .chain(single.into_iter().map(|(name, n)| (name.to_owned(), n)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_and_reasons_index_their_own_counter() {
        for (i, family) in Family::ALL.into_iter().enumerate() {
            assert_eq!(family as usize, i);
        }
        for (i, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, i);
        }
    }
}
