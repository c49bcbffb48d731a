//! Wanted plates, from the server's list to a notification that says why.

use std::fmt::Write;

use serde_json::json;

use crate::rig::{Ear, street};
use crate::support::{Setup, TestBroker, against_each_broker, presence};

#[tokio::test(flavor = "multi_thread")]
async fn a_wanted_plate_among_twenty_thousand_is_told_with_its_reason() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let mut told = Ear::on(broker.port(), "lprserver/blacklist/notifications").await;
        let mut entries = String::new();
        for i in 0..20_000 {
            write!(entries, r#"{{"plate_number":"ZZ{i}"}},"#).unwrap();
        }
        let list = format!(
            r#"{{"message_id":"w","version":1,"mode":"replace","entries":[{entries}{{"plate_number":"A80007","reason":"stolen","alert_level":"critical"}}]}}"#
        );
        told.0.send(presence("lprserver/blacklist/updates", &list));
        // At the pace of time: the list is long, and must be there before the last vehicle has gone.
        let camera = street(broker.port(), "realtime", 20);
        let mut program = camera.run();
        let (said, _) = told.hears("a notification", |said| said["type"] == "blacklist_match").await;
        // Read as AB0007: an 8 and a B are taken for one another.
        assert_eq!((&said["plate_number"], &said["match"]), (&json!("AB0007"), &json!("near")));
        assert_eq!((&said["blacklist_reason"], &said["alert_level"]), (&json!("stolen"), &json!("critical")));
        assert_eq!(said["edge_device_id"], "gate");
        program.exit().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wanted_plate_is_known_after_a_restart_when_the_broker_has_forgotten_the_list() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let mut told = Ear::on(broker.port(), "lprserver/blacklist/notifications").await;
        let list =
            r#"{"version":1,"mode":"replace","entries":[{"plate_number":"A80007","reason":"stolen"}]}"#;
        told.0.send(presence("lprserver/blacklist/updates", list));
        let camera = street(broker.port(), "realtime", 20);
        for run in ["the first run", "the run after it"] {
            let mut program = camera.run();
            let (said, _) = told.hears(run, |said| said["type"] == "blacklist_match").await;
            assert_eq!(
                (&said["blacklist_reason"], &said["watchlist_version"]),
                (&json!("stolen"), &json!(1))
            );
            program.exit().await;
            told.0.send(presence("lprserver/blacklist/updates", ""));
        }
    })
    .await;
}
