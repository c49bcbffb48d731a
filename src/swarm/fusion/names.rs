//! Comes to the same names as the other tables.
//!
//! Each camera's last report of somebody carries its own table's name for them. The name that most tables of those
//! who see them use stands (a table whose own camera does not is heard by nobody, and goes by those that are), the older
//! one of two that as many use; of two names that were given within [`BIRTH_MS`],
//! which are two founding reports of one coming, always the older. So tables that hear the same come to the
//! same names, and one table that took somebody for another does not talk all others into it. A name that
//! another bears here is given up only in exchange: where most call both by each other's names. If that other was not
//! seen since this one was founded, it is the same person, whom this table had lost.

use super::identity;
use super::pace::Pace;
use super::person::Person;

/// A name may come from so far ahead, milliseconds.
const FUTURE_MS: i64 = 2_500;
/// Names given within this time may be of one coming, milliseconds.
const BIRTH_MS: i64 = 1_500;

/// Goes through everybody once.
pub(super) fn settle(people: &mut [Person], pace: Pace, now_ms: i64) {
    let mut bearers = bearers(people);
    let mut claims = Vec::new();
    for row in 0..people.len() {
        claims.clear();
        claims.extend(people[row].claims(pace, now_ms));
        if claims.iter().all(|c| *c == people[row].id) {
            continue;
        }
        claims.sort_unstable();
        let id = people[row].id;
        let own =
            claims.iter().filter(|c| **c == id).count() + usize::from(people[row].is_ours(pace, now_ms));
        for of_one in claims.chunk_by(|a, b| a == b).filter(|c| c[0] != id) {
            let claim = of_one[0];
            let is_older = claim < id;
            let age_ms = identity::founding_ms(id) - identity::founding_ms(claim);
            let wins = of_one.len() > own || (is_older && (of_one.len() == own || age_ms <= BIRTH_MS));
            let may_be = identity::founding_ms(claim) <= now_ms + FUTURE_MS;
            let bearer = bearers.binary_search_by_key(&claim, |b| b.0).ok().map(|at| bearers[at].1);
            match bearer {
                None if wins && may_be => people[row].id = claim,
                Some(other) if wins && people[other].seen_ms < people[row].founded_ms => {
                    people[row].id = claim;
                    people[other].id = id;
                    people[other].give_up();
                }
                Some(other) if of_one.len() > own && is_called(&people[other], id, pace, now_ms) => {
                    people[row].id = claim;
                    people[other].id = id;
                }
                _ => continue,
            }
            bearers = self::bearers(people);
            break;
        }
    }
}

/// Whether most call this person so, and not by their own name.
fn is_called(person: &Person, name: u64, pace: Pace, now_ms: i64) -> bool {
    let count = |name| person.claims(pace, now_ms).filter(|c| *c == name).count();
    count(name) > count(person.id) + usize::from(person.is_ours(pace, now_ms))
}

/// Who bears which name, by name.
fn bearers(people: &[Person]) -> Vec<(u64, usize)> {
    let mut bearers: Vec<_> = people.iter().enumerate().map(|(i, p)| (p.id, i)).collect();
    bearers.sort_unstable();
    bearers
}
