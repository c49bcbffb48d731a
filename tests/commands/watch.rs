//! `omnisight watch`, as a person or a script meets it.

use crate::support::mosquitto::Mosquitto;
use crate::support::program::{Camera, Program, SMALL_PLAZA, omnisight};
use crate::support::{Kind, Setup, TestBroker};

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_no_terminal_it_writes_a_line_for_each_thing_that_changes() {
    if !Mosquitto::installed() {
        return;
    }
    let broker = TestBroker::start(Kind::Mosquitto, Setup::default()).await;
    let url = format!("mqtt://127.0.0.1:{}", broker.port());
    let watch = Program::start(&mut omnisight(&["watch", "--broker", &url]));
    watch.until("connected", |watch| watch.out().contains("broker connected")).await;
    let camera = Camera::new("gate", SMALL_PLAZA, broker.port());
    let mut program = camera.run();
    for wanted in ["camera gate online", "camera gate is running", "track gate/"] {
        watch.until(wanted, |watch| watch.out().contains(wanted)).await;
    }
    program.stop().await;
    watch.until("offline", |watch| watch.out().contains("camera gate offline")).await;
    watch.signal("INT");
    let ended = watch.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
}

#[test]
fn on_a_terminal_it_draws_a_screen_and_leaves_it_as_it_was() {
    // `script` gives it a terminal; where that is not installed there is nothing to try.
    let program = env!("CARGO_BIN_EXE_omnisight");
    let command = format!("stty cols 100 rows 30; {program} watch --for 2s --broker mqtt://127.0.0.1:9");
    let mut script = std::process::Command::new("script");
    script.args(["-qec", &command, "/dev/null"]).env("TERM", "xterm");
    if script.output().is_err() {
        eprintln!("skipped: script not installed");
        return;
    }
    let shown = Program::finish(&mut script);
    for wanted in ["cameras", "tracks", "events", "votes", "q: leave"] {
        assert!(shown.out.contains(wanted), "{wanted} is not in {:?}", shown.out);
    }
    // The alternate screen, and back.
    let (enter, leave) = ("\u{1b}[?1049h", "\u{1b}[?1049l");
    assert!(shown.out.contains(enter) && shown.out.contains(leave), "{:?}", shown.out);
    assert_eq!(shown.code, Some(0));
}
