//! One message of each family, and how the tests read and write them.

use omnisight::swarm::codec::{self, DecodeError, Encode, Reason};
use omnisight::swarm::message::Message;
use omnisight::swarm::topic::Prefix;

pub(crate) const TRACK: &str = "omnisight/swarm/tracks/gate-2/41";
pub(crate) const EVENT: &str = "omnisight/swarm/events/gate-2/9";
pub(crate) const WEIGHTS: &str = "omnisight/swarm/models/gate-2/weights";
pub(crate) const CONSENSUS: &str = "omnisight/swarm/consensus/9";
pub(crate) const STATUS: &str = "omnisight/swarm/status/gate-2";
pub(crate) const ALERT: &str = "omnisight/swarm/alerts/gate-2/9";

/// One message of each family with every key of the contract.
pub(crate) const FULL: [(&str, &str); 6] = [
    (
        TRACK,
        r#"{"camera_id":"gate-2","track_id":41,"global_position":{"x":-3.25,"y":12.5,"z":0.0},"velocity":{"x":1.0,"y":-0.5},"class":"person","confidence":0.875,"timestamp":1700000000123,"behaviors":9,"threat_score":0.25,"seq":7,"cov":[0.04,0.001,0.09],"global_id":4294967300,"ended":true}"#,
    ),
    (
        EVENT,
        r#"{"camera_id":"gate-2","event_id":9,"event_type":5,"position":{"x":1.5,"y":2.0,"z":0.0},"track_id":41,"probability":0.75,"severity":3,"predicted_time":1700000004000,"timestamp":1700000000123,"key":"gate-2/1699999990000/9","state":"predicted","zone":"yard","tracks":[41,42],"rule":{"name":"trespassing","thresholds":{"probability":0.5},"measured":{"entry_s":4.0}},"interventions":[{"type":2,"at":1700000001000,"effectiveness":0.5}],"claims":["gate-2/1699999990000/9","a/1699999980000/4"]}"#,
    ),
    (
        WEIGHTS,
        r#"{"camera_id":"gate-2","version":3,"num_weights":3,"timestamp":1700000000123,"weights":[0.1,-1.0,3e-10],"num_samples":120,"model":{"name":"gait","shape":[1,3]},"base_version":2}"#,
    ),
    (
        CONSENSUS,
        r#"{"event_id":9,"initiating_camera":"gate-2","num_confirming":2,"confirming_cameras":["a","b"],"aggregated_confidence":0.9,"timestamp":1700000000123,"camera_id":"a","key":"gate-2/1699999990000/9","verdict":"confirm","votes":{"a":0.9,"c":0.0},"reason":"no_such_rule","outcome":"confirmed","occurred":true}"#,
    ),
    (
        STATUS,
        r#"{"camera_id":"gate-2","state":"online","version":"0.1.0","boot":1699999990000,"timestamp":1700000000123,"encodings":["json"],"ground":"calibrated","footprint":[[0.0,0.0],[8.0,0.0],[8.0,6.5]],"clock":{"offset_ms":0.0,"error_ms":12.5,"source":"ntp"},"modes":["no_frames"],"counters":{"frames":120},"public_key":"c2lnbmVk"}"#,
    ),
    (
        ALERT,
        r#"{"key":"gate-2/1699999990000/9","site":"plaza","type":"trespassing","event_type":5,"severity":3,"severity_word":"high","state":"forecast","probability":0.75,"expected":"2023-11-14T22:13:24.000Z","first":"2023-11-14T22:13:20.123Z","updated":"2023-11-14T22:13:21.500Z","position":{"x":1.5,"y":2.0,"z":0.0},"zone":"yard","class":"person","global_id":4294967300,"cameras_asked":3,"cameras_confirming":2,"rule":{"name":"trespassing","thresholds":{"probability":0.5},"measured":{"entry_s":4.0}},"text":"Trespassing expected.","published_by":"a"}"#,
    ),
];

/// The same families as the reference system writes them: single precision, its own keys alone.
pub(crate) const REFERENCE: [(&str, &str); 4] = [
    (
        "omnisight/swarm/tracks/CAM-B/5",
        r#"{"camera_id":"CAM-B","track_id":5,"global_position":{"x":-7.4000000953674316,"y":1.2999999523162842,"z":0.0},"velocity":{"x":0.30000001192092896,"y":0.0},"class":"vehicle","confidence":0.6000000238418579,"timestamp":1736204567890,"behaviors":3,"threat_score":1.0}"#,
    ),
    (
        "omnisight/swarm/events/CAM-B/12",
        r#"{"camera_id":"CAM-B","event_id":12,"event_type":7,"position":{"x":4.0999999046325684,"y":0.5,"z":0.0},"track_id":5,"probability":0.69999998807907104,"severity":2,"predicted_time":1736204569890,"timestamp":1736204567890}"#,
    ),
    (
        "omnisight/swarm/models/CAM-B/weights",
        r#"{"camera_id":"CAM-B","version":1,"num_weights":4,"timestamp":1736204567890,"weights":[0.0,-0.25,0.10000000149011612,2.0]}"#,
    ),
    (
        "omnisight/swarm/consensus/12",
        r#"{"event_id":12,"initiating_camera":"CAM-B","num_confirming":1,"confirming_cameras":["CAM-C"],"aggregated_confidence":0.69999998807907104,"timestamp":1736204567890}"#,
    ),
];

pub(crate) fn decode(topic: &str, payload: &[u8]) -> Result<Message, DecodeError> {
    let at = Prefix::default().parse_topic(topic).expect("a topic of the swarm");
    codec::decode(topic, at, payload)
}

pub(crate) fn refused(topic: &str, payload: &str) -> Reason {
    decode(topic, payload.as_bytes()).expect_err(payload).reason()
}

pub(crate) fn encoded<M: Encode>(message: &M) -> String {
    let mut buffer = Vec::new();
    codec::encode(message, &mut buffer).expect("holds the contract");
    String::from_utf8(buffer).unwrap()
}

pub(crate) fn encoded_again(message: &Message) -> String {
    match message {
        Message::Track(m) => encoded(m),
        Message::Event(m) => encoded(&**m),
        Message::Weights(m) => encoded(&**m),
        Message::Consensus(m) => encoded(&**m),
        Message::Status(m) => encoded(&**m),
        Message::Alert(m) => encoded(&**m),
    }
}
