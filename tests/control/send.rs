//! `omnisight send`.

use crate::ear::{Ear, gate};
use crate::support::program::{Finished, Program, omnisight};
use crate::support::{Setup, TestBroker, against_each_broker, free_port};

async fn send(port: u16, arguments: &[&str]) -> Finished {
    let url = format!("mqtt://127.0.0.1:{port}");
    let all: Vec<&str> = ["send", "--broker", &url].into_iter().chain(arguments.iter().copied()).collect();
    let mut command = omnisight(&all);
    tokio::task::spawn_blocking(move || Program::finish(&mut command)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_says_how_it_went() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let mut ear = Ear::at(broker.port()).await;
        let camera = gate(broker.port(), "");
        let _program = camera.run();
        ear.status("running").await;
        let done = send(broker.port(), &["pause", "--camera", "gate"]).await;
        assert_eq!(done.code, Some(0), "{}", done.err);
        assert!(done.out.contains("\"command\":\"pause\",\"state\":\"done\""), "{}", done.out);
        ear.status("paused").await;
        let rejected = send(broker.port(), &["dance", "--camera", "gate"]).await;
        assert_eq!(rejected.code, Some(1));
        assert!(rejected.err.contains("no such command: \"dance\""), "{}", rejected.err);
        let all = send(broker.port(), &["status", "--within", "1s"]).await;
        assert_eq!(all.code, Some(0), "{}", all.err);
        let nobody = send(broker.port(), &["status", "--camera", "yard", "--within", "1s"]).await;
        assert_eq!(nobody.code, Some(69));
        assert!(nobody.err.contains("no camera answered"), "{}", nobody.err);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_it_says_so_and_bad_arguments_are_a_usage_error() {
    let unreachable = send(free_port(), &["status", "--within", "1s"]).await;
    assert_eq!(unreachable.code, Some(69));
    assert!(unreachable.err.contains("unreachable"), "{}", unreachable.err);
    for bad in [&["status", "--camera", "a/b"][..], &["set", "novalue"], &[]] {
        assert_eq!(send(1, bad).await.code, Some(64), "{bad:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_version_of_mqtt_can_be_chosen() {
    use tokio::io::AsyncReadExt;
    for (protocol, level) in [("5", 5), ("3.1.1", 4)] {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = tokio::spawn(async move {
            let mut connect = [0; 9];
            listener.accept().await.unwrap().0.read_exact(&mut connect).await.unwrap();
            connect[8]
        });
        let done = send(port, &["status", "--protocol", protocol, "--within", "200ms"]).await;
        assert_eq!((done.code, asked.await.unwrap()), (Some(69), level));
    }
}
