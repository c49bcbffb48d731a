//! MessagePack: what it holds, how long it is, who gets it, and what is refused.

use omnisight::model::ContentType;
use omnisight::swarm::codec::{self, Encode, Reason};
use omnisight::swarm::message::Message;
use omnisight::swarm::topic::Prefix;
use omnisight::swarm::{Encoding, Engine, Input, Options};

use crate::fixtures::{ALERT, FULL, REFERENCE, STATUS, TRACK, decode, encoded_again};
use crate::scenes::{
    START_MS, changes, delivered, engine_with, give, handle, raw, scene, seen, sent, track_json,
};

fn packed_of<M: Encode>(message: &M) -> Option<Vec<u8>> {
    let mut buffer = Vec::new();
    codec::encode_msgpack(message, &mut buffer).unwrap().then_some(buffer)
}

pub(crate) fn packed(message: &Message) -> Option<Vec<u8>> {
    match message {
        Message::Track(m) => packed_of(m),
        Message::Event(m) => packed_of(&**m),
        Message::Weights(m) => packed_of(&**m),
        Message::Consensus(m) => packed_of(&**m),
        Message::Status(m) => packed_of(&**m),
        Message::Alert(m) => packed_of(&**m),
    }
}

pub(crate) fn unpacked(topic: &str, payload: &[u8]) -> Result<Message, codec::DecodeError> {
    let at = Prefix::default().parse_topic(topic).expect("a topic of the swarm");
    codec::decode_msgpack(topic, at, payload)
}

fn refused(payload: &[u8]) -> Reason {
    unpacked(TRACK, payload).expect_err("a bad message").reason()
}

#[test]
fn both_encodings_of_a_message_are_read_as_the_same_message() {
    for (topic, json) in FULL.into_iter().chain(REFERENCE) {
        // As it stands after it was rounded for the wire.
        let message = decode(topic, json.as_bytes()).unwrap();
        let message = decode(topic, encoded_again(&message).as_bytes()).unwrap();
        match packed(&message) {
            Some(bytes) => assert_eq!(unpacked(topic, &bytes).unwrap(), message, "{topic}"),
            None => assert!([STATUS, ALERT].contains(&topic), "{topic} has no MessagePack"),
        }
    }
}

#[test]
fn a_track_takes_at_most_45_percent_of_its_json() {
    let json = r#"{"camera_id":"AXIS_M4228_E82725203C16","track_id":1234,"global_position":{"x":-13.257,"y":112.504,"z":0.0},"velocity":{"x":1.013,"y":-0.512},"class":"person","confidence":0.875,"timestamp":1750000000123,"behaviors":9,"threat_score":0.254,"seq":72345,"cov":[0.042,0.001,0.093],"global_id":481640327134267}"#;
    let topic = "omnisight/swarm/tracks/AXIS_M4228_E82725203C16/1234";
    let message = decode(topic, json.as_bytes()).unwrap();
    let (packed, json) = (packed(&message).unwrap().len(), encoded_again(&message).len());
    assert!(packed * 100 <= json * 45, "{packed} of {json} bytes");
}

#[test]
fn a_longer_array_is_read_and_a_shorter_one_lacks_its_last_keys() {
    let message = decode(TRACK, FULL[0].1.as_bytes()).unwrap();
    let bytes = packed(&message).unwrap();
    let elements = bytes[0] & 0xf;
    let mut longer = bytes.clone();
    longer[0] = 0x90 | (elements + 1);
    longer.extend([0x92, 0xc0, 0xa1, b'x']);
    assert_eq!(unpacked(TRACK, &longer).unwrap(), message);
    // Without `ended`, a byte at the end.
    let mut shorter = bytes;
    shorter[0] = 0x90 | (elements - 1);
    shorter.pop();
    let Message::Track(track) = unpacked(TRACK, &shorter).unwrap() else { panic!("a track") };
    assert!(!track.ended && track.global_id.is_some());
}

#[test]
fn what_is_no_message_is_refused_by_name() {
    let message = decode(TRACK, FULL[0].1.as_bytes()).unwrap();
    let bytes = packed(&message).unwrap();
    assert_eq!(refused(b"{}"), Reason::NotMsgPack);
    assert_eq!(refused(&[]), Reason::NotMsgPack);
    assert_eq!(refused(&bytes[..bytes.len() - 1]), Reason::NotMsgPack, "cut short");
    assert_eq!(refused(&[&bytes[..], &[0xc0]].concat()), Reason::NotMsgPack, "something behind it");
    let mut other_format = bytes.clone();
    other_format[1] = 99;
    assert_eq!(refused(&other_format), Reason::OutOfRange);
    let mut other_type = bytes.clone();
    other_type[2] = 0xc0;
    assert_eq!(refused(&other_type), Reason::WrongType);
    assert_eq!(refused(&[0x9e, 1, 0xdb, 0xff, 0xff, 0xff, 0xff]), Reason::NotMsgPack, "a text of 4 GB");
    assert_eq!(refused(&[0xdc, 0xff, 0xff]), Reason::NotMsgPack, "65,535 values");
    let other_camera = decode("omnisight/swarm/tracks/CAM-B/5", REFERENCE[0].1.as_bytes()).unwrap();
    assert_eq!(refused(&packed(&other_camera).unwrap()), Reason::IdentityMismatch);
    let status = unpacked("omnisight/swarm/status/gate-2", &[0x90]).expect_err("always JSON");
    assert_eq!(status.reason(), Reason::UnsupportedEncoding);
}

fn with(encoding: Encoding) -> Engine {
    engine_with("a", START_MS, Options { encoding, ..Options::default() })
}

/// In which encoding the engine's next track leaves.
fn leaves(engine: &mut Engine, ms: u64) -> ContentType {
    let actions = handle(engine, Input::Scene(&scene("a", ms, vec![seen(1, 0.0, true)])), ms);
    sent(&actions)[0].content_type
}

fn introduce(engine: &mut Engine, name: &str, encodings: &str, ms: u64) {
    let payload = format!(
        r#"{{"camera_id":"{name}","state":"online","version":"1","boot":1,"timestamp":{},"encodings":[{encodings}]}}"#,
        START_MS + ms
    );
    let delivery = raw(&format!("status/{name}"), &payload);
    assert!(!changes(&handle(engine, Input::Delivery(&delivery), ms)).is_empty());
}

#[test]
fn it_leaves_only_while_all_that_are_heard_read_it() {
    let mut engine = with(Encoding::MsgPack);
    assert_eq!(leaves(&mut engine, 0), ContentType::Json, "nobody is there");
    introduce(&mut engine, "b", r#""json","msgpack""#, 100);
    assert_eq!(leaves(&mut engine, 1_000), ContentType::MsgPack);
    introduce(&mut engine, "c", r#""json""#, 1_500);
    assert_eq!(leaves(&mut engine, 2_000), ContentType::Json);
    // Half a minute later `c` is gone, and `b` is there.
    let again = r#"{"camera_id":"b","state":"online","version":"1","boot":1,"timestamp":1700000031000,"encodings":["msgpack"]}"#;
    handle(&mut engine, Input::Delivery(&raw("status/b", again)), 31_000);
    assert_eq!(leaves(&mut engine, 32_000), ContentType::MsgPack);
}

#[test]
fn a_camera_of_the_reference_system_keeps_the_site_with_json() {
    let mut engine = with(Encoding::MsgPack);
    introduce(&mut engine, "b", r#""msgpack""#, 0);
    handle(&mut engine, Input::Delivery(&track_json("old", 1, None, 500)), 500);
    assert_eq!(leaves(&mut engine, 1_000), ContentType::Json);
    assert_eq!(leaves(&mut with(Encoding::MsgPackAlways), 0), ContentType::MsgPack);
}

#[test]
fn by_default_and_for_presence_it_is_json() {
    let mut engine = with(Encoding::Json);
    introduce(&mut engine, "b", r#""msgpack""#, 0);
    assert_eq!(leaves(&mut engine, 1_000), ContentType::Json);
    let actions = handle(&mut with(Encoding::MsgPackAlways), Input::Connected, 0);
    assert_eq!(sent(&actions)[0].content_type, ContentType::Json);
}

#[test]
fn an_engine_reads_what_another_packs_with_and_without_a_content_type() {
    let mut a = with(Encoding::MsgPackAlways);
    let mut b = engine_with("b", START_MS, Options::default());
    let actions = handle(&mut a, Input::Scene(&scene("a", 0, vec![seen(1, 0.5, true)])), 0);
    let envelopes = sent(&actions);
    give(&mut b, &envelopes, 10);
    let mut bare = delivered(envelopes[0]);
    bare.content_type = None;
    handle(&mut b, Input::Delivery(&bare), 20);
    assert_eq!((b.counters().received[0], b.counters().duplicates), (2, 1));
    assert_eq!(b.peers().tracks().count(), 1);
}

#[test]
fn an_event_and_a_vote_of_before_their_last_keys_are_read_and_those_keys_are_absent() {
    for n in [1, 3] {
        let (topic, json) = FULL[n];
        let json = json.replace(r#","claims":["gate-2/1699999990000/9","a/1699999980000/4"]"#, "");
        let json = json.replace(r#","reason":"no_such_rule","outcome":"confirmed","occurred":true"#, "");
        let message = decode(topic, json.as_bytes()).unwrap();
        let mut bytes = packed(&message).unwrap();
        // The array's head says how many elements follow; the last ones are an empty list, or three nils.
        let gone = if n == 1 { 1 } else { 3 };
        let last = bytes.split_off(bytes.len() - gone);
        assert_eq!(last, if n == 1 { vec![0x90] } else { vec![0xc0; 3] });
        match bytes[0] {
            0xdc => bytes[2] -= gone as u8,
            _ => bytes[0] -= gone as u8,
        }
        assert_eq!(unpacked(topic, &bytes).unwrap(), message, "{topic}");
    }
}

#[test]
fn an_alert_is_json_alone() {
    let topic = ALERT;
    assert_eq!(unpacked(topic, &[0x91, 1]).unwrap_err().reason(), Reason::UnsupportedEncoding);
}
