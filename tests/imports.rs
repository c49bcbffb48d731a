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
    ("link", &["base", "model"]),
    ("broker", &["base", "model"]),
    ("picture", &["base", "model"]),
    ("platform", &["base", "model"]),
    ("store", &["base"]),
    ("supervisor", &["base"]),
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
            "link",
            "broker",
        ],
    ),
    ("app", &[EVERYTHING_BUT_CLI]),
    ("cli", &[EVERYTHING]),
    ("main", &["cli"]),
];

const EVERYTHING: &str = "*";
const EVERYTHING_BUT_CLI: &str = "* but cli";

/// Parts and files that take `now` and randomness as arguments and touch nothing outside.
const PURE: &[&str] = &["track", "behavior", "predict", "swarm", "link/session.rs", "link/outbox.rs"];

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

/// The code alone: comments may name what they like.
fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(|l| l.split("//").next().unwrap_or(""))
}

/// The parts that a line names as `crate::part` (or `omnisight::part` in the binary).
fn named_parts(line: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    for prefix in ["crate::", "omnisight::"] {
        for (at, _) in line.match_indices(prefix) {
            let rest = &line[at + prefix.len()..];
            if let Some(group) = rest.strip_prefix('{') {
                let first =
                    |s: &'_ str| s.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(s.len());
                parts.extend(
                    group.split(',').map(str::trim).map(|s| &s[..first(s)]).filter(|s| !s.is_empty()),
                );
            } else {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                parts.push(&rest[..end]);
            }
        }
    }
    parts
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
        for (number, line) in code_lines(&text).enumerate() {
            for used in named_parts(line) {
                let allowed = used == part
                    || may.contains(&used)
                    || may.contains(&EVERYTHING)
                    || (may.contains(&EVERYTHING_BUT_CLI) && used != "cli");
                if known.contains(used) && !allowed {
                    faults.push(format!("{file}:{}: {part} may not use {used}", number + 1));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn pure_parts_touch_nothing_outside() {
    let mut faults = Vec::new();
    for (file, text) in all_sources() {
        let pure = PURE
            .iter()
            .any(|p| file == *p || file == format!("{p}.rs") || file.starts_with(&format!("{p}/")));
        if !pure {
            continue;
        }
        for (number, line) in code_lines(&text).enumerate() {
            for word in IMPURE.iter().filter(|w| line.contains(**w)) {
                faults.push(format!("{file}:{}: a pure part names {word}", number + 1));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_rule_sees_what_it_should() {
    assert_eq!(named_parts("use crate::{base::Time, model};"), ["base", "model"]);
    assert_eq!(named_parts("    let x = crate::config::load();"), ["config"]);
    assert_eq!(named_parts("use super::Point;"), Vec::<&str>::new());
}
