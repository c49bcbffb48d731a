//! Who may connect, and do what.

use std::process::Command;

use omnisight::base::Secret;
use omnisight::broker::{Acl, Options, Passwords};

use crate::raw::{Client, Connect, anonymous, start};
use crate::support::mosquitto::{Mosquitto, write_password};

const BAD_USER_NAME_OR_PASSWORD: u8 = 0x86;
const NOT_AUTHORIZED: u8 = 0x87;

async fn answer(port: u16, user: Option<(&str, &str)>) -> u8 {
    Client::connect(port, &Connect { user, ..Connect::new("camera") }).await.1.body[1]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_mosquitto_passwd_wrote_admits_its_users_beside_those_of_the_configuration() {
    if !Mosquitto::installed() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("passwords");
    write_password(&file, "gate", "of-the-file");
    let users = vec![("yard".to_owned(), Secret::new("of-the-configuration"))];
    let passwords = Passwords::read(&file).unwrap();
    let broker = start(Options { users, passwords, allow_anonymous: false, ..anonymous() }).await;
    let port = broker.local_addr().port();
    assert_eq!(answer(port, Some(("gate", "of-the-file"))).await, 0);
    assert_eq!(answer(port, Some(("yard", "of-the-configuration"))).await, 0);
    for user in [("gate", "of-the-configuration"), ("hall", "of-the-file"), ("gate", "")] {
        assert_eq!(answer(port, Some(user)).await, BAD_USER_NAME_OR_PASSWORD, "{user:?}");
    }
    assert_eq!(answer(port, None).await, NOT_AUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_users_lines_of_the_access_list_say_what_it_may() {
    let users = ["gate", "watch"].map(|name| (name.to_owned(), Secret::new("p"))).to_vec();
    let lines = "pattern write cameras/%u/#\nuser watch\ntopic read cameras/#\n";
    let acl = Some(Acl::parse(lines).unwrap());
    let broker = start(Options { users, acl, allow_anonymous: false, ..anonymous() }).await;
    let port = broker.local_addr().port();
    let connect = |user, id| Connect { user: Some((user, "p")), ..Connect::new(id) };
    let (mut watch, _) = Client::connect(port, &connect("watch", "w")).await;
    let (mut gate, _) = Client::connect(port, &connect("gate", "g")).await;
    assert_eq!(watch.subscribe("cameras/#", 1, &[]).await, 1);
    assert_eq!(gate.subscribe("cameras/gate/#", 1, &[]).await, NOT_AUTHORIZED);
    assert_eq!(gate.publish("cameras/yard/a", &[], b"no").await, NOT_AUTHORIZED);
    assert_eq!(watch.publish("cameras/gate/a", &[], b"no").await, NOT_AUTHORIZED);
    assert_eq!(gate.publish("cameras/gate/a", &[], b"yes").await, 0);
    assert_eq!(watch.message().await.payload, b"yes");
}

#[test]
fn what_mosquitto_passwd_writes_is_understood_whatever_its_rounds() {
    if !Mosquitto::installed() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("passwords");
    write_password(&file, "first", "one");
    let more = Command::new("mosquitto_passwd")
        .args(["-b", "-I", "1000"])
        .arg(&file)
        .args(["second", "two: with $ and a blank"])
        .status()
        .unwrap();
    assert!(more.success());
    let passwords = Passwords::read(&file).unwrap();
    assert!(passwords.admit("first", b"one"));
    assert!(passwords.admit("second", b"two: with $ and a blank"));
    assert!(!passwords.admit("second", b"one"));
}
