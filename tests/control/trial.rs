//! A configuration that cuts a camera off from its broker is taken back.

use crate::ear::{Ear, gate};
use crate::support::{Setup, TestBroker, against_each_broker, free_port};

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_whose_link_does_not_come_up_is_taken_back_and_the_camera_is_there_again() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let mut ear = Ear::at(broker.port()).await;
        let camera = gate(broker.port(), "trial_s = 5");
        let program = camera.run();
        ear.status("running").await;
        let good = std::fs::read_to_string(camera.file()).unwrap();
        let nowhere = format!("mqtt://127.0.0.1:{}", free_port());
        let bad = good.replace(&format!("mqtt://127.0.0.1:{}", broker.port()), &nowhere);
        assert_ne!(good, bad);
        std::fs::write(camera.file(), bad).unwrap();
        let reply = ear.ask("{\"command\":\"reload\"}").await;
        assert_eq!((&reply["state"], &reply["result"]["trial_s"]), (&"done".into(), &5.into()), "{reply}");
        ear.status("disconnected").await;
        program.says("did not come up").await;
        // The mode stays until there is another configuration.
        let is_back = |value: &serde_json::Value| {
            value["status"] == "running" && value["state"]["modes"][0] == "config_rolled_back"
        };
        ear.hears(crate::ear::STATUS, is_back).await;
        std::fs::write(camera.file(), good).unwrap();
        // The status may come before the reply.
        ear.say(crate::ear::OWN, "{\"command\":\"reload\"}");
        ear.hears(crate::ear::STATUS, |value| value["state"]["modes"].is_null()).await;
    })
    .await;
}
