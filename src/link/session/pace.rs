//! How long to wait before the next try, by the reason why the last one failed.
//!
//! | reason | wait, at the default longest wait of 60 s |
//! |---|---|
//! | unreachable, lost, timed out | full jitter, 1 s doubling to 60 s, over after a stable minute |
//! | server busy, unavailable, shutting down, too many connections | the same and 0-10 s on top |
//! | not found yet, and what a person must change (password, rights, client id, TLS, another server, quota) | 30-60 s, from the start |
//! | banned | 5-10 min |
//! | somebody else took the client id | 30-60 s, doubling to 8-16 min until a connection lasts an hour |
//!
//! All of it is in proportion to the longest wait of the options. Pure.

use std::time::Duration;

use rand::{Rng, RngExt};

use crate::base::{Backoff, BackoffOptions, Time};
use crate::link::{Error, Refusal};

/// A connection that lasted this long was not one of two that fight for a client id.
const UNCONTESTED_AFTER: Duration = Duration::from_hours(1);
/// Longest wait for a client id that others use too, in longest waits.
const CONTESTED_MAX: u32 = 16;

/// How a failure is to be met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    Network,
    Busy,
    Person,
    Banned,
    Contested,
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    max: Duration,
    backoff: Backoff,
    /// Of the next wait for a contested client id, in longest waits.
    contested: u32,
    up_since: Option<Time>,
}

impl Pace {
    pub(super) fn new(options: BackoffOptions) -> Self {
        Self { max: options.max, backoff: Backoff::new(options), contested: 1, up_since: None }
    }

    /// Connected since `now`.
    pub(super) fn succeeded(&mut self, now: Time) {
        self.backoff.succeeded(now);
        self.up_since = Some(now);
    }

    /// Not connected any more at `now`, or not at all: the wait before the next try.
    pub(super) fn failed(&mut self, error: &Error, now: Time, rng: &mut impl Rng) -> Duration {
        let up_since = self.up_since.take();
        let network = self.backoff.failed(now, rng);
        if up_since.is_some_and(|since| now.since(since) >= UNCONTESTED_AFTER) {
            self.contested = 1;
        }
        match patience(error) {
            Patience::Network => network,
            Patience::Busy => network + between(Duration::ZERO, self.max / 6, rng),
            Patience::Person => between(self.max / 2, self.max, rng),
            Patience::Banned => between(self.max * 5, self.max * 10, rng),
            Patience::Contested => {
                let max = self.max * self.contested;
                self.contested = (self.contested * 2).min(CONTESTED_MAX);
                between(max / 2, max, rng)
            }
        }
    }
}

fn between(from: Duration, to: Duration, rng: &mut impl Rng) -> Duration {
    from + to.saturating_sub(from).mul_f64(rng.random::<f64>())
}

fn patience(error: &Error) -> Patience {
    let refusal = match error {
        Error::Refused { refusal, .. } | Error::Ended { refusal, .. } => *refusal,
        // Who finds it makes the link anew.
        Error::NotFound { .. } => return Patience::Person,
        Error::Tls { fault, .. } if !fault.may_pass() => return Patience::Person,
        _ => return Patience::Network,
    };
    match refusal {
        Refusal::WrongPassword
        | Refusal::NotAuthorised
        | Refusal::ClientId
        | Refusal::ProtocolVersion
        | Refusal::UseAnotherServer
        | Refusal::AuthenticationMethod
        | Refusal::RetainUnavailable
        | Refusal::QosUnavailable
        | Refusal::WildcardsUnavailable
        | Refusal::QuotaExceeded => Patience::Person,
        Refusal::Banned => Patience::Banned,
        Refusal::TakenOver => Patience::Contested,
        Refusal::ServerUnavailable
        | Refusal::ServerBusy
        | Refusal::ConnectionRate
        | Refusal::ShuttingDown
        | Refusal::Administrative => Patience::Busy,
        Refusal::PacketTooLarge
        | Refusal::WindowExceeded
        | Refusal::ProtocolBroken
        | Refusal::KeepAlive
        | Refusal::Other(_) => Patience::Network,
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_pcg::Pcg64Mcg;

    use super::*;

    fn refused(refusal: Refusal) -> Error {
        Error::Refused { broker: "b:1".to_owned(), refusal, detail: None }
    }

    fn waits(error: &Error, count: usize) -> Vec<f64> {
        let mut rng = Pcg64Mcg::seed_from_u64(7);
        let mut pace = Pace::new(BackoffOptions::default());
        (0..count).map(|_| pace.failed(error, Time::default(), &mut rng).as_secs_f64()).collect()
    }

    #[test]
    fn what_a_person_must_change_is_tried_slowly_from_the_start() {
        for refusal in [Refusal::WrongPassword, Refusal::NotAuthorised, Refusal::UseAnotherServer] {
            let waits = waits(&refused(refusal), 20);
            assert!(waits.iter().all(|wait| (30.0..=60.0).contains(wait)), "{refusal:?}: {waits:?}");
        }
    }

    #[test]
    fn a_ban_is_respected_for_minutes() {
        let waits = waits(&refused(Refusal::Banned), 20);
        assert!(waits.iter().all(|wait| (300.0..=600.0).contains(wait)), "{waits:?}");
    }

    #[test]
    fn a_busy_server_is_given_a_spread_from_the_first_wait_on() {
        let mut rng = Pcg64Mcg::seed_from_u64(3);
        let first = |rng: &mut Pcg64Mcg| {
            Pace::new(BackoffOptions::default()).failed(&refused(Refusal::ServerBusy), Time::default(), rng)
        };
        let longest = (0..200).map(|_| first(&mut rng)).max().unwrap();
        assert!(longest > Duration::from_secs(8) && longest <= Duration::from_secs(11), "{longest:?}");
    }

    #[test]
    fn a_contested_client_id_is_fought_for_ever_more_slowly() {
        let error = Error::Ended { broker: "b:1".to_owned(), refusal: Refusal::TakenOver, detail: None };
        let mut rng = Pcg64Mcg::seed_from_u64(5);
        let mut pace = Pace::new(BackoffOptions::default());
        let mut now = Time::default();
        for minutes in [1, 2, 4, 8, 16, 16] {
            // Two minutes of peace in between are no sign that the other one has gone.
            pace.succeeded(now);
            now = now + Duration::from_mins(2);
            let wait = pace.failed(&error, now, &mut rng);
            let max = Duration::from_mins(minutes);
            assert!((max / 2..=max).contains(&wait), "{wait:?} of {max:?}");
        }
        pace.succeeded(now);
        now = now + UNCONTESTED_AFTER;
        assert!(pace.failed(&error, now, &mut rng) <= Duration::from_mins(1));
    }
}
