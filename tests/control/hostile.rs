//! Bad commands, and those who may not give them.

use crate::ear::{Ear, OWN, SHARED, gate};
use crate::support::{Setup, TestBroker, against_each_broker};

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_command_is_answered_by_name_and_none_is_done() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let mut ear = Ear::at(broker.port()).await;
        let camera = gate(broker.port(), "");
        let mut program = camera.run();
        ear.status("running").await;
        for (payload, error) in [
            ("pause", "malformed"),
            ("{\"command\":", "malformed"),
            ("\u{0}\u{1}", "malformed"),
            ("{}", "missing_command"),
            ("{\"command\":5,\"id\":\"n\"}", "wrong_type"),
            ("{\"command\":null}", "wrong_type"),
            ("{\"command\":\"self_destruct\"}", "unknown_command"),
            ("{\"command\":\"stop\",\"expires\":\"2001-01-01T00:00:00Z\"}", "expired"),
            ("{\"command\":\"stop\",\"expires\":\"soon\"}", "bad_parameters"),
            ("{\"command\":\"set\",\"parameters\":\"all\"}", "wrong_type"),
        ] {
            let reply = ear.ask(payload).await;
            assert_eq!((&reply["state"], &reply["error"]), (&"rejected".into(), &error.into()), "{payload}");
        }
        // Too large, and for somebody else: no answer, and the next one is for what follows.
        let megabyte = "x".repeat(1 << 19);
        ear.say(OWN, format!("{{\"command\":\"stop\",\"parameters\":{{\"a\":\"{megabyte}\"}}}}"));
        ear.say(SHARED, "{\"command\":\"stop\",\"camera_id\":\"yard\"}");
        let status = ear.ask("{\"command\":\"status\",\"id\":\"after\"}").await;
        assert_eq!(status["id"], "after");
        assert_eq!(status["result"]["status"], "running");
        assert_eq!(status["result"]["commands"]["too_large"], 1);
        assert_eq!(status["result"]["commands"]["for_another"], 1);
        assert!(program.is_running());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_commands_at_once_are_counted_and_the_own_topic_still_works() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let mut ear = Ear::at(broker.port()).await;
        let camera = gate(broker.port(), "");
        let _program = camera.run();
        ear.status("running").await;
        for _ in 0..1_000 {
            ear.say(SHARED, "{\"command\":\"toggle_nothing\"}");
        }
        let (mut answered, mut limited) = (0, 0);
        while answered + limited < 1_000 {
            let reply = ear.reply().await;
            match reply["error"].as_str() {
                Some("rate_limited") => limited += reply["result"]["count"].as_u64().unwrap(),
                Some("unknown_command") => answered += 1,
                other => panic!("{other:?}"),
            }
        }
        assert!(answered < 500, "{answered}");
        assert_eq!(ear.ask("{\"command\":\"status\"}").await["state"], "done");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_allowed_from_a_topic_is_not_done_and_audited() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let audit = "inference/gate/control/audit";
        let mut ear = Ear::to(broker.port(), &[audit]).await;
        let camera = gate(broker.port(), "audit = true\nallow = ['status', 'own:pause']");
        let _program = camera.run();
        ear.status("running").await;
        ear.say(SHARED, "{\"command\":\"pause\",\"id\":\"p\"}");
        let line = ear.hears(audit, |_| true).await;
        assert_eq!((&line["door"], &line["outcome"]), (&"shared".into(), &"rejected".into()));
        assert_eq!((&line["id"], &line["error"]), (&"p".into(), &"not_permitted".into()));
        ear.say(OWN, "{\"command\":\"pause\"}");
        ear.status("paused").await;
    })
    .await;
}
