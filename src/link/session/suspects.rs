//! What a broker does not take and does not say so: it closes connections without a reason.
//!
//! - A connection that is closed while a message with `QoS` 2, or a retained one, waits for its first answer speaks
//!   against that feature; [`CLOSES_MAX`] of them in a row, and the broker gets `QoS` 1, or nothing retained. One feature
//!   is suspected at a time, `QoS` 2 first. A broker that has answered such a message once is never suspected again.
//!
//! Quick closes alone do not speak for another client with the same id: a bad network does the same. The presence of
//! another process under this id does. A connection that times out speaks against nothing. Pure.

use crate::link::limits::Conduct;
use crate::model::Qos;

/// Closes in a row that speak against a feature.
pub(super) const CLOSES_MAX: u32 = 3;
/// What was on its way when a connection was closed without a reason.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct OnItsWay {
    /// A message with `QoS` 2 waits for its PUBREC.
    pub(super) qos_2: bool,
    /// A retained message waits for its acknowledgement.
    pub(super) retained: bool,
}

/// What follows from a connection that was closed without a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    /// Nothing.
    Nothing,
    /// It speaks against a feature; the next connections will show.
    Suspicion,
    /// The broker does not take it.
    Conduct(Conduct),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    qos_2: Suspicion,
    retained: Suspicion,
}

#[derive(Debug, Default)]
struct Suspicion {
    /// The broker has answered such a message.
    disproved: bool,
    closes: u32,
}

impl Suspicion {
    fn is_open(&self) -> bool {
        !self.disproved && self.closes < CLOSES_MAX
    }

    fn closed(&mut self, means: Conduct) -> Finding {
        self.closes += 1;
        if self.closes < CLOSES_MAX { Finding::Suspicion } else { Finding::Conduct(means) }
    }
}

impl Suspects {
    /// The broker answered a message with `QoS` 2.
    pub(super) fn qos_2_works(&mut self) {
        self.qos_2.disproved = true;
    }

    /// The broker acknowledged a retained message.
    pub(super) fn retained_works(&mut self) {
        self.retained.disproved = true;
    }

    /// A connection was closed without a reason.
    pub(super) fn closed(&mut self, on_its_way: OnItsWay) -> Finding {
        let all = Conduct::default();
        if on_its_way.qos_2 && self.qos_2.is_open() {
            self.qos_2.closed(Conduct { qos_max: Qos::AtLeastOnce, ..all })
        } else if on_its_way.retained && self.retained.is_open() {
            self.retained.closed(Conduct { retain: false, ..all })
        } else {
            Finding::Nothing
        }
    }
}
