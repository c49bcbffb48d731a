//! `omnisight demo` and `omnisight broker`, watched with mosquitto's own clients.

use std::process::{Command, Stdio};

use crate::support::mosquitto::Mosquitto;
use crate::support::program::{Program, omnisight};

/// The number before each of these words, in this order.
fn numbers(line: &str, words: &[&str]) -> Vec<u64> {
    let number = |word: &&str| {
        let before = line.split(word).next().unwrap_or_default().trim_end();
        before.rsplit([' ', '(']).next().and_then(|number| number.parse().ok()).expect(line)
    };
    words.iter().map(number).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_prints_how_to_watch_it_its_status_and_a_summary() {
    let mut program = Program::start(&mut omnisight(&["demo", "--cameras", "2", "--for", "6s"]));
    program.until("the line to watch with", |program| program.out().contains("-v\n")).await;
    let out = program.out();
    let watch = out.lines().find(|line| line.contains("mosquitto_sub")).unwrap();
    if Mosquitto::installed() {
        let shell = format!("{watch} -C 20 -W 20");
        let seen = Program::finish(Command::new("sh").args(["-c", &shell]));
        assert_eq!(seen.code, Some(0), "{seen:?}");
        assert_eq!(seen.out.lines().filter(|line| line.starts_with("omnisight/swarm/")).count(), 20);
        assert!(seen.out.contains("omnisight/swarm/status/plaza-1 {"), "{}", seen.out);
    }
    assert_eq!(program.exit().await, Some(0), "{}", program.log());
    let out = program.out();
    assert!(out.lines().filter(|line| line.contains("frames/s") && line.contains("peers 1/1")).count() >= 1);
    let cameras: Vec<&str> = out.lines().filter(|line| line.starts_with("plaza-")).collect();
    assert_eq!(cameras.len(), 2, "{out}");
    for camera in cameras {
        let counts = numbers(camera, &["frames", "messages sent", "received"]);
        assert!(counts.iter().all(|count| *count > 0), "{camera}");
        assert!(camera.matches("(0 dropped").count() == 3, "{camera}");
    }
    let all = out.lines().find(|line| line.starts_with("all:")).expect(&out);
    let counts = numbers(all, &["frames", "messages sent", "received"]);
    assert!(counts.iter().all(|count| *count > 0), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cameras_of_the_demo_take_commands_and_serve_a_fleet_server() {
    let mut program = Program::start(&mut omnisight(&["demo", "--cameras", "2"]));
    program.until("a status line", |program| program.out().contains("frames/s")).await;
    let out = program.out();
    let send = out.lines().find(|line| line.contains("omnisight send status")).unwrap();
    let broker = send.rsplit(' ').next().unwrap();
    let say = |words: &[&str]| {
        let sent = Program::finish(&mut omnisight(&[words, &["--broker", broker]].concat()));
        assert_eq!(sent.code, Some(0), "{words:?}: {sent:?}");
        sent.out
    };
    let status = say(&["send", "status", "--camera", "plaza-1"]);
    assert!(status.contains(r#""peers":1"#), "{status}");
    say(&["send", "set", "tracker.iou_min=0.25", "--camera", "plaza-1"]);
    assert!(say(&["send", "set", "--camera", "plaza-1"]).contains("0.25"));
    say(&["send", "restart", "--camera", "plaza-1"]);
    say(&["send", "stop", "--camera", "plaza-2"]);
    if Mosquitto::installed() {
        let port = broker.rsplit(':').next().unwrap();
        let order = r#"{"message_id":"1","camera_id":"plaza_1","command":"get_status","parameters":{}}"#;
        let ask = format!(
            "mosquitto_pub -p {port} -q 2 -t lprserver/cameras/plaza_1/control -m '{order}' --repeat 20 --repeat-delay 0.3 &
             mosquitto_sub -p {port} -q 2 -t lprserver/cameras/plaza_1/control/response -C 1 -W 10"
        );
        let answered = Program::finish(Command::new("sh").args(["-c", &ask]));
        assert!(answered.out.contains(r#""status":"executed""#), "{answered:?}");
    }
    program.signal("INT");
    assert_eq!(program.exit().await, Some(0), "{}", program.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_ends_at_ctrl_c_with_its_summary() {
    let mut program = Program::start(&mut omnisight(&["demo", "--cameras", "1"]));
    program.until("a status line", |program| program.out().contains("frames/s")).await;
    program.signal("INT");
    assert_eq!(program.exit().await, Some(0), "{}", program.log());
    assert!(program.out().contains("all: "), "{}", program.out());
}

#[test]
fn the_demo_draws_a_picture_that_can_be_decoded() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("demo.png");
    let arguments = ["demo", "--cameras", "2", "--for", "3s", "--picture", file.to_str().unwrap()];
    let finished = Program::finish(&mut omnisight(&arguments));
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let decoder = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(&file).unwrap()));
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    // Two camera pictures and a map.
    assert!((480..=8_000).contains(&info.width) && (360..=8_000).contains(&info.height), "{info:?}");
    let colours: std::collections::BTreeSet<&[u8]> = pixels.chunks_exact(3).take(2_000_000).collect();
    assert!(colours.len() > 100, "{} colours", colours.len());
}

#[test]
fn a_picture_that_cannot_be_written_is_named() {
    let arguments = ["demo", "--cameras", "1", "--for", "1s", "--picture", "/no/such/folder/demo.png"];
    let finished = Program::finish(&mut omnisight(&arguments));
    assert_eq!(finished.code, Some(69), "{finished:?}");
    assert!(finished.err.contains("/no/such/folder/demo.png"), "{finished:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_alone_says_its_address_and_serves_mosquittos_clients() {
    let mut program = Program::start(&mut omnisight(&["broker", "--listen", "127.0.0.1:0"]));
    program.says("broker listens address=127.0.0.1:").await;
    let log = program.log();
    let port =
        log.split("address=127.0.0.1:").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap();
    assert_ne!(port, "0");
    if Mosquitto::installed() {
        // A retained message, so that it does not matter who is there first.
        let published = Command::new("mosquitto_pub")
            .args(["-p", port, "-q", "1", "-r", "-t", "hello", "-m", "world"])
            .stdin(Stdio::null())
            .status()
            .unwrap();
        assert!(published.success());
        let seen = Program::finish(
            Command::new("mosquitto_sub").args(["-p", port, "-t", "#", "-v", "-C", "1", "-W", "20"]),
        );
        assert_eq!(seen.out, "hello world\n", "{seen:?}");
    }
    assert_eq!(program.stop().await, Some(0), "{}", program.log());
}
