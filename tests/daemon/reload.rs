//! SIGHUP: the configuration is read again while the camera runs.

use std::collections::BTreeMap;

use tokio::time::timeout;

use crate::support::program::{Camera, Program, SMALL_PLAZA};
use crate::support::watch::counter;
use crate::support::{DEADLINE, Peer, Setup, TestBroker, against_each_broker};

fn rewrite(camera: &Camera, from: &str, to: &str) {
    let text = std::fs::read_to_string(camera.file()).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(camera.file(), text.replace(from, to)).unwrap();
}

fn link_to(broker: &TestBroker, further: &str) -> String {
    let port = broker.port();
    format!("[[broker_link]]\nurl = 'mqtt://127.0.0.1:{port}'\nreconnect_first_s = 0.1\n{further}")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_changed_is_in_force_the_rest_is_named_and_the_link_stays_up() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let sections = link_to(&broker, "[swarm]\ntrack_rate_hz = 0.1\n[log]\nlevel = 'info'\n");
        let camera = Camera::with_sections("gate", SMALL_PLAZA, &sections);
        let mut program = camera.run();
        let mut watch = Peer::watch_presence(broker.port());
        watch.online().await;
        rewrite(&camera, "track_rate_hz = 0.1", "track_rate_hz = 10.0");
        rewrite(&camera, "level = 'info'", "level = 'debug'");
        rewrite(&camera, "width = 240", "width = 320");
        program.signal("HUP");
        program.says("in force now: log.level, swarm.track_rate_hz").await;
        program.says("needs a restart: capture.width").await;
        // Ten a second and not one in ten seconds: the fifth of one track within half a minute can only be
        // the new rate.
        let mut tracks = Peer::watch_tracks(broker.port(), "gate");
        let mut heard = BTreeMap::new();
        let fifth = async {
            while !heard.values().any(|count| *count == 5) {
                *heard.entry(tracks.track().await.track_id).or_insert(0) += 1;
            }
        };
        assert!(timeout(DEADLINE, fifth).await.is_ok(), "{heard:?}");
        let (status, _) = watch.presence(|status| counter(status, "link_sent") > 0).await;
        assert_eq!(counter(&status, "link_connects"), 1);
        assert_eq!(program.stop().await, Some(0), "{}", program.log());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_with_faults_changes_nothing_and_each_fault_is_told() {
    let camera =
        Camera::with_sections("gate", SMALL_PLAZA, "[log]\nlevel = 'info'\n[tracker]\nmin_hits = 3\n");
    let mut program = camera.run();
    program.says("running").await;
    rewrite(&camera, "min_hits = 3", "min_hits = 0\niou_mim = 0.3");
    rewrite(&camera, "level = 'info'", "level = 'debug'");
    program.signal("HUP");
    program.says("not reloaded").await;
    program.says("tracker.min_hits: found 0").await;
    program.says("did you mean iou_min?").await;
    rewrite(&camera, "min_hits = 0\niou_mim = 0.3", "min_hits = 4");
    program.signal("HUP");
    // The level was not taken over before, so it is now.
    program.says("in force now: log.level, tracker.min_hits").await;
    program.signal("HUP");
    program.says("nothing has changed").await;
    assert_eq!(program.stop().await, Some(0), "{}", program.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_password_is_told_by_its_key_and_not_shown() {
    let link = "[[broker_link]]\nurl = 'mqtt://127.0.0.1:1'\nusername = 'u'\npassword = 'hush-1'\n";
    let camera = Camera::with_sections("gate", SMALL_PLAZA, link);
    let mut program = Program::start(camera.command().args(["--log", "trace"]));
    program.says("running").await;
    rewrite(&camera, "hush-1", "hush-2");
    program.signal("HUP");
    program.says("broker_link.0.password").await;
    assert_eq!(program.stop().await, Some(0));
    assert!(!program.log().contains("hush"), "{}", program.log());
}

#[cfg(feature = "broker")]
#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_is_new_in_the_configuration_may_connect_to_the_embedded_broker() {
    use crate::support::{free_port, link_options, with_password};
    use omnisight::link::State;

    let port = free_port();
    let own = format!(
        "[broker]\nenabled = true\nlisten = '127.0.0.1:{port}'\nusers = [{{ name = 'gate', password = 'one' }}]\n"
    );
    let camera = Camera::with_sections("gate", SMALL_PLAZA, &own);
    let mut program = camera.run();
    program.says("running").await;
    let options = with_password(link_options(port), "yard", "two");
    let refused = Peer::spawn(&options, "yard", None, &[]);
    refused.status(|status| status.last_error.is_some()).await;
    rewrite(&camera, "users = [", "users = [{ name = 'yard', password = 'two' }, ");
    program.signal("HUP");
    program.says("in force now: broker.users").await;
    // A link of its own: the refused one has slowed down.
    let admitted = Peer::spawn(&options, "yard-2", None, &[]);
    admitted.status(|status| status.state == State::Connected).await;
    assert_eq!(program.stop().await, Some(0), "{}", program.log());
}
