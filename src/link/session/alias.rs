//! Topic aliases of what goes out (MQTT 5, 3.3.2.3.4): a number in place of a topic that the broker
//! has been told already on this connection.
//!
//! At most the broker's maximum and [`ALIASES_MAX`]; when all are taken, the least recently used one is
//! told anew. Every connection begins without any. Pure.

use std::collections::HashMap;

/// Twice the tracks that a camera has on screen on a busy day; some 100 bytes each.
const ALIASES_MAX: u16 = 128;

/// How a topic is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::link) struct Alias {
    /// Its number, from 1.
    pub(in crate::link) number: u16,
    /// The broker knows it: the topic is left out.
    pub(in crate::link) known: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Aliases {
    max: u16,
    by_topic: HashMap<String, Place>,
    uses: u64,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    number: u16,
    used: u64,
}

impl Aliases {
    /// For a new connection to a broker that takes `broker_max` of them.
    pub(super) fn new(broker_max: u16) -> Self {
        Self { max: broker_max.min(ALIASES_MAX), ..Self::default() }
    }

    /// How this topic is to be sent now; none: as it is.
    pub(super) fn of(&mut self, topic: &str) -> Option<Alias> {
        if self.max == 0 {
            return None;
        }
        self.uses += 1;
        let used = self.uses;
        if let Some(place) = self.by_topic.get_mut(topic) {
            place.used = used;
            return Some(Alias { number: place.number, known: true });
        }
        let number = if self.by_topic.len() < usize::from(self.max) {
            self.by_topic.len() as u16 + 1
        } else {
            let oldest = self.by_topic.iter().min_by_key(|(_, place)| place.used);
            let oldest = oldest.map(|(topic, _)| topic.clone())?;
            self.by_topic.remove(&oldest)?.number
        };
        self.by_topic.insert(topic.to_owned(), Place { number, used });
        Some(Alias { number, known: false })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_broker_that_takes_none_is_told_none() {
        assert_eq!(Aliases::new(0).of("t"), None);
    }

    proptest! {
        #[test]
        fn a_broker_that_follows_the_rules_always_finds_the_topic(
            max in 1..6_u16, topics in prop::collection::vec("[a-h]", 0..200),
        ) {
            let mut aliases = Aliases::new(max);
            let mut broker = HashMap::new();
            for topic in topics {
                let alias = aliases.of(&topic).unwrap();
                prop_assert!((1..=max).contains(&alias.number));
                if !alias.known {
                    broker.insert(alias.number, topic.clone());
                }
                prop_assert_eq!(&broker[&alias.number], &topic);
            }
        }
    }

    #[test]
    fn the_least_recently_used_gives_way() {
        let mut aliases = Aliases::new(2);
        for topic in ["a", "b", "a", "c"] {
            aliases.of(topic);
        }
        assert_eq!(aliases.of("a"), Some(Alias { number: 1, known: true }));
        assert_eq!(aliases.of("b").map(|alias| alias.known), Some(false));
    }
}
