//! The whole program is killed while it sends.
//!
//! It says in its log what it has decided, then puts it into the store, and one batch after the other is
//! committed in that order. So what was accepted is a beginning of what was said: when a later decision has
//! come and an earlier one has not, that one was accepted and lost.

use std::collections::HashSet;

use crate::busy::{self, ALL_EVENTS, Decision, Listener};
use crate::support::program::Program;
use crate::support::{Setup, TestBroker, kinds};

async fn events_survive_kills(kills: usize, between: usize) {
    for kind in kinds() {
        let broker = TestBroker::start(kind, Setup::default()).await;
        let listener = Listener::start(broker.port(), "listener").await;
        let camera = busy::camera("gate", &format!("{}{ALL_EVENTS}", busy::link("main", broker.port(), "")));
        let mut lives: Vec<Vec<Decision>> = Vec::new();
        for life in 0..kills {
            let mut program = Program::start(&mut busy::command(&camera));
            // At another moment of its life each time, in the middle of sending.
            let wanted = listener.heard().decisions.len() + between + life * 37 % 150;
            listener.until("more events", |heard| heard.decisions.len() >= wanted).await;
            program.signal("KILL");
            program.exit().await;
            lives.push(busy::decisions(&program));
        }
        let mut last = Program::start(&mut busy::command(&camera));
        busy::decides(&last, between).await;
        assert_eq!(last.stop().await, Some(0), "{}", last.log());
        assert!(!last.log().contains("not delivered before the stop"), "{}", last.log());
        listener.catches_up().await;
        let heard = listener.heard().decisions;
        let (mut said, mut accepted, mut ids) = (0, 0, HashSet::new());
        for (life, decisions) in lives.iter().enumerate() {
            let beginning =
                decisions.iter().rposition(|decision| heard.contains(decision)).map_or(0, |at| at + 1);
            let lost: Vec<_> =
                decisions[..beginning].iter().filter(|decision| !heard.contains(*decision)).collect();
            assert!(lost.is_empty(), "{kind:?}, life {life}: {lost:?}");
            let of_life: HashSet<u32> = decisions.iter().map(|(id, _)| *id).collect();
            assert!(ids.is_disjoint(&of_life), "{kind:?}, life {life}: an id was used again");
            ids.extend(of_life);
            (said, accepted) = (said + decisions.len(), accepted + beginning);
        }
        let missing: Vec<_> = busy::decisions(&last).into_iter().filter(|one| !heard.contains(one)).collect();
        assert!(missing.is_empty(), "{kind:?}: a stop in order loses nothing: {missing:?}");
        eprintln!(
            "{kind:?}: {kills} kills of the program, {said} decisions, {accepted} accepted: 0 lost, no id twice"
        );
        assert!(accepted > kills * between / 2, "{kind:?}: hardly anything was accepted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_accepted_event_is_lost_when_the_program_is_killed_while_it_sends() {
    events_survive_kills(3, 60).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "full size: about four minutes"]
async fn full_no_accepted_event_is_lost_when_the_program_is_killed_while_it_sends() {
    events_survive_kills(50, 100).await;
}
