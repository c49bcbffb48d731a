//! The desk and the plane together, as the daemon uses them.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::*;
use crate::base::Time;
use crate::model::{CameraId, Delivery, Envelope, Mode, Modes};

fn at(ms: u64) -> Time {
    Time { mono_ns: ms * 1_000_000, epoch_ms: 1_795_207_082_000 + ms }
}

fn gate() -> CameraId {
    CameraId::parse("gate").unwrap()
}

/// A camera that does at once what it is told, and a broker that keeps what is retained.
struct Rig {
    desk: Desk,
    plane: Plane,
    activity: Activity,
    crop: bool,
    /// What was done, in order.
    done: Vec<Word>,
    saves: usize,
    retained: BTreeMap<String, Value>,
    replies: Vec<Value>,
    others: Vec<Envelope>,
    now_ms: u64,
}

impl Rig {
    fn new(desk: DeskOptions, plane: PlaneOptions) -> Self {
        let mut rig = Self {
            desk: Desk::new(desk, Repeats::default()),
            plane: Plane::new(Topics::new(PREFIX, gate()), plane),
            activity: Activity::Running,
            crop: false,
            done: Vec::new(),
            saves: 0,
            retained: BTreeMap::new(),
            replies: Vec::new(),
            others: Vec::new(),
            now_ms: 0,
        };
        rig.show();
        rig
    }

    fn usual() -> Self {
        Self::new(DeskOptions::default(), PlaneOptions::default())
    }

    fn now(&self) -> Time {
        at(self.now_ms)
    }

    fn show(&mut self) {
        let mut out = Vec::new();
        let truth = Truth { activity: self.activity, modes: Modes::default(), crop: self.crop };
        self.plane.set_truth(truth, self.now(), &mut out);
        self.publish(out);
    }

    fn publish(&mut self, out: Vec<Outgoing>) {
        for (_, envelope) in out {
            let value: Value = serde_json::from_slice(&envelope.payload).unwrap();
            if envelope.retain {
                self.retained.insert(envelope.topic, value);
            } else if envelope.topic == self.plane.topics().replies() {
                self.replies.push(value);
            } else {
                self.others.push(envelope);
            }
        }
    }

    fn hear(&mut self, delivery: &Delivery) {
        let mut actions = Vec::new();
        let Some(asker) = self.plane.asker(delivery) else { return };
        if self.desk.admit(&asker, self.now(), &mut actions) {
            self.desk.submit(Request::read(delivery, &gate()), asker, self.now(), &mut actions);
        }
        self.act(actions);
    }

    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            let mut out = Vec::new();
            match action {
                Action::Reply(asker, reply) => self.plane.reply(&asker, &reply, self.now(), &mut out),
                Action::Audit(audit) => self.plane.audit(&audit, self.now(), &mut out),
                Action::Save => self.saves += 1,
                Action::Execute(ticket, command) => self.execute(ticket, &command),
            }
            self.publish(out);
        }
    }

    fn execute(&mut self, ticket: Ticket, command: &Command) {
        self.done.push(command.word());
        match command {
            Command::Pause => self.activity = Activity::Paused,
            Command::Resume => self.activity = Activity::Running,
            Command::ToggleCrop { enabled } => self.crop = enabled.unwrap_or(!self.crop),
            Command::Status => {
                let mut out = Vec::new();
                self.plane.tell(self.now(), &mut out);
                self.publish(out);
            }
            // The way out has begun; it is over when the process leaves.
            Command::Stop | Command::Restart => {
                self.activity = Activity::Stopping;
                self.show();
                return;
            }
            _ => {}
        }
        self.show();
        let mut actions = Vec::new();
        self.desk.finish(ticket, Outcome::OK, &mut actions);
        self.act(actions);
    }

    fn say(&mut self, text: &str) -> Option<Value> {
        self.say_on("inference/gate/control/commands", text)
    }

    fn say_on(&mut self, topic: &str, text: &str) -> Option<Value> {
        let before = self.replies.len();
        let payload = bytes::Bytes::copy_from_slice(text.as_bytes());
        self.hear(&Delivery { topic: topic.to_owned(), payload, ..Delivery::default() });
        self.replies.get(before..)?.last().cloned()
    }

    fn status(&self) -> &str {
        self.retained["inference/gate/control/status"]["status"].as_str().unwrap()
    }
}

#[test]
fn status_tells_the_state_that_is_so_and_keeps_paused_paused() {
    let mut rig = Rig::usual();
    assert_eq!(rig.status(), "running");
    assert_eq!(rig.say(r#"{"command":"pause"}"#).unwrap()["state"], "done");
    assert_eq!(rig.status(), "paused");
    rig.say(r#"{"command":"STATUS"}"#);
    assert_eq!(rig.status(), "paused");
    assert_eq!(rig.retained["inference/control/status"]["status"], "paused");
    rig.say_on("inference/control/commands", r#"{"command":"resume"}"#);
    assert_eq!(rig.status(), "running");
}

#[test]
fn a_status_has_the_references_keys_first() {
    let rig = Rig::usual();
    let mut out = Vec::new();
    rig.plane.tell_shared(at(0), &mut out);
    let text = String::from_utf8(out[0].1.payload.to_vec()).unwrap();
    let wanted = r#"{"status":"running","timestamp":"2026-11-20T20:38:02.000Z","client_id":"gate-control","camera_id":"gate","state":{"#;
    assert!(text.starts_with(wanted), "{text}");
}

#[test]
fn stop_is_accepted_then_stopped_and_done_when_the_process_leaves() {
    let mut rig = Rig::usual();
    rig.say(r#"{"command":"stop","id":"s"}"#);
    assert_eq!(rig.replies[0]["state"], "accepted");
    assert_eq!((rig.status(), rig.saves), ("stopped", 1));
    let refused = rig.say(r#"{"command":"resume"}"#).unwrap();
    assert_eq!((&refused["state"], &refused["error"]), (&json!("rejected"), &json!("stopping")));
    assert_eq!(rig.say(r#"{"command":"health"}"#).unwrap()["state"], "done");
    let mut actions = Vec::new();
    rig.desk.finish_all(&mut actions);
    rig.act(actions);
    let last = rig.replies.last().unwrap();
    assert_eq!((&last["state"], &last["id"], &last["progress"]), (&json!("done"), &json!("s"), &json!(100)));
    assert_eq!(rig.plane.will().topic, "inference/gate/control/status");
    // When a will is published is not known beforehand.
    for (envelope, knows) in [(rig.plane.will(), false), (rig.plane.farewell(at(0)), true)] {
        let status: Value = serde_json::from_slice(&envelope.payload).unwrap();
        assert_eq!((&status["status"], status.get("timestamp").is_some()), (&json!("disconnected"), knows));
    }
}

#[test]
fn the_same_id_again_is_answered_again_and_done_once_and_another_content_is_not_done() {
    let mut rig = Rig::usual();
    let first = rig.say(r#"{"command":"toggle_crop","id":"a"}"#).unwrap();
    let again = rig.say(r#"{"id":"a","command":"toggle_crop"}"#).unwrap();
    assert_eq!((first["state"].clone(), rig.crop), (again["state"].clone(), true));
    assert_eq!(rig.done, [Word::ToggleCrop]);
    let other = rig.say(r#"{"command":"stop","id":"a"}"#).unwrap();
    assert_eq!((&other["state"], &other["error"]), (&json!("rejected"), &json!("id_reused")));
    assert_eq!(rig.status(), "running");
    rig.now_ms += 600_001;
    assert_eq!(rig.say(r#"{"command":"toggle_crop","id":"a"}"#).unwrap()["state"], "done");
    assert!(!rig.crop, "after ten minutes an id is free again");
}

#[test]
fn what_has_expired_by_the_cameras_clock_is_not_done_and_both_clocks_are_told() {
    let mut rig = Rig::usual();
    let reply = rig.say(r#"{"command":"stop","expires":"2026-11-20T20:38:02Z"}"#).unwrap();
    assert_eq!(reply["error"], "expired");
    assert_eq!(
        reply["detail"],
        "expired at 2026-11-20T20:38:02.000Z, and here it is 2026-11-20T20:38:02.000Z"
    );
    assert_eq!(rig.say(r#"{"command":"pause","expires":"2026-11-20T20:38:03"}"#).unwrap()["state"], "done");
}

#[test]
fn a_retained_command_is_not_done() {
    let mut rig = Rig::usual();
    rig.hear(&Delivery {
        topic: "inference/control/commands".to_owned(),
        payload: bytes::Bytes::from_static(br#"{"command":"stop"}"#),
        retained: true,
        ..Delivery::default()
    });
    assert_eq!(rig.replies[0]["error"], "retained");
    assert_eq!((rig.status(), rig.done.len()), ("running", 0));
}

#[test]
fn of_a_thousand_commands_in_a_second_few_are_done_and_one_answer_tells_of_the_rest() {
    let mut rig = Rig::usual();
    for i in 0..1_000 {
        rig.now_ms = i;
        rig.say(r#"{"command":"pause"}"#);
    }
    rig.now_ms = 2_000;
    let mut actions = Vec::new();
    rig.desk.tick(at(2_000), &mut actions);
    rig.act(actions);
    let limited: Vec<u64> = rig
        .replies
        .iter()
        .filter(|reply| reply["error"] == "rate_limited")
        .map(|reply| reply["result"]["count"].as_u64().unwrap())
        .collect();
    assert_eq!(limited.len(), 2);
    assert_eq!(limited.iter().sum::<u64>() + rig.done.len() as u64, 1_000);
    assert!(rig.done.len() < 100);
}

#[test]
fn a_camera_that_is_not_meant_stays_silent() {
    let mut rig = Rig::usual();
    assert_eq!(rig.say_on("inference/control/commands", r#"{"command":"stop","camera_id":"yard"}"#), None);
    assert_eq!(rig.say(&format!("{{\"command\":\"set\",\"x\":\"{}\"}}", "x".repeat(300_000))), None);
    assert_eq!((rig.desk.counters().for_another, rig.desk.counters().too_large), (1, 1));
}

#[test]
fn the_answer_also_goes_where_the_sender_wants_it_with_its_correlation_data() {
    let mut rig = Rig::usual();
    let ask = |response: &str| Delivery {
        topic: "inference/gate/control/commands".to_owned(),
        payload: bytes::Bytes::from_static(br#"{"command":"health"}"#),
        response_topic: Some(response.to_owned()),
        correlation_data: Some(bytes::Bytes::from_static(b"\x00\xff")),
        ..Delivery::default()
    };
    rig.hear(&ask("me/answers"));
    assert_eq!(rig.others[0].topic, "me/answers");
    assert_eq!(rig.others[0].correlation_data.as_deref(), Some(&b"\x00\xff"[..]));
    rig.hear(&ask("inference/control/commands"));
    assert_eq!((rig.others.len(), rig.plane.responses_refused()), (1, 1));
    assert_eq!(rig.replies.len(), 2);
}

#[test]
fn what_is_not_permitted_is_not_done_and_leaves_an_audit_line() {
    let allow = Permissions::parse(["status", "own:pause"]).unwrap();
    let desk = DeskOptions { allow, ..DeskOptions::default() };
    let mut rig = Rig::new(desk, PlaneOptions { audit: true, ..PlaneOptions::default() });
    rig.say_on("inference/control/commands", r#"{"command":"pause","id":"1"}"#);
    assert_eq!(rig.replies[0]["error"], "not_permitted");
    assert_eq!(rig.status(), "running");
    rig.say(r#"{"command":"pause"}"#);
    let lines: Vec<Value> =
        rig.others.iter().map(|line| serde_json::from_slice(&line.payload).unwrap()).collect();
    assert_eq!(rig.others[0].topic, "inference/gate/control/audit");
    assert_eq!(lines[0]["outcome"], "rejected");
    assert_eq!((&lines[0]["door"], &lines[0]["id"]), (&json!("shared"), &json!("1")));
    assert_eq!((&lines[1]["outcome"], &lines[1]["command"]), (&json!("done"), &json!("pause")));
}

#[test]
fn a_mode_is_told_on_the_own_topic_and_never_fought_out_on_the_shared_one() {
    let mut rig = Rig::usual();
    let mut out = Vec::new();
    let truth = Truth { activity: Activity::Running, modes: Mode::LinkSlow.into(), crop: false };
    rig.plane.set_truth(truth, at(0), &mut out);
    let topics: Vec<&str> = out.iter().map(|(_, envelope)| envelope.topic.as_str()).collect();
    assert_eq!(topics, ["inference/gate/control/status"]);
    let version = env!("CARGO_PKG_VERSION");
    let state = format!(r#""state":{{"version":"{version}","modes":["link_slow"],"crop":false}}}}"#);
    assert!(std::str::from_utf8(&out[0].1.payload).unwrap().ends_with(&state), "{out:?}");
}

#[test]
fn what_others_write_on_the_shared_status_is_counted_and_what_we_write_is_not() {
    let mut rig = Rig::usual();
    let mut hear = |payload: &'static str| {
        let payload = bytes::Bytes::from_static(payload.as_bytes());
        let topic = "inference/control/status".to_owned();
        rig.plane.heard_shared(&Delivery { topic, payload, ..Delivery::default() });
        rig.plane.shared_foreign()
    };
    assert_eq!(hear(r#"{"status":"running","camera_id":"yard"}"#), 1);
    assert_eq!(hear(r#"{"status":"running","camera_id":"gate"}"#), 1);
    assert_eq!(hear(r#"{"status":"running","client_id":"inference_control"}"#), 2);
    assert_eq!(hear(""), 2);
    assert_eq!(hear("{broken"), 3);
}

/// What a random sender does.
#[derive(Debug, Clone)]
enum Step {
    Say { word: &'static str, id: Option<u8>, shared: bool },
    Retained(&'static str),
    Nonsense(&'static str),
    ForAnother(&'static str),
    Wait(u64),
    Reconnect,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let word =
        prop::sample::select(vec!["pause", "resume", "stop", "restart", "status", "toggle_crop", "health"]);
    let nonsense =
        prop::sample::select(vec!["", "{}", "[1]", r#"{"command":1}"#, r#"{"command":"fly"}"#, "\u{0}"]);
    let step = prop_oneof![
        8 => (word.clone(), prop::option::of(0_u8..4), any::<bool>())
            .prop_map(|(word, id, shared)| Step::Say { word, id, shared }),
        1 => word.clone().prop_map(Step::Retained),
        2 => nonsense.prop_map(Step::Nonsense),
        1 => word.prop_map(Step::ForAnother),
        2 => (0_u64..700_000).prop_map(Step::Wait),
        1 => Just(Step::Reconnect),
    ];
    prop::collection::vec(step, 1..25)
}

/// The same in words of its own: a map of ids, a word, and nothing else.
#[derive(Default)]
struct Model {
    paused: bool,
    stopping: bool,
    crop: bool,
    ids: BTreeMap<u8, (&'static str, u64, &'static str)>,
    done: usize,
}

impl Model {
    fn word(&self) -> &'static str {
        match (self.stopping, self.paused) {
            (true, _) => "stopped",
            (false, true) => "paused",
            (false, false) => "running",
        }
    }

    /// State and error of the last reply.
    fn say(
        &mut self,
        word: &'static str,
        id: Option<u8>,
        now_ms: u64,
    ) -> (&'static str, Option<&'static str>) {
        self.ids.retain(|_, (_, at, _)| now_ms - *at < 600_000);
        match id.and_then(|id| self.ids.get(&id)) {
            Some((known, _, state)) if *known == word => return (state, None),
            Some(_) => return ("rejected", Some("id_reused")),
            None => {}
        }
        let asks = matches!(word, "status" | "health");
        if self.stopping && !asks {
            return ("rejected", Some("stopping"));
        }
        self.done += 1;
        match word {
            "pause" => self.paused = true,
            "resume" => self.paused = false,
            "toggle_crop" => self.crop = !self.crop,
            "stop" | "restart" => self.stopping = true,
            _ => {}
        }
        let state = if matches!(word, "stop" | "restart") { "accepted" } else { "done" };
        if let Some(id) = id {
            self.ids.insert(id, (word, now_ms, state));
        }
        (state, None)
    }
}

fn follow(steps: &[Step]) -> Result<(), TestCaseError> {
    // The limit has tests of its own.
    let mut rig =
        Rig::new(DeskOptions { rate_per_s: 1_000, ..DeskOptions::default() }, PlaneOptions::default());
    let mut model = Model::default();
    for step in steps {
        let own = "inference/gate/control/commands";
        match step {
            Step::Say { word, id, shared } => {
                let topic = if *shared { "inference/control/commands" } else { own };
                let id_key = id.map(|id| format!(",\"id\":\"{id}\"")).unwrap_or_default();
                let reply = rig.say_on(topic, &format!("{{\"command\":\"{word}\"{id_key}}}")).unwrap();
                let (state, error) = model.say(word, *id, rig.now_ms);
                prop_assert_eq!(reply["state"].as_str(), Some(state));
                prop_assert_eq!(reply["error"].as_str(), error);
                prop_assert_eq!(reply["id"].as_str().map(str::to_owned), id.map(|id| id.to_string()));
            }
            Step::Retained(word) => {
                let payload = bytes::Bytes::from(format!("{{\"command\":\"{word}\"}}"));
                rig.hear(&Delivery { topic: own.into(), payload, retained: true, ..Delivery::default() });
                prop_assert_eq!(&rig.replies.last().unwrap()["error"], "retained");
            }
            Step::Nonsense(text) => {
                prop_assert_eq!(&rig.say(text).unwrap()["state"], "rejected");
            }
            Step::ForAnother(word) => {
                let text = format!("{{\"command\":\"{word}\",\"camera_id\":\"yard\"}}");
                prop_assert_eq!(rig.say(&text), None);
            }
            Step::Wait(ms) => rig.now_ms += ms,
            Step::Reconnect => {
                rig.retained.clear();
                let mut out = Vec::new();
                rig.plane.tell(rig.now(), &mut out);
                rig.publish(out);
            }
        }
        prop_assert_eq!(rig.status(), model.word());
        prop_assert_eq!(rig.retained["inference/control/status"]["status"].as_str(), Some(model.word()));
        prop_assert_eq!((rig.crop, rig.done.len()), (model.crop, model.done));
    }
    Ok(())
}

#[test]
fn ten_thousand_random_senders_never_make_the_status_untrue_nor_a_command_run_twice() {
    let mut runner = TestRunner::new(ProptestConfig::with_cases(10_000));
    runner.run(&steps(), |steps| follow(&steps)).unwrap();
}
