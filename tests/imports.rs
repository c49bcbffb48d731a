//! Holds the rule of who may know whom, as the header of `src/lib.rs` states it, by reading every
//! `crate::` path in the sources.

#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What each part may use besides itself. A part that is missing here is a fault: new parts state
/// their place first.
const MAY_USE: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("model", &["base"]),
    ("capture", &["base", "model"]),
    ("inference", &["base", "model"]),
    ("track", &["base", "model"]),
    ("behavior", &["base", "model"]),
    ("predict", &["base", "model"]),
    ("swarm", &["base", "model"]),
    ("simulate", &["base", "model", "swarm"]),
    ("control", &["base", "model"]),
    ("fleet", &["base", "model", "control"]),
    ("link", &["base", "model"]),
    ("broker", &["base", "model"]),
    ("discovery", &["base", "model"]),
    ("picture", &["base", "model"]),
    ("platform", &["base", "model"]),
    ("store", &["base"]),
    ("secrets", &["base"]),
    ("supervisor", &["base"]),
    ("state", &["base", "model", "capture", "pipeline", "link", "discovery", "control", "fleet"]),
    ("pipeline", &["base", "model", "capture", "inference", "track", "behavior", "predict"]),
    (
        "config",
        &[
            "base",
            "model",
            "capture",
            "inference",
            "track",
            "behavior",
            "predict",
            "pipeline",
            "swarm",
            "control",
            "discovery",
            "fleet",
            "link",
            "broker",
            "secrets",
        ],
    ),
    ("app", &[EVERYTHING_BUT_CLI]),
    ("cli", &[EVERYTHING]),
    ("main", &["cli"]),
];

const EVERYTHING: &str = "*";
const EVERYTHING_BUT_CLI: &str = "* but cli";

/// Parts and files that take `now` and randomness as arguments and touch nothing outside.
const PURE: &[&str] = &[
    "track",
    "behavior",
    "predict",
    "swarm",
    "control",
    "fleet",
    "discovery/announcement",
    "discovery/election",
    "simulate/camera",
    "simulate/digest",
    "simulate/network",
    "simulate/tally",
    "simulate/world",
    "link/session",
    "link/outbox/index",
    "link/outbox/log",
    "link/outbox/queue",
    "link/outbox/rate",
    "link/outbox/row",
];

/// Parts whose numbers are the same on every machine, and what they must not call for that: the C library's
/// functions differ in the last bit (`base::portable`).
const PORTABLE: &[&str] = &["swarm", "simulate"];
const NOT_PORTABLE: &[&str] = &[
    "exp", "exp2", "exp_m1", "ln", "ln_1p", "log", "log2", "log10", "powi", "powf", "sin", "cos", "tan",
    "sin_cos", "asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh", "hypot", "cbrt", "mul_add",
];

/// What a pure part must not name.
const IMPURE: &[&str] = &[
    "tokio",
    "std::net",
    "std::fs",
    "std::thread",
    "std::env",
    "std::process",
    "Instant::now",
    "SystemTime",
    "rand::rng",
    "SysRng",
    "rumqttc",
    "SystemClock",
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn all_sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 20, "the sources were not found");
    let name = |f: &PathBuf| f.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
    files.iter().map(|f| (name(f), fs::read_to_string(f).unwrap())).collect()
}

/// The code alone, line by line as it stands: comments may name what they like.
fn code(text: &str) -> String {
    text.lines().flat_map(|l| [l.split("//").next().unwrap_or(""), "\n"]).collect()
}

/// The parts that code names as `crate::part` (or `omnisight::part` in the binary), alone or in a
/// group that may span lines, each with its line.
fn named_parts(code: &str) -> Vec<(usize, &str)> {
    let mut parts = Vec::new();
    for prefix in ["crate::", "omnisight::"] {
        for (at, _) in code.match_indices(prefix) {
            let at = at + prefix.len();
            let starts = if code[at..].starts_with('{') { group_starts(code, at) } else { vec![at] };
            for start in starts {
                let rest = &code[start..];
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                if end > 0 {
                    parts.push((code[..start].matches('\n').count() + 1, &rest[..end]));
                }
            }
        }
    }
    parts
}

/// Where each path in the group that opens at `open` begins; what nests deeper belongs to a path.
fn group_starts(code: &str, open: usize) -> Vec<usize> {
    let (mut depth, mut starts, mut expected) = (0, Vec::new(), false);
    for (i, c) in code[open..].char_indices() {
        match c {
            '{' => {
                depth += 1;
                expected = depth == 1;
            }
            '}' if depth == 1 => break,
            '}' => depth -= 1,
            ',' => expected = depth == 1,
            c if expected && !c.is_whitespace() => {
                starts.push(open + i);
                expected = false;
            }
            _ => {}
        }
    }
    starts
}

/// Whether a file belongs to an entry of [`PURE`]: a file without its ending, or a directory.
fn belongs(file: &str, entry: &str) -> bool {
    file.strip_prefix(entry).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

#[test]
fn every_part_uses_only_what_it_may() {
    let mut faults = Vec::new();
    let known: BTreeSet<&str> = MAY_USE.iter().map(|(part, _)| *part).collect();
    for (file, text) in all_sources() {
        let part = file.split(['/', '.']).next().unwrap();
        if part == "lib" {
            continue;
        }
        let Some((_, may)) = MAY_USE.iter().find(|(p, _)| *p == part) else {
            faults.push(format!("{file}: part {part} has no place in the import rule"));
            continue;
        };
        for (line, used) in named_parts(&code(&text)) {
            let allowed = used == part
                || may.contains(&used)
                || may.contains(&EVERYTHING)
                || (may.contains(&EVERYTHING_BUT_CLI) && used != "cli");
            if known.contains(used) && !allowed {
                faults.push(format!("{file}:{line}: {part} may not use {used}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn pure_parts_touch_nothing_outside() {
    let mut faults = Vec::new();
    let sources = all_sources();
    for entry in PURE {
        if !sources.iter().any(|(file, _)| belongs(file, entry)) {
            faults.push(format!("{entry} is to be pure, and there is no such file"));
        }
    }
    for (file, text) in sources {
        if !PURE.iter().any(|entry| belongs(&file, entry)) {
            continue;
        }
        for (number, line) in code(&text).lines().enumerate() {
            for word in IMPURE.iter().filter(|w| line.contains(**w)) {
                faults.push(format!("{file}:{}: a pure part names {word}", number + 1));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn portable_parts_call_no_function_of_the_c_library() {
    let mut faults = Vec::new();
    for (file, text) in all_sources() {
        if !PORTABLE.iter().any(|part| belongs(&file, part)) {
            continue;
        }
        for (number, line) in code(&text).lines().enumerate() {
            for name in NOT_PORTABLE.iter().filter(|name| line.contains(&format!(".{name}("))) {
                faults.push(format!("{file}:{}: {name} differs from machine to machine", number + 1));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_rule_sees_what_it_should() {
    assert_eq!(named_parts("use crate::{base::Time, model};"), [(1, "base"), (1, "model")]);
    assert_eq!(named_parts("    let x = crate::config::load();"), [(1, "config")]);
    assert_eq!(named_parts("use super::Point;"), []);
    let spanning = "// what it is\nuse crate::{\n    base::{Time, config},\n    // swarm,\n    link,\n};\n";
    assert_eq!(named_parts(&code(spanning)), [(3, "base"), (5, "link")]);
    assert!(belongs("link/session/mod.rs", "link/session") && belongs("link/session.rs", "link/session"));
    assert!(!belongs("link/sessions.rs", "link/session"));
}
