//! The report of a run: what was measured, on what, and what could not be.

use std::fmt::Write as _;

use super::{
    figure::{Figure, number},
    machine::Machine,
};

/// What a run has found.
pub struct Results {
    /// When it began, UTC.
    pub date: String,
    /// The revision that was measured.
    pub revision: String,
    /// The command that was given.
    pub command: String,
    /// The machine.
    pub machine: Machine,
    /// Load average at the beginning: what else ran.
    pub load: String,
    /// What was measured.
    pub figures: Vec<Figure>,
    /// Figures that could not be measured, and why.
    pub failed: Vec<(&'static str, String)>,
    /// How long the run took, in seconds.
    pub seconds: u64,
}

impl Results {
    /// As Markdown.
    pub fn markdown(&self) -> String {
        let mut text = String::from("# Results\n\nWritten by `make figures`; do not edit.\n\n");
        let mut line = |line: std::fmt::Arguments<'_>| {
            text.write_fmt(line).expect("writing to a string");
            text.push('\n');
        };
        line(format_args!("- Date: {}", self.date));
        line(format_args!("- Revision: {}", self.revision));
        line(format_args!("- Command: `{}`, {} s", self.command, self.seconds));
        line(format_args!("- Machine: {}; load average at the beginning {}", self.machine, self.load));
        line(format_args!("\n| Figure | Value | Unit | Aim | Met | Baseline, same run |"));
        line(format_args!("|---|---|---|---|---|---|"));
        for figure in &self.figures {
            let aim = figure.aim.map_or_else(String::new, |aim| aim.to_string());
            let met = figure.is_met().map_or("", |met| if met { "yes" } else { "no" });
            let baseline = figure.baseline.as_ref();
            let baseline = baseline.map_or_else(String::new, |b| format!("{} ({})", number(b.value), b.of));
            let (name, value, unit) = (figure.name, number(figure.value), figure.unit);
            line(format_args!("| `{name}` | {value} | {unit} | {aim} | {met} | {baseline} |"));
        }
        if !self.failed.is_empty() {
            line(format_args!("\n## Not measured\n"));
            for (name, reason) in &self.failed {
                line(format_args!("- `{name}`: {}", one_line(reason)));
            }
        }
        line(format_args!("\n## How\n"));
        for figure in &self.figures {
            line(format_args!("- `{}`: {}.", figure.name, one_line(&figure.how)));
        }
        text
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::figure::Aim;

    #[test]
    fn everything_is_told() {
        let figure =
            Figure::new("a_ms", 0.06, "ms", "with\na clock").aim(Aim::AtMost(0.05)).baseline("nothing", 0.07);
        let results = Results {
            date: "2026-01-05T10:00:00Z".into(),
            revision: "abc".into(),
            command: "figures".into(),
            machine: Machine { cores: 2, cpu: "C".into(), kernel: "Linux 6".into(), memory_mib: 1 },
            load: "0.1".into(),
            figures: vec![figure],
            failed: vec![("b_ms", "no\nserver".into())],
            seconds: 3,
        };
        let text = results.markdown();
        for expected in [
            "| `a_ms` | 0.0600 | ms | ≤ 0.0500 | no | 0.0700 (nothing) |",
            "- `b_ms`: no server",
            "- `a_ms`: with a clock.",
            "- Machine: 2 cores, C, 1 MiB, Linux 6; load average at the beginning 0.1",
        ] {
            assert!(text.contains(expected), "{expected} in {text}");
        }
    }
}
