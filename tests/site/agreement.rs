//! One incident is one event, also when a camera is killed or cut off.

use crate::stage::{Observer, camera, confirms, measured};
use crate::support::mosquitto::Mosquitto;
use crate::support::program::Camera;
use crate::support::proxy::{Arrivals, Conditions, Proxy};
use crate::support::{Kind, Setup, TestBroker};

#[tokio::test(flavor = "multi_thread")]
async fn one_incident_that_three_cameras_see_is_one_confirmed_event_with_one_key_on_all() {
    if !Mosquitto::installed() {
        return;
    }
    let broker = TestBroker::start(Kind::Mosquitto, Setup::default()).await;
    let mut observer = Observer::new(broker.port());
    let cameras =
        [("gate", 0.0), ("hall", 4.0), ("yard", -4.0)].map(|(id, px)| camera(id, px, broker.port(), ""));
    let programs = cameras.each_ref().map(Camera::run);
    let alarm = observer.alarm().await;
    let key = alarm.key.clone().unwrap().to_string();
    for program in &programs {
        assert_eq!(confirms(program).await, key, "{}", program.log());
    }
    assert_eq!(measured(&alarm, "cameras_asked"), Some(3.0), "{alarm:?}");
    assert!(measured(&alarm, "cameras_confirming") >= Some(2.0), "{alarm:?}");
    assert_eq!(observer.alarms_until_now().await.len(), 0, "the alarm is said once");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_camera_is_killed_the_other_two_confirm_what_they_see() {
    if !Mosquitto::installed() {
        return;
    }
    let broker = TestBroker::start(Kind::Mosquitto, Setup::default()).await;
    let mut observer = Observer::new(broker.port());
    let cameras =
        [("gate", 0.0), ("hall", 4.0), ("yard", -4.0)].map(|(id, px)| camera(id, px, broker.port(), ""));
    let [gate, mut hall, yard] = cameras.each_ref().map(Camera::run);
    observer.meets(&["gate", "hall", "yard"]).await;
    hall.signal("KILL");
    hall.exit().await;
    let alarm = observer.alarm().await;
    let key = alarm.key.clone().unwrap().to_string();
    assert_eq!((confirms(&gate).await, confirms(&yard).await), (key.clone(), key));
    assert_eq!(measured(&alarm, "cameras_confirming"), Some(2.0), "{alarm:?}");
    assert_eq!(observer.alarms_until_now().await.len(), 0, "the alarm is said once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_was_cut_off_comes_to_the_same_event_when_it_is_back() {
    if !Mosquitto::installed() {
        return;
    }
    let broker = TestBroker::start(Kind::Mosquitto, Setup::default()).await;
    let proxy = Proxy::start(broker.port()).await;
    let mut observer = Observer::new(broker.port());
    let cameras = [
        camera("gate", 0.0, broker.port(), ""),
        camera("hall", 4.0, broker.port(), ""),
        camera("yard", -4.0, proxy.port(), ""),
    ];
    let [gate, hall, yard] = cameras.each_ref().map(Camera::run);
    observer.meets(&["gate", "hall", "yard"]).await;
    yard.says("peer=hall").await;
    yard.says("peer=gate").await;
    // Its vote alone would decide before it has seen that the others see what it sees.
    yard.says("its votes count camera=yard peer=hall").await;
    yard.says("its votes count camera=yard peer=gate").await;
    proxy.set(Conditions { arrivals: Arrivals::Close, ..Conditions::default() });
    proxy.cut_connections();
    let key = observer.alarm().await.key.unwrap().to_string();
    assert_eq!((confirms(&gate).await, confirms(&hall).await), (key.clone(), key.clone()));
    // It saw the man too, and could ask nobody.
    yard.says("state=Expired").await;
    proxy.set(Conditions::default());
    assert_eq!(confirms(&yard).await, key, "{}", yard.log());
    assert_eq!(observer.alarms_until_now().await.len(), 0, "the alarm is said once");
    for program in [gate, hall] {
        assert_eq!(confirms(&program).await, key);
    }
}
