//! The rows that the scenarios print: one for people, and the same as a line of JSON.

use std::io::Write;

use serde_json::{Map, Value, json};

/// One scenario's figures, in the order in which they were added.
#[derive(Debug)]
pub(crate) struct Row {
    scenario: String,
    figures: Vec<(String, Value)>,
}

impl Row {
    pub(crate) fn new(scenario: &str) -> Self {
        Self { scenario: scenario.to_owned(), figures: Vec::new() }
    }

    /// Adds a figure.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.figures.push((name.to_owned(), value.into()));
        self
    }

    /// Prints the row past the test harness, which keeps the output of a passing test, and appends it to the file of
    /// `OMNISIGHT_ATTACKS_TABLE`.
    pub(crate) fn print(&self) {
        let cells: Vec<String> = self.figures.iter().map(|(name, value)| format!("{name} {value}")).collect();
        let figures: Map<String, Value> = self.figures.iter().cloned().collect();
        let line = json!({ "scenario": self.scenario, "figures": figures });
        let mut out = std::io::stderr().lock();
        writeln!(out, "| {} | {} |\n{line}", self.scenario, cells.join(" · ")).unwrap();
        if let Some(path) = std::env::var_os("OMNISIGHT_ATTACKS_TABLE") {
            let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
            writeln!(file, "{line}").unwrap();
        }
    }
}
