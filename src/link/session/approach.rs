//! How the next CONNECT is made: in which version, and with how much of the last will.
//!
//! A broker that can't take a CONNECT names the reason (MQTT 5: 0x84, 0x95, 0x9A, 0x9B), closes the connection, or
//! stays silent. A named reason is followed at the next try. After silence the session guesses, one step a try:
//!
//! | step | CONNECT |
//! |---|---|
//! | 0 | as wanted, until [`SILENCE_MAX`] is reached |
//! | 1 | in 3.1.1, when the version is left to us |
//! | 2 | the will not retained |
//! | 3 | the will with `QoS` 0 |
//! | 4 | both |
//! | 5 | no will; not where its topic has a dot, which is then the likelier reason |
//!
//! A broker that has accepted a CONNECT as wanted is never guessed about: its silence has other reasons. A guess that
//! was accepted is used after one silent CONNECT as wanted, so that a broker that can do more by now is found.
//!
//! Pure.

use super::status::Fallback;
use crate::link::error::Phase;
use crate::link::limits::Limits;
use crate::link::transport::Version;
use crate::link::{Error, Refusal};
use crate::model::Qos;

/// Silence after which the session guesses: a connection closed without a CONNACK counts 1, ...
const SILENCE_MAX: u32 = 3;
/// The same where only the will can be changed, which costs less when it is wrong.
const SILENCE_MAX_OF_WILL: u32 = 2;
/// ... and one on which none came in time this much: it took long enough.
const SILENCE_OF_TIMEOUT: u32 = 2;
/// The last step.
const STEP_MAX: u8 = 5;

/// How a CONNECT is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::link) struct Terms {
    /// The version of the protocol.
    pub(in crate::link) version: Version,
    /// Why that is not MQTT 5, which would have been better.
    pub(in crate::link) fallback: Option<Fallback>,
    /// The will may be retained.
    pub(in crate::link) retain: bool,
    /// The highest `QoS` of the will.
    pub(in crate::link) qos_max: Qos,
    /// There may be a will.
    pub(in crate::link) will: bool,
}

/// What a guess about the will can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::link) struct WillShape {
    pub(in crate::link) retain: bool,
    pub(in crate::link) acknowledged: bool,
    /// Its topic has a dot.
    pub(in crate::link) dotted: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Approach {
    wanted: Option<Version>,
    will: Option<WillShape>,
    /// As wanted, less what the broker has named.
    base: Terms,
    step: u8,
    /// The step that a broker accepted that does not say why it refuses others.
    settled: Option<u8>,
    silence: u32,
    /// All guesses were met with silence: further ones come no faster than other tries.
    exhausted: bool,
    /// The broker has accepted the base.
    base_works: bool,
    /// The last step that was accepted, and whether it was accepted twice, the base being met with silence between.
    accepted: Option<(u8, bool)>,
}

impl Terms {
    fn wanted(version: Option<Version>) -> Self {
        let version = version.unwrap_or(Version::V5);
        Self { version, fallback: None, retain: true, qos_max: Qos::ExactlyOnce, will: true }
    }
}

impl Approach {
    pub(super) fn new(wanted: Option<Version>, will: Option<WillShape>) -> Self {
        Self {
            wanted,
            will,
            base: Terms::wanted(wanted),
            step: 0,
            settled: None,
            silence: 0,
            exhausted: false,
            base_works: false,
            accepted: None,
        }
    }

    /// How the next CONNECT is made.
    pub(super) fn terms(&self) -> Terms {
        let mut terms = self.base;
        if self.step >= 1 && self.may_change_version() {
            (terms.version, terms.fallback) = (Version::V311, Some(Fallback::Wordless));
        }
        match self.step {
            2 => terms.retain = false,
            3 => terms.qos_max = Qos::AtMostOnce,
            4 => (terms.retain, terms.qos_max) = (false, Qos::AtMostOnce),
            5 => terms.will = false,
            _ => {}
        }
        terms
    }

    fn may_change_version(&self) -> bool {
        self.wanted.is_none() && self.base.version == Version::V5
    }

    /// Another connection to the broker has found this out.
    pub(super) fn learn(&mut self, limits: &Limits) {
        let Limits { fallback, retain, qos_max, will, .. } = *limits;
        (self.base.retain, self.base.qos_max, self.base.will) = (retain, qos_max, will);
        if self.wanted.is_none() {
            let version = if fallback.is_some() { Version::V311 } else { Version::V5 };
            (self.base.version, self.base.fallback) = (version, fallback);
        }
        (self.step, self.settled, self.silence) = (0, None, 0);
    }

    /// The broker accepted the CONNECT.
    pub(super) fn succeeded(&mut self) {
        let confirmed = self.accepted.is_some_and(|(step, _)| step == self.step);
        self.accepted = Some((self.step, confirmed));
        (self.silence, self.exhausted) = (0, false);
        self.settled = (self.step > 0).then_some(self.step);
        self.base_works |= self.step == 0;
    }

    /// The highest `QoS` for messages, once accepted. A guess that was accepted once may have met a broker that had
    /// only just come up: then messages, which could be lost with a lower one, try theirs.
    pub(super) fn qos_max(&self) -> Qos {
        let confirmed = self.accepted.is_some_and(|(_, confirmed)| confirmed);
        if confirmed { self.terms().qos_max } else { self.base.qos_max }
    }

    /// The connection, which was accepted, is over.
    pub(super) fn ended(&mut self) {
        self.step = 0;
        // Perhaps it speaks 5 by now.
        if self.base.fallback == Some(Fallback::Wordless) {
            (self.base.version, self.base.fallback, self.base_works) = (Version::V5, None, false);
            self.settled = Some(1);
        }
    }

    /// No connection came about on these terms; true: the next try, on others, is to be made soon.
    pub(super) fn failed(&mut self, error: &Error, sent: Terms) -> bool {
        let learned = self.terms() != sent;
        self.judge(error, sent) || learned
    }

    fn judge(&mut self, error: &Error, sent: Terms) -> bool {
        let silence = match error {
            Error::Wordless { .. } => 1,
            Error::Timeout { phase: Phase::Greeting, .. } => SILENCE_OF_TIMEOUT,
            Error::Refused { refusal, .. } => return self.refused(*refusal, sent),
            _ => {
                (self.silence, self.step) = (0, 0);
                return false;
            }
        };
        self.silence += silence;
        if let Some(settled) = self.settled.filter(|settled| self.allows(*settled)) {
            self.settled = None;
            self.step = settled;
            return true;
        }
        if self.base_works {
            // It may speak 5 by now; where it does not it says so.
            if self.wanted.is_none() && self.base.version == Version::V311 {
                (self.base.version, self.base.fallback, self.base_works) = (Version::V5, None, false);
            }
            return false;
        }
        let silence_max = match self.base.fallback {
            // It has just answered, and so it lives.
            Some(Fallback::Refused) => 1,
            _ if self.may_change_version() => SILENCE_MAX,
            _ => SILENCE_MAX_OF_WILL,
        };
        if self.step == 0 && self.silence < silence_max {
            return false;
        }
        let next = (self.step + 1..=STEP_MAX).find(|step| self.allows(*step));
        self.step = next.unwrap_or(0);
        let soon = next.is_some() && !self.exhausted;
        if next.is_none() {
            (self.silence, self.exhausted) = (0, true);
            if self.wanted.is_none() {
                (self.base.version, self.base.fallback) = (Version::V5, None);
            }
        }
        soon
    }

    /// What the broker named is left out from now on.
    fn refused(&mut self, refusal: Refusal, sent: Terms) -> bool {
        self.silence = 0;
        match refusal {
            Refusal::ProtocolVersion if self.wanted.is_none() => {
                let old = sent.version == Version::V5;
                let version = if old { Version::V311 } else { Version::V5 };
                (self.base.version, self.base.fallback) = (version, old.then_some(Fallback::Refused));
                (self.step, self.settled, self.base_works) = (0, None, false);
                old
            }
            Refusal::RetainUnavailable if sent.will && sent.retain => {
                self.base.retain = false;
                true
            }
            Refusal::QosUnavailable if sent.will && sent.qos_max > Qos::AtMostOnce => {
                let lower = sent.qos_max == Qos::ExactlyOnce && self.will.is_some_and(|w| !w.acknowledged);
                self.base.qos_max = if lower { Qos::AtLeastOnce } else { Qos::AtMostOnce };
                true
            }
            Refusal::PacketTooLarge if sent.will && self.will.is_some() => {
                self.base.will = false;
                true
            }
            _ => false,
        }
    }

    /// What the broker said of itself when it accepted.
    pub(super) fn told(&mut self, retain: bool, qos_max: Qos) {
        (self.base.retain, self.base.qos_max) = (retain, qos_max);
    }

    /// A retained will was just accepted.
    pub(super) fn proves_retain(&self) -> bool {
        let Terms { retain, will, .. } = self.terms();
        will && retain && self.will.is_some_and(|will| will.retain)
    }

    /// A will with an acknowledgement was just accepted.
    pub(super) fn proves_qos(&self) -> bool {
        let Terms { qos_max, will, .. } = self.terms();
        will && qos_max > Qos::AtMostOnce && self.will.is_some_and(|will| will.acknowledged)
    }

    /// The step changes something, and may.
    fn allows(&self, step: u8) -> bool {
        let Terms { retain, qos_max, will, .. } = self.base;
        let shape = self.will.filter(|_| will);
        let retained = shape.is_some_and(|will| will.retain) && retain;
        let acknowledged = shape.is_some_and(|will| will.acknowledged) && qos_max > Qos::AtMostOnce;
        match step {
            1 => self.may_change_version(),
            2 => retained,
            3 => acknowledged,
            4 => retained && acknowledged,
            5 => shape.is_some_and(|will| !will.dotted),
            _ => false,
        }
    }
}
