//! One signature for all messages of a step: a Merkle tree over them (RFC 6962, section 2.1).
//!
//! Ed25519 costs tens of microseconds per signature and twice that per verification; 2,000 track messages per
//! second would cost more than the rest of the swarm. The sender therefore signs the root of a tree once per scene,
//! and each message carries its path to the root. The receiver verifies the signature of a root once and
//! recognizes the root in the other messages of the batch.
//!
//! ```text
//! leaf  H(0x00 || topic || 0x00 || milliseconds as u64 big-endian || payload)
//! node  H(0x01 || left || right)
//! ```
//!
//! The prefixes separate leaves from nodes, so that no node passes as a message. `H` is SHA-256 cut to 16 bytes: a
//! forger needs a second preimage of one of the nodes that the camera signed, never a collision, since the camera
//! itself makes every message. A camera signs fewer than 2^14 nodes within the 10 seconds for which a track is
//! valid, so that 2^114 attempts remain.
//!
//! Pure; at most [`BATCH_MAX`] messages, so a path holds at most [`DEPTH_MAX`] nodes. A path of another length than
//! index and count require is rejected.

use ring::digest::{Context, SHA256};

/// Messages of one batch; more are signed in several.
pub(super) const BATCH_MAX: usize = 1 << DEPTH_MAX;
/// Nodes of a path.
pub(super) const DEPTH_MAX: usize = 10;
/// Bytes of a node.
pub(super) const NODE_BYTES: usize = 16;

/// A leaf, a node, or the root.
pub(super) type Node = [u8; NODE_BYTES];

/// The place of a message in its batch, and the nodes beside its way to the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Path {
    index: u32,
    count: u32,
    nodes: [Node; DEPTH_MAX],
    len: usize,
}

impl Path {
    /// The path of message `index` of `count` with these nodes, from the leaf up; none unless they are as many as
    /// its place requires.
    pub(super) fn new(index: u32, count: u32, nodes: &[u8]) -> Option<Self> {
        let is_batch = (2..=BATCH_MAX as u32).contains(&count) && index < count;
        if !is_batch || nodes.len() != depth(index, count) * NODE_BYTES {
            return None;
        }
        let mut path = Self { index, count, nodes: [[0; NODE_BYTES]; DEPTH_MAX], len: 0 };
        for (to, node) in path.nodes.iter_mut().zip(nodes.chunks_exact(NODE_BYTES)) {
            to.copy_from_slice(node);
            path.len += 1;
        }
        Some(path)
    }

    /// Number of messages in the batch.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// The root of the batch that holds this leaf here.
    pub(super) fn root(&self, leaf: Node) -> Node {
        let (mut index, mut last) = (self.index, self.count - 1);
        let mut nodes = self.nodes.iter().take(self.len);
        let mut at = leaf;
        while last > 0 {
            // The last node of an odd row rises as it is.
            if (index % 2 == 1 || index < last)
                && let Some(beside) = nodes.next()
            {
                at = if index % 2 == 1 { node(beside, &at) } else { node(&at, beside) };
            }
            (index, last) = (index / 2, last / 2);
        }
        at
    }
}

/// Nodes beside the way from a leaf to the root.
fn depth(index: u32, count: u32) -> usize {
    let (mut index, mut last, mut depth) = (index, count.saturating_sub(1), 0);
    while last > 0 {
        depth += usize::from(index % 2 == 1 || index < last);
        (index, last) = (index / 2, last / 2);
    }
    depth
}

/// The tree over a batch, row by row: the leaves first, the root last.
#[derive(Debug)]
pub(super) struct Tree {
    rows: Vec<Vec<Node>>,
}

impl Tree {
    /// The tree over these leaves.
    pub(super) fn new(leaves: Vec<Node>) -> Self {
        let mut rows = vec![leaves];
        while let Some(row) = rows.last().filter(|row| row.len() > 1) {
            let pair = |pair: &[Node]| match pair {
                [left, right] => node(left, right),
                [single, ..] => *single,
                [] => [0; NODE_BYTES],
            };
            let above = row.chunks(2).map(pair).collect();
            rows.push(above);
        }
        Self { rows }
    }

    /// The root; none of no leaves.
    pub(super) fn root(&self) -> Option<Node> {
        self.rows.last()?.first().copied()
    }

    /// The nodes beside the way from a leaf to the root, one after the other.
    pub(super) fn path(&self, index: usize) -> Vec<u8> {
        let mut nodes = Vec::with_capacity(DEPTH_MAX * NODE_BYTES);
        for (level, row) in self.rows.iter().enumerate() {
            nodes.extend(row.get((index >> level) ^ 1).into_iter().flatten());
        }
        nodes
    }
}

/// The leaf of a message that is signed at `at_ms`, milliseconds since the epoch.
pub(super) fn leaf(topic: &str, at_ms: u64, payload: &[u8]) -> Node {
    // A topic holds no zero byte (MQTT 5, 4.7.3), so that the parts can't be shifted into each other.
    hash(&[&[0], topic.as_bytes(), &[0], &at_ms.to_be_bytes(), payload])
}

fn node(left: &Node, right: &Node) -> Node {
    hash(&[&[1], left, right])
}

fn hash(parts: &[&[u8]]) -> Node {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let digest = context.finish();
    let mut node = [0; NODE_BYTES];
    for (to, byte) in node.iter_mut().zip(digest.as_ref()) {
        *to = *byte;
    }
    node
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_of_every_batch_leads_to_its_root_and_no_other_leaf_or_place_does() {
        for count in [2_usize, 3, 4, 5, 7, 8, 50, 63, 65, 500, BATCH_MAX] {
            let leaves: Vec<_> = (0..count).map(|n| leaf("t", 1, &n.to_be_bytes())).collect();
            let tree = Tree::new(leaves.clone());
            let root = tree.root().unwrap();
            for index in [0, 1, count / 2, count - 2, count - 1] {
                let path = Path::new(index as u32, count as u32, &tree.path(index)).unwrap();
                assert_eq!(path.root(leaves[index]), root, "{index} of {count}");
                assert_ne!(path.root(leaves[(index + 1) % count]), root);
                let elsewhere = Path::new((index ^ 1) as u32, count as u32, &tree.path(index));
                assert!(elsewhere.is_none_or(|path| path.root(leaves[index]) != root), "{index} of {count}");
            }
        }
    }

    #[test]
    fn a_path_that_is_too_long_too_short_or_of_no_batch_is_none() {
        let nodes = [7; DEPTH_MAX * NODE_BYTES + NODE_BYTES];
        assert!(Path::new(0, BATCH_MAX as u32, &nodes[..DEPTH_MAX * NODE_BYTES]).is_some());
        assert_eq!(Path::new(0, BATCH_MAX as u32, &nodes), None);
        for (index, count, bytes) in [
            (0, 0, 0),
            (0, 1, 0),
            (1, 1, 0),
            (2, 2, 16),
            (0, 2, 15),
            (0, 2, 0),
            (0, 2, 32),
            (0, 1_025, 176),
            (0, u32::MAX, 176),
            (u32::MAX, u32::MAX, 16),
        ] {
            assert_eq!(Path::new(index, count, &nodes[..bytes]), None, "{index} of {count}, {bytes} bytes");
        }
    }
}
