//! A reader of our output that goes away is no error.

use std::process::{Command, Stdio};

use crate::support::program::{Camera, Program, SMALL_PLAZA, omnisight};

/// Runs a command whose standard output nobody reads any more.
fn unread(command: &mut Command) -> (Option<i32>, String) {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped()).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn output_into_a_closed_pipe_is_no_error() {
    let camera = Camera::with_sections("gate", SMALL_PLAZA, "");
    let config = camera.file();
    let config = config.to_str().unwrap();
    let commands: &[&[&str]] = &[
        &["schema", "config"],
        &["check", "--config", config],
        &["--help"],
        #[cfg(feature = "broker")]
        &["demo", "--cameras", "1", "--for", "60s"],
    ];
    for arguments in commands {
        assert_eq!(unread(&mut omnisight(arguments)), (Some(0), String::new()), "{arguments:?}");
    }
}

#[test]
fn the_first_line_of_a_long_output_can_be_taken_alone() {
    let program = env!("CARGO_BIN_EXE_omnisight");
    let shell = format!("'{program}' schema config | head -1");
    let finished = Program::finish(Command::new("sh").args(["-c", &shell]));
    assert_eq!((finished.out.as_str(), finished.err.as_str()), ("{\n", ""));
}
