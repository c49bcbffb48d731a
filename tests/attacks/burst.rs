//! A burst is not a lie: the messages of an honest camera wait for the network and then arrive at once.

use std::time::Duration;

use tokio::time::interval;

use crate::run;
use crate::site::Site;
use crate::table::Row;
use crate::wire::{Client, Message, now_ms, presence, sleep_s, track};

const CAMERA: &str = "busy";
/// People that the reporter follows, each reported ten times a second: 500 messages/s.
const PEOPLE: u32 = 50;
const TICK_MS: u64 = 100;
/// It reports, is cut off, and reports again, in ticks.
const BEFORE: u64 = 80;
const CUT_OFF: u64 = 15;
const AFTER: u64 = 60;
/// The honest cameras repeat their status, and with it what they mute, within this time.
const STATUS_WITHIN_S: f64 = 12.0;
/// Its ground lies beside that of the others: none of them can contradict it.
const GROUND_M: [[f64; 2]; 4] = [[50.0, -20.0], [90.0, -20.0], [90.0, 20.0], [50.0, 20.0]];
const WALKS_MPS: f64 = 1.2;

#[test]
#[ignore = "minutes of real cameras, see main.rs"]
fn a_camera_whose_backlog_arrives_at_once_is_not_muted() {
    run(async {
        let site = Site::start("burst", "").await;
        let (boot_ms, client) = (now_ms(), Client::publisher(site.port, CAMERA).await);
        let mut backlog = Vec::new();
        let (mut seq, mut messages) = (0, 0);
        let mut every = interval(Duration::from_millis(TICK_MS));
        for tick in 0..BEFORE + CUT_OFF + AFTER {
            every.tick().await;
            if tick % 100 == 0 {
                let status = presence(CAMERA, boot_ms, &GROUND_M);
                client.publish(Message::new(&format!("status/{CAMERA}"), &status)).await;
            }
            let at_ms = now_ms();
            for person in 1..=PEOPLE {
                seq += 1;
                let x = 52.0 + WALKS_MPS * (tick * TICK_MS) as f64 / 1_000.0;
                let y = f64::from(person) * 0.7 - 18.0;
                let report = track(CAMERA, person, seq, [x, y], [WALKS_MPS, 0.0], at_ms);
                backlog.push(Message::new(&format!("tracks/{CAMERA}/{person}"), &report));
            }
            if (BEFORE..BEFORE + CUT_OFF).contains(&tick) {
                continue;
            }
            for message in backlog.drain(..) {
                messages += 1;
                client.publish(message).await;
            }
        }
        sleep_s(STATUS_WITHIN_S).await;
        let muted: Vec<String> =
            site.wire.record().muted.iter().filter(|name| name.ends_with(CAMERA)).cloned().collect();
        let logged = site.log_lines(&[" trust ", CAMERA, "Muted"]).len();
        Row::new("burst")
            .with("messages", messages)
            .with("backlog", CUT_OFF * u64::from(PEOPLE))
            .with("cameras that mute the sender", muted.len().max(logged))
            .print();
        site.stop().await;
        assert_eq!((muted, logged), (vec![], 0), "an honest camera was muted");
    });
}
