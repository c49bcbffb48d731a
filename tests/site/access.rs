//! The examples of access rules in `config/mosquitto`, against a real mosquitto: a camera speaks for itself
//! alone, and hears everybody.

use std::fs;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::mosquitto::{Mosquitto, write_password};
use crate::support::{Peer, free_port, link_options, with_password};

const CAMERAS: [&str; 2] = ["gate", "yard"];
const PASSWORD: &str = "change-me";

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/mosquitto").join(name)
}

fn camera(port: u16, name: &str, filters: &[&str]) -> Peer {
    Peer::spawn(&with_password(link_options(port), name, PASSWORD), name, None, filters)
}

/// What `gate` may say arrives at `yard`, and what it says in the name of `yard` or of the operator does not.
async fn gate_speaks_for_itself_alone(port: u16) {
    let mut yard = camera(
        port,
        "yard",
        &["omnisight/swarm/#", "inference/yard/control/commands", "lprserver/cameras/yard/control"],
    );
    yard.status(|status| status.counters.connects == 1).await;
    let mut gate = camera(port, "gate", &["lprserver/cameras/gate/config"]);
    gate.status(|status| status.counters.connects == 1).await;
    // A fleet server's topics: a camera reads back its own configuration, which says what is in force.
    gate.send(crate::support::event("lprserver/cameras/gate/config", "{}"));
    assert_eq!(gate.next().await.topic, "lprserver/cameras/gate/config");
    let say = |topic: &str| gate.send(crate::support::event(topic, "{}"));
    // Until it arrives, the subscription may not be in force.
    for _ in 0..50 {
        say("omnisight/swarm/consensus/1");
        let next = tokio::time::timeout(std::time::Duration::from_millis(200), yard.deliveries.recv()).await;
        if next.is_ok() {
            break;
        }
    }
    for forged in [
        "omnisight/swarm/tracks/yard/1",
        "omnisight/swarm/events/yard/1",
        "omnisight/swarm/status/yard",
        "omnisight/swarm/models/yard/weights",
        "omnisight/swarm/elsewhere",
        "inference/yard/control/commands",
        "inference/control/commands",
        "lprserver/cameras/yard/control",
    ] {
        say(forged);
    }
    let own =
        ["omnisight/swarm/tracks/gate/1", "omnisight/swarm/status/gate", "omnisight/swarm/events/gate/1"];
    for topic in own {
        say(topic);
    }
    let mut heard = Vec::new();
    while heard.len() < own.len() {
        let topic = yard.next().await.topic;
        if topic != "omnisight/swarm/consensus/1" {
            heard.push(topic);
        }
    }
    heard.sort();
    let mut expected = own.map(str::to_owned);
    expected.sort();
    assert_eq!(heard, expected, "nothing of what was forged came through");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_acl_example_a_camera_speaks_for_itself_alone() {
    if !Mosquitto::installed() {
        return;
    }
    let (folder, port) = (TempDir::new().unwrap(), free_port());
    let passwords = folder.path().join("passwords");
    write_password(&passwords, "gate", PASSWORD);
    let status =
        Command::new("mosquitto_passwd").arg("-b").arg(&passwords).args(["yard", PASSWORD]).status().unwrap();
    assert!(status.success());
    // The example's own file, with its paths as they are here.
    let settings = fs::read_to_string(example("mosquitto.conf")).unwrap();
    let settings = settings
        .replace("listener 1883\n", "")
        .replace("/etc/mosquitto/passwords", passwords.to_str().unwrap())
        .replace("/etc/mosquitto/acl", example("acl").to_str().unwrap())
        .replace("/var/lib/mosquitto/", &format!("{}/", folder.path().display()));
    let _broker = Mosquitto::start(folder.path(), port, &settings);
    gate_speaks_for_itself_alone(port).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_dynsec_example_a_camera_speaks_for_itself_alone() {
    let plugin = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib", "/usr/local/lib"]
        .map(|folder| Path::new(folder).join("mosquitto_dynamic_security.so"))
        .into_iter()
        .find(|file| file.exists());
    let (true, Some(plugin)) = (Mosquitto::installed(), plugin) else {
        // Past the test harness, which keeps what `eprintln!` of a passing test says.
        let _ = writeln!(std::io::stderr(), "skipped: mosquitto's dynamic security plugin not installed");
        return;
    };
    let (folder, port) = (TempDir::new().unwrap(), free_port());
    let file = folder.path().join("dynamic-security.json");
    let run = |command: &mut Command| {
        let output = command.stdin(Stdio::null()).output().unwrap();
        let text =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{command:?}: {text}");
        text
    };
    run(Command::new("mosquitto_ctrl").args(["dynsec", "init", file.to_str().unwrap(), "admin", "secret"]));
    let settings = format!(
        "allow_anonymous false\nper_listener_settings false\nplugin {}\nplugin_opt_config_file {}",
        plugin.display(),
        file.display()
    );
    let _broker = Mosquitto::start(folder.path(), port, &settings);
    let commands = run(Command::new("sh").arg(example("dynsec.sh")).args(CAMERAS));
    let (host, number) = (Ipv4Addr::LOCALHOST.to_string(), port.to_string());
    for line in commands.lines() {
        let login = ["-h", &host, "-p", &number, "-u", "admin", "-P", "secret", "dynsec"];
        run(Command::new("mosquitto_ctrl").args(login).args(line.split_whitespace()));
    }
    gate_speaks_for_itself_alone(port).await;
}
