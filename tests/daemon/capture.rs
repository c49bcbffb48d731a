//! Sources that fail, and come back; and sources that end.

use crate::support::program::{Camera, Program};
use crate::support::watch::{counter, modes};
use omnisight::swarm::message::StatusMessage;

use crate::support::{Peer, Setup, TestBroker, against_each_broker};

/// Begins a YUV4MPEG2 stream of 96x72 grey pixels.
const HEADER: &str = "printf 'YUV4MPEG2 W96 H72 F25:1 Cmono\\n'";
/// Goes on with it, light enough to be no dark scene, for as long as somebody reads.
const FRAMES: &str = "while printf 'FRAME\\n' && head -c 6912 /dev/zero | tr '\\0' x; do sleep 0.02; done";

/// The modes but that of a camera without calibration, which this one is.
fn faults(status: &StatusMessage) -> Vec<&str> {
    modes(status).into_iter().filter(|mode| *mode != "uncalibrated").collect()
}

/// A camera whose capture program misbehaves in this way until the file `mended` is there.
async fn fails_and_recovers(broker: &TestBroker, misbehave: &str, mode: &str, named: &str) {
    let script = format!("if [ ! -e $MENDED ]; then {misbehave}; fi; {HEADER}; {FRAMES}");
    let capture = format!("kind = 'command'\nstall_after_s = 0.5\ncommand = ['sh', '-c', '''{script}''']");
    let camera = Camera::new("gate", &capture, broker.port());
    let mended = camera.path().join("mended");
    let mut program = Program::start(camera.command().env("MENDED", &mended));
    let mut watch = Peer::watch_presence(broker.port());
    let (status, _) = watch.presence(|status| !faults(status).is_empty()).await;
    assert_eq!(faults(&status), [mode], "{}", program.log());
    program.says(named).await;
    std::fs::write(&mended, "").unwrap();
    let since = status.timestamp;
    let (status, _) = watch.presence(|status| status.timestamp > since && faults(status).is_empty()).await;
    assert!(counter(&status, "capture_restarts") >= 1, "{status:?}");
    assert_eq!(program.stop().await, Some(0), "{}", program.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_program_that_dies_is_named_and_recovers() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let dies = "echo the lens fell off >&2; exit 3";
        fails_and_recovers(&broker, dies, "capture_down", "the lens fell off").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_program_that_hangs_is_named_and_recovers() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let hangs = format!("{HEADER}; sleep 1000");
        fails_and_recovers(&broker, &hangs, "capture_stalled", "no frame for").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_program_that_writes_rubbish_is_named_and_recovers() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let babbles = "while echo 404 not found; do :; done";
        fails_and_recovers(&broker, babbles, "capture_down", "capture restarts").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_that_ends_ends_the_program_with_0_after_its_goodbye() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let camera = Camera::new("gate", "", broker.port());
        // One who leaves long before the end, and one who stays to the last frame.
        let leaves = (1..=20).map(|n| format!("{n},-1,{},20,20,40,0.9\n", n * 2));
        let stays = (1..=60).map(|n| format!("{n},-1,{},60,20,40,0.9\n", 150 - n));
        let rows: String = leaves.chain(stays).collect();
        std::fs::write(camera.path().join("det.txt"), rows).unwrap();
        let mut tracks = Peer::subscribed(broker.port(), "watch", "omnisight/swarm/tracks/gate/+").await;
        let mut program = Program::start(
            camera
                .command()
                .current_dir(camera.path())
                .env("OMNISIGHT_CAPTURE__KIND", "replay")
                .env("OMNISIGHT_CAPTURE__FILE", "det.txt")
                .env("OMNISIGHT_CAPTURE__WIDTH", "200")
                .env("OMNISIGHT_CAPTURE__HEIGHT", "100")
                .env("OMNISIGHT_CAPTURE__FPS", "30"),
        );
        let mut watch = Peer::watch_presence(broker.port());
        watch.online().await;
        while !tracks.track().await.ended {}
        assert_eq!(program.exit().await, Some(0), "{}", program.log());
        assert!(program.log().contains("the source has ended"), "{}", program.log());
        watch.offline().await;
    })
    .await;
}
