//! What waits to be sent.

mod queue;

pub(super) use queue::{Entry, Queues};
pub use queue::{PerClass, QueueLimits, WaitingLimits};

/// A row of the store; rises with every one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct RowId(pub(super) u64);
