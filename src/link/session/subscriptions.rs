//! Which topics the broker is to give us, and what it was told of them.
//!
//! What is wanted may change at any time; the broker is told in requests of one kind each (a SUBSCRIBE or an
//! UNSUBSCRIBE of at most [`FILTERS_MAX`] filters), one after the other as they are answered, what begins
//! before what ends: nothing is missed in between. At every connect all that is wanted is asked for again,
//! since a session that was kept may be older than the wish; what it may still hold and is not wanted ends.
//!
//! A session that was kept from before this process began may hold filters that nobody here knows of. Who gets
//! what it never asked for has them ended by name ([`Subscriptions::ignore`]).
//!
//! Pure. Filters that are to end are remembered up to [`ENDING_MAX`]; beyond it the first by name is forgotten,
//! and goes on bringing what nobody wants until somebody says so again.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::Time;
use crate::model::Qos;

/// Filters in one request: within the packets of every broker.
const FILTERS_MAX: usize = 64;
/// Bytes of a request beside its filters, at most: fixed header 5, packet id 2, property length 1.
const REQUEST_OVERHEAD_BYTES: usize = 8;
/// Bytes of a filter beside its text: length 2, options 1.
const FILTER_OVERHEAD_BYTES: usize = 3;
/// Filters that are to end, and of which the broker does not know it yet.
const ENDING_MAX: usize = 1_024;

/// What the broker is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::link) enum Request {
    /// SUBSCRIBE.
    Begin(Vec<(String, Qos)>),
    /// UNSUBSCRIBE.
    End(Vec<String>),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    wanted: BTreeMap<String, Qos>,
    /// Those of the wanted that were asked for on this connection.
    told: BTreeSet<String>,
    /// Not wanted, and perhaps held by the broker.
    ending: BTreeSet<String>,
    asked: Option<Asked>,
    /// The broker takes no filters with wildcards: these wait for one that does.
    plain_only: bool,
    /// Filters that the broker refused on this connection.
    refused: u64,
}

/// A request that waits for its answer.
#[derive(Debug)]
struct Asked {
    packet_id: u16,
    since: Time,
    ends: Vec<String>,
}

impl Subscriptions {
    /// A filter is wanted from now on.
    pub(super) fn listen(&mut self, filter: String, qos: Qos) {
        self.ending.remove(&filter);
        if self.wanted.get(&filter) != Some(&qos) {
            self.told.remove(&filter);
            self.wanted.insert(filter, qos);
        }
    }

    /// A filter is not wanted, whether or not it ever was.
    pub(super) fn ignore(&mut self, filter: String) {
        self.wanted.remove(&filter);
        self.told.remove(&filter);
        self.ending.insert(filter);
        if self.ending.len() > ENDING_MAX {
            self.ending.pop_first();
        }
    }

    /// A connection begins: nothing was told on it. Without the old session the broker holds nothing. Where it
    /// does not take `wildcards`, filters with them are not asked for.
    pub(super) fn connected(&mut self, session_present: bool, wildcards: bool) {
        self.plain_only = !wildcards;
        self.told.clear();
        self.asked = None;
        self.refused = 0;
        if !session_present {
            self.ending.clear();
        }
    }

    /// What the broker is to be asked for now, in a packet of at most `max_bytes`, unless an answer is waited for.
    pub(super) fn next(&self, max_bytes: usize) -> Option<Request> {
        if self.asked.is_some() {
            return None;
        }
        let mut left = max_bytes.saturating_sub(REQUEST_OVERHEAD_BYTES);
        // One always goes: where even that is too long the broker says so.
        let mut fits = |filter: &str, first: bool| {
            let bytes = filter.len() + FILTER_OVERHEAD_BYTES;
            let fits = first || bytes <= left;
            left = left.saturating_sub(bytes);
            fits
        };
        let asks = |filter: &String| !(self.plain_only && filter.contains(['+', '#']));
        let begin = self.wanted.iter().filter(|(filter, _)| !self.told.contains(*filter) && asks(filter));
        let begin = begin.take(FILTERS_MAX).enumerate().take_while(|(i, (filter, _))| fits(filter, *i == 0));
        let begin: Vec<_> = begin.map(|(_, (filter, qos))| (filter.clone(), *qos)).collect();
        if !begin.is_empty() {
            return Some(Request::Begin(begin));
        }
        let end = self.ending.iter().take(FILTERS_MAX).enumerate();
        let end: Vec<_> =
            end.take_while(|(i, filter)| fits(filter, *i == 0)).map(|(_, f)| f.clone()).collect();
        (!end.is_empty()).then_some(Request::End(end))
    }

    /// It is asked for under this packet id.
    pub(super) fn ask(&mut self, request: &Request, packet_id: u16, now: Time) {
        let ends = match request {
            Request::Begin(filters) => {
                self.told.extend(filters.iter().map(|(filter, _)| filter.clone()));
                Vec::new()
            }
            Request::End(filters) => filters.clone(),
        };
        self.asked = Some(Asked { packet_id, since: now, ends });
    }

    /// The broker answered, and refused so many; whether that was waited for.
    pub(super) fn answered(&mut self, packet_id: u16, refused: u64) -> bool {
        let Some(asked) = self.asked.take_if(|asked| asked.packet_id == packet_id) else { return false };
        self.refused += refused;
        for filter in asked.ends {
            self.ending.remove(&filter);
        }
        true
    }

    /// How many filters the broker refuses at present.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// Since when an answer is waited for.
    pub(super) fn asked_since(&self) -> Option<Time> {
        self.asked.as_ref().map(|asked| asked.since)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const NOW: Time = Time { mono_ns: 0, epoch_ms: 0 };

    /// A broker that keeps its session, and the number of the last request.
    #[derive(Default)]
    struct Broker {
        held: BTreeSet<String>,
        last_id: u16,
    }

    impl Broker {
        /// Takes the next request, and answers it if it is to; whether there was one.
        fn serve(&mut self, ours: &mut Subscriptions, answers: bool) -> bool {
            let Some(request) = ours.next(usize::MAX) else { return false };
            self.last_id += 1;
            ours.ask(&request, self.last_id, NOW);
            match request {
                Request::Begin(filters) => self.held.extend(filters.into_iter().map(|(filter, _)| filter)),
                Request::End(filters) => filters.iter().for_each(|filter| {
                    self.held.remove(filter);
                }),
            }
            if answers {
                assert!(ours.answered(self.last_id, 0) && !ours.answered(self.last_id, 0));
            }
            true
        }
    }

    #[test]
    fn what_begins_is_asked_for_before_what_ends_and_each_after_the_answer_to_the_one_before() {
        let mut ours = Subscriptions::default();
        ours.listen("all/+".to_owned(), Qos::AtMostOnce);
        let mut broker = Broker::default();
        broker.serve(&mut ours, true);
        ours.ignore("all/+".to_owned());
        ours.listen("all/a".to_owned(), Qos::AtMostOnce);
        let begin = Request::Begin(vec![("all/a".to_owned(), Qos::AtMostOnce)]);
        assert_eq!(ours.next(usize::MAX), Some(begin.clone()));
        ours.ask(&begin, 7, NOW);
        assert_eq!((ours.next(usize::MAX), ours.answered(8, 0), ours.answered(7, 0)), (None, false, true));
        assert_eq!(ours.next(usize::MAX), Some(Request::End(vec!["all/+".to_owned()])));
    }

    #[test]
    fn a_session_that_was_kept_is_rid_of_what_is_not_wanted_and_one_that_was_not_holds_nothing() {
        for kept in [true, false] {
            let mut ours = Subscriptions::default();
            let mut broker = Broker::default();
            ours.listen("a".to_owned(), Qos::AtMostOnce);
            broker.serve(&mut ours, true);
            ours.ignore("a".to_owned());
            ours.connected(kept, true);
            assert_eq!(ours.next(usize::MAX), kept.then(|| Request::End(vec!["a".to_owned()])));
        }
    }

    proptest! {
        #[test]
        fn whatever_is_wanted_when_and_wherever_connections_break_the_broker_comes_to_hold_just_that(
            steps in prop::collection::vec((0..5_u8, 0..200_u8), 0..300),
        ) {
            let (mut ours, mut broker) = (Subscriptions::default(), Broker::default());
            let mut wanted = BTreeSet::new();
            for (step, number) in steps {
                let filter = number.to_string();
                match step {
                    0 | 1 => {
                        ours.listen(filter.clone(), Qos::AtMostOnce);
                        wanted.insert(filter);
                    }
                    2 => {
                        ours.ignore(filter.clone());
                        wanted.remove(&filter);
                    }
                    3 => {
                        // What the connection breaks with may have reached the broker or not.
                        if number % 2 == 0 {
                            broker.serve(&mut ours, false);
                        }
                        if number % 3 == 0 {
                            broker.held.clear();
                        }
                        ours.connected(number % 3 != 0, true);
                    }
                    _ => { broker.serve(&mut ours, true); }
                }
            }
            ours.connected(true, true);
            while broker.serve(&mut ours, true) {}
            prop_assert_eq!(broker.held, wanted);
        }
    }
}
