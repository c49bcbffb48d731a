//! A camera among messages that mean harm.

use bytes::Bytes;
use omnisight::link::{self, QueueLimits, WaitingLimits};
use omnisight::model::{Envelope, Qos};
use omnisight::swarm::message::StatusMessage;

use crate::support::program::{Camera, Program, SMALL_PLAZA};
use crate::support::watch::counter;
use crate::support::{DEADLINE, Peer, Setup, TestBroker, against_each_broker, event, link_options};

/// What a peer that means harm publishes: topic behind the prefix, payload, and the counter that rises.
fn hostile() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let track = |text: &str| text.replace('\'', "\"").into_bytes();
    let good = "{'camera_id':'evil','track_id':1,'global_position':{'x':1.0,'y':1.0,'z':0.0},\
                'velocity':{'x':0.0,'y':0.0},'class':'person','confidence':0.5,'timestamp':1,\
                'behaviors':0,'threat_score':0.0}";
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    let vote = "{'event_id':1,'initiating_camera':'evil','num_confirming':9,'confirming_cameras':['evil'],\
                'aggregated_confidence':0.5,'timestamp':1}";
    let weights = "{'camera_id':'evil','version':1,'num_weights':1000000,'timestamp':1,'weights':[1.0]}";
    vec![
        ("tracks/evil/1", track(&good.replace("{'x':1.0,", "{'x':null,")), "wrong_type"),
        ("tracks/evil/1", track(&good.replace("'person'", "{'a':[1]}")), "wrong_type"),
        ("tracks/evil/1", b"null".to_vec(), "wrong_type"),
        ("tracks/evil/1", track(&good.replace("'threat_score'", "'threat'")), "missing_key"),
        ("tracks/evil/1", track(&good.replace("'z':0.0", "'z':0.0,'z':0.0")), "duplicate_key"),
        ("tracks/evil/1", track(&good.replace("1.0", "1e300")), "out_of_range"),
        ("tracks/evil/1", track(&good.replace("'evil'", "'gate'")), "identity_mismatch"),
        ("tracks/evil/2", track(good), "identity_mismatch"),
        ("tracks/evil/0", track(good), "bad_topic"),
        ("tracks/evil/one", track(good), "bad_topic"),
        ("tracks/evil/1", vec![0xff, 0xfe, 0x00, 0x80], "not_utf8"),
        ("tracks/evil/1", b"{\"camera_id\":".to_vec(), "not_json"),
        ("tracks/evil/1", Vec::new(), "not_json"),
        ("tracks/evil/1", vec![b' '; 200_000], "too_large"),
        ("status/evil", vec![b'['; 10_000], "wrong_type"),
        ("status/evil", [vec![b'['; 10_000], vec![b']'; 10_000]].concat(), "wrong_type"),
        (
            "tracks/evil/1",
            track(&good.replace("'behaviors':0", &format!("'behaviors':{deep}"))),
            "wrong_type",
        ),
        ("tracks/evil/1", track(&good.replace("{'camera_id'", &"{'a':".repeat(10_000))), "not_json"),
        ("consensus/1", track(vote), "count_mismatch"),
        ("models/evil/weights", track(weights), "count_mismatch"),
    ]
}

/// The counters of refusals in a status, added up.
fn refused(status: &StatusMessage, reasons: &[(&'static str, Vec<u8>, &'static str)]) -> bool {
    let counted = |reason: &str| counter(status, &format!("swarm_refused_{reason}"));
    let sent = |reason: &str| reasons.iter().filter(|(.., r)| *r == reason).count() as u64;
    reasons.iter().all(|(.., reason)| counted(reason) == sent(reason))
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_messages_are_counted_by_reason_and_the_camera_goes_on() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let camera = Camera::new("gate", SMALL_PLAZA, broker.port());
        let mut program = Program::start(camera.command().args(["--log", "debug"]));
        // Not what the others claim to be.
        let own = ["omnisight/swarm/status/gate"];
        let mut watch = Peer::spawn(&link_options(broker.port()), "watch", None, &own);
        watch.online().await;
        let all = QueueLimits { messages: 100, bytes: 32 << 20 };
        let options = link::Options {
            max_packet_bytes: 32 << 20,
            waiting: WaitingLimits { all, ..WaitingLimits::default() },
            ..link_options(broker.port())
        };
        let evil = Peer::spawn(&options, "evil", None, &[]);
        evil.status(|status| status.state == link::State::Connected).await;
        let messages = hostile();
        for (topic, payload, _) in &messages {
            evil.send(Envelope {
                payload: Bytes::from(payload.clone()),
                qos: Qos::ExactlyOnce,
                ..event(&format!("omnisight/swarm/{topic}"), "")
            });
        }
        // Larger than the camera takes: the broker keeps it to itself.
        let large = Bytes::from(vec![b'9'; 10 << 20]);
        evil.send(Envelope { payload: large, ..event("omnisight/swarm/tracks/evil/1", "") });
        let acknowledged = messages.len() as u64 + 1;
        evil.status(|status| status.counters.acknowledged == acknowledged).await;
        let counted = watch.presence(|status| refused(status, &messages));
        let counted = tokio::time::timeout(DEADLINE, counted).await;
        assert!(counted.is_ok(), "{:?}: {}", broker.kind(), program.log());
        Peer::watch_tracks(broker.port(), "gate").track().await;
        assert_eq!(program.stop().await, Some(0), "{}", program.log());
    })
    .await;
}
