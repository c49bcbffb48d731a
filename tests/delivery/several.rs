//! Several brokers, and links that change while the program runs.

use crate::busy::{self, ALL_EVENTS, Listener};
use crate::support::program::{Camera, Program, SMALL_PLAZA};
use crate::support::proxy::{Arrivals, Conditions, From, Kind as Packet, Proxy};
use crate::support::{Peer, Setup, TestBroker, kinds};

/// The cloud gets events alone: of what is carried, tracks are no events.
const CLOUD: &str =
    "carries = ['events', 'tracks']\ntopics = ['omnisight/swarm/events/#']\nkeep_alive_s = 60";

fn rewrite(camera: &Camera, from: &str, to: &str) {
    let text = std::fs::read_to_string(camera.file()).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(camera.file(), text.replace(from, to)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_broker_gets_what_its_link_carries_and_one_that_is_down_or_changed_holds_up_no_other() {
    let kinds = kinds();
    let (site, cloud) = (kinds[0], kinds[kinds.len() - 1]);
    let site = TestBroker::start(site, Setup::default()).await;
    let cloud = TestBroker::start(cloud, Setup::default()).await;
    let (to_site, to_cloud) = (Proxy::start(site.port()).await, Proxy::start(cloud.port()).await);
    let at_site = Listener::start(site.port(), "at-site").await;
    let at_cloud = Listener::start(cloud.port(), "at-cloud").await;
    let links = [busy::link("site", to_site.port(), ""), busy::link("cloud", to_cloud.port(), CLOUD)];
    let camera = busy::camera("gate", &format!("{}{ALL_EVENTS}", links.concat()));
    let mut program = Program::start(&mut busy::command(&camera));
    at_cloud.until("events", |heard| heard.decisions.len() > 50).await;
    // Down: the other goes on.
    to_cloud.set(Conditions { arrivals: Arrivals::Close, ..Conditions::default() });
    to_cloud.cut_connections();
    let before = at_site.heard().decisions.len();
    at_site.until("more events", |heard| heard.decisions.len() > before + 200).await;
    to_cloud.set(Conditions::default());
    at_cloud.until("what it missed", |heard| heard.decisions.len() > before + 200).await;
    // Changed: it alone is connected anew.
    let connects = [&to_site, &to_cloud].map(|proxy| proxy.count(From::Link, Packet::Connect));
    rewrite(&camera, "keep_alive_s = 60", "keep_alive_s = 50");
    program.signal("HUP");
    program.says("in force now: broker_link.1.keep_alive_s").await;
    to_cloud.counted(From::Link, Packet::Connect, connects[1] + 1).await;
    let before = at_cloud.heard().decisions.len();
    at_cloud.until("events by the new connection", |heard| heard.decisions.len() > before + 100).await;
    assert_eq!(to_site.count(From::Link, Packet::Connect), connects[0], "a link that did not change");
    assert_eq!(program.stop().await, Some(0), "{}", program.log());
    assert!(!program.log().contains("not delivered before the stop"), "{}", program.log());
    for listener in [&at_site, &at_cloud] {
        listener.catches_up().await;
        let heard = listener.heard();
        let missing: Vec<_> =
            busy::decisions(&program).into_iter().filter(|one| !heard.decisions.contains(one)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
    let others = at_cloud.heard().other_topics;
    assert!(others.is_empty(), "not for the cloud: {others:?}");
    assert!(at_site.heard().other_topics.iter().any(|topic| topic.contains("/tracks/")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_is_told_of_another_broker_leaves_the_first_and_takes_commands_at_the_second() {
    let kinds = kinds();
    let first = TestBroker::start(kinds[0], Setup::default()).await;
    let second = TestBroker::start(kinds[kinds.len() - 1], Setup::default()).await;
    let camera = Camera::new("gate", SMALL_PLAZA, first.port());
    let mut program = camera.run();
    let mut at_first = Peer::watch_presence(first.port());
    at_first.online().await;
    let mut at_second = Peer::watch_presence(second.port());
    rewrite(&camera, &format!("127.0.0.1:{}", first.port()), &format!("127.0.0.1:{}", second.port()));
    program.signal("HUP");
    at_second.online().await;
    // It does not leave the word behind that it is there.
    at_first.offline().await;
    let url = format!("mqtt://127.0.0.1:{}", second.port());
    let send = || {
        let arguments = ["send", "status", "--camera", "gate", "--broker", &url, "--within", "20s"];
        Program::finish(&mut crate::support::program::omnisight(&arguments))
    };
    let answered = tokio::task::block_in_place(send);
    assert_eq!(answered.code, Some(0), "{answered:?}");
    assert_eq!(program.stop().await, Some(0), "{}", program.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_added_while_the_program_runs_comes_up_and_one_that_is_taken_away_says_goodbye() {
    let kinds = kinds();
    let first = TestBroker::start(kinds[0], Setup::default()).await;
    let second = TestBroker::start(kinds[kinds.len() - 1], Setup::default()).await;
    let camera = Camera::new("gate", SMALL_PLAZA, first.port());
    let alone = std::fs::read_to_string(camera.file()).unwrap();
    let mut program = camera.run();
    let mut at_first = Peer::watch_presence(first.port());
    at_first.online().await;
    let mut at_second = Peer::watch_presence(second.port());
    let both = format!("{alone}{}", busy::link("second", second.port(), ""));
    std::fs::write(camera.file(), both).unwrap();
    program.signal("HUP");
    at_second.online().await;
    std::fs::write(camera.file(), alone).unwrap();
    program.signal("HUP");
    at_second.offline().await;
    program.says("a link is no longer wanted").await;
    assert_eq!(program.stop().await, Some(0), "{}", program.log());
}
