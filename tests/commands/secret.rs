//! `omnisight secret`, and configurations that name secrets.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::support::program::{Finished, Program, omnisight};

const VALUE: &str = "hush-hush-hush";

/// A camera that names a secret, with its state in a folder of its own.
struct Camera {
    folder: TempDir,
}

impl Camera {
    fn new() -> Self {
        let camera = Self { folder: tempfile::tempdir().unwrap() };
        let text = format!(
            "[camera]\nid = 'gate'\n[capture]\nkind = 'synthetic'\n[state]\ndir = '{}'\n\
             [[broker_link]]\nurl = 'mqtt://broker'\nusername = 'gate'\npassword_secret = 'broker'\n",
            camera.state().display()
        );
        std::fs::write(camera.file(), text).unwrap();
        camera
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("camera.toml")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = omnisight(arguments);
        command.args(["--config", self.file().to_str().unwrap()]);
        command
    }

    fn run(&self, arguments: &[&str]) -> Finished {
        Program::finish(&mut self.command(arguments))
    }

    fn set(&self, name: &str, input: &str) -> Output {
        let mut command = self.command(&["secret", "set", name]);
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = piped.spawn().unwrap();
        // A command that refuses its arguments does not read.
        let _ = process.stdin.take().unwrap().write_all(input.as_bytes());
        process.wait_with_output().unwrap()
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_secret_is_set_listed_used_and_removed_and_its_value_shown_nowhere() {
    let camera = Camera::new();
    let before = camera.run(&["check"]);
    assert_eq!(before.code, Some(78), "{before:?}");
    let wanted =
        "camera.toml:10:19: broker_link.0.password_secret: found \"broker\": there is no secret broker";
    assert!(before.err.contains(wanted) && before.err.contains("omnisight secret set broker"), "{before:?}");

    let set = camera.set("broker", &format!("{VALUE}\n"));
    assert_eq!(set.status.code(), Some(0), "{set:?}");
    let list = camera.run(&["secret", "list"]);
    assert_eq!((list.code, list.out.as_str()), (Some(0), "broker\n"));
    let check = camera.run(&["check", "--log", "trace"]);
    assert_eq!(check.code, Some(0), "{check:?}");
    assert!(check.out.contains("password_secret = \"broker\""), "{check:?}");
    for said in [text(&set), format!("{list:?}"), format!("{check:?}")] {
        assert!(!said.contains(VALUE), "{said}");
    }
    for name in ["secrets.json", "secrets.key"] {
        let bytes = std::fs::read(camera.state().join(name)).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains(VALUE), "{name}");
    }

    assert_eq!(camera.run(&["secret", "remove", "broker"]).code, Some(0));
    assert_eq!(camera.run(&["secret", "list"]).out, "");
    let again = camera.run(&["secret", "remove", "broker"]);
    assert_eq!(again.code, Some(78), "{again:?}");
    assert_eq!(camera.run(&["check"]).code, Some(78));
}

#[test]
fn a_credential_of_systemd_is_found_without_the_store() {
    let camera = Camera::new();
    std::fs::write(camera.folder.path().join("broker"), VALUE).unwrap();
    let check =
        Program::finish(camera.command(&["check"]).env("CREDENTIALS_DIRECTORY", camera.folder.path()));
    assert_eq!(check.code, Some(0), "{check:?}");
    assert!(!format!("{check:?}").contains(VALUE), "{check:?}");
}

#[test]
fn a_key_that_others_can_read_is_a_fault_of_the_configuration() {
    let camera = Camera::new();
    camera.set("broker", VALUE);
    let key = camera.state().join("secrets.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let check = camera.run(&["check"]);
    assert_eq!(check.code, Some(78), "{check:?}");
    assert!(check.err.contains("mode 0644") && check.err.contains("chmod 600"), "{check:?}");
    assert_eq!(camera.set("other", VALUE).status.code(), Some(78));
}

#[test]
fn a_name_or_value_that_is_none_is_a_usage_error_and_changes_nothing() {
    let camera = Camera::new();
    for (name, input) in [("a/b", VALUE), ("..", VALUE), ("a", ""), ("a", "\n"), ("a", "one\ntwo\n")] {
        let set = camera.set(name, input);
        assert_eq!(set.status.code(), Some(64), "{name}: {set:?}");
    }
    let long = camera.set("a", &"x".repeat(100_000));
    assert_eq!(long.status.code(), Some(64), "{long:?}");
    assert!(!camera.state().join("secrets.json").exists());
}

#[test]
fn without_a_configuration_the_state_folder_of_the_environment_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let list = |folder: &Path| {
        let mut command = omnisight(&["secret", "list"]);
        Program::finish(command.current_dir(folder).env("STATE_DIRECTORY", folder))
    };
    let empty = list(folder.path());
    assert_eq!((empty.code, empty.out.as_str()), (Some(0), ""), "{empty:?}");
    std::fs::write(folder.path().join("secrets.json"), "rubbish").unwrap();
    let broken = list(folder.path());
    assert_eq!(broken.code, Some(1), "{broken:?}");
    assert!(broken.err.contains("not a store of secrets"), "{broken:?}");
}
