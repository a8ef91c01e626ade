//! Fixed workloads, and what our picker comes to on them beside other policies: the figures of `make figures`.
//!
//! Virtual time: the numbers are a function of the code. Several seeds each; ratios are geometric means over seeds.

mod burst;
mod mixed;
mod money;
mod overload;
mod prefix;
mod replicas;

use std::fmt::Write as _;

use serde::Serialize;

/// A figure.
#[derive(Clone, Debug, Serialize)]
struct Line {
    name: &'static str,
    value: f64,
    /// What it is compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline: Option<f64>,
    /// How it was found.
    how: String,
}

impl Line {
    fn new(name: &'static str, value: f64, how: impl Into<String>) -> Self {
        Self { name, value, baseline: None, how: how.into() }
    }

    fn beside(self, baseline: f64) -> Self {
        Self { baseline: Some(baseline), ..self }
    }
}

/// Plays them all: a line of JSON for each figure, with `name`, `value`, `baseline` where there is one, and `how`.
#[must_use]
pub fn comparison() -> String {
    let (mixed, rest) = std::thread::scope(|scope| {
        let mixed = scope.spawn(mixed::lines);
        let rest =
            [burst::lines(), prefix::lines(), money::lines(), replicas::lines(), overload::lines()].concat();
        (mixed.join(), rest)
    });
    let mixed = mixed.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let mut out = String::new();
    for line in mixed.iter().chain(&rest) {
        let line = serde_json::to_string(line).expect("a line has no maps");
        writeln!(out, "{line}").expect("writing to a string");
    }
    out
}

/// Sum of logarithms, for a geometric mean.
#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    sum: f64,
    count: f64,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value.ln();
        self.count += 1.0;
    }

    fn get(&self) -> f64 {
        (self.sum / self.count).exp()
    }
}
