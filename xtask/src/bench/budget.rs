//! How many instructions each step may take for an exchange: a file in the tree, one line for each,
//! so that a change of the budget is seen in review.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::command;

/// What a step may take more than when it was counted last: compilers differ by so much.
const TOLERANCE: f64 = 1.03;

/// Where the budget is.
pub(super) fn file() -> PathBuf {
    command::workspace().join("agent/benches/instructions.txt")
}

/// Protocol, bytes of the two bodies together, step.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    protocol: String,
    body: u32,
    step: String,
}

impl Place {
    pub(super) fn new(protocol: &str, body: u32, step: &str) -> Self {
        Self {
            protocol: protocol.to_owned(),
            body,
            step: step.to_owned(),
        }
    }
}

/// Instructions for an exchange.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Budget(BTreeMap<Place, u64>);

impl Budget {
    pub(super) fn get(&self, place: &Place) -> Option<u64> {
        self.0.get(place).copied()
    }

    pub(super) fn set(&mut self, place: Place, instructions: u64) {
        self.0.insert(place, instructions);
    }

    /// Reads what [`fmt::Display`] writes; lines that begin with `#` are notes.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut budget = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let parts: Vec<&str> = line.split_whitespace().collect();
            let read = match parts[..] {
                [protocol, body, step, instructions] => body
                    .parse()
                    .ok()
                    .zip(instructions.parse().ok())
                    .map(|(body, count)| (Place::new(protocol, body, step), count)),
                _ => None,
            };
            let (place, count) = read.with_context(|| format!("no budget: {line}"))?;
            budget.set(place, count);
        }
        Ok(budget)
    }

    /// Where more was counted than this allows, or what it does not know.
    pub(super) fn exceeded_by(&self, counted: &Self) -> Vec<String> {
        let mut over = Vec::new();
        for (place, count) in &counted.0 {
            let Place {
                protocol,
                body,
                step,
            } = place;
            let here = format!("{protocol}, {body} B, {step}: {count} instructions");
            match self.get(place) {
                None => over.push(format!("{here}, no budget")),
                Some(budget) if *count as f64 > budget as f64 * TOLERANCE => {
                    let more = (*count as f64 / budget as f64 - 1.0) * 100.0;
                    over.push(format!("{here}, {more:.1} % over {budget}"));
                }
                Some(_) => {}
            }
        }
        over
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "# Instructions for an exchange: protocol, bytes of its two bodies, step, instructions."
        )?;
        writeln!(
            f,
            "# `cargo xtask bench instructions` compares; `--update` writes this file."
        )?;
        for (place, count) in &self.0 {
            let Place {
                protocol,
                body,
                step,
            } = place;
            writeln!(f, "{protocol} {body} {step} {count}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut budget = Budget::default();
        budget.set(Place::new("h1", 1024, "engine"), 10_000);
        budget.set(Place::new("h2", 4096, "otlp"), 7);
        assert_eq!(Budget::parse(&budget.to_string()).unwrap(), budget);
        assert!(Budget::parse("h1 1024 engine").is_err());
        assert!(Budget::parse("h1 1024 engine many").is_err());
    }

    #[test]
    fn three_in_a_hundred_more_are_too_many() {
        let check = |count, expected: usize| {
            let mut budget = Budget::default();
            budget.set(Place::new("h1", 1024, "engine"), 10_000);
            let mut counted = Budget::default();
            counted.set(Place::new("h1", 1024, "engine"), count);
            assert_eq!(budget.exceeded_by(&counted).len(), expected, "{count}");
        };
        check(9_000, 0);
        check(10_299, 0);
        check(10_301, 1);
        let mut unknown = Budget::default();
        unknown.set(Place::new("h1", 1, "engine"), 1);
        assert_eq!(Budget::default().exceeded_by(&unknown).len(), 1);
    }
}
