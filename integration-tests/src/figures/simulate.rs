//! How good the picker's choice is: fixed workloads in virtual time, beside other policies.
//!
//! ```text
//! figures ─ signalbox-picker simulate --comparison ─▶ one line of JSON for each figure ─▶ Figure
//! ```

use std::process::Stdio;

use anyhow::{Result, ensure};

use super::{
    context::Context,
    figure::{Aim, Figure},
    line::{self, Definition},
};

/// The figures' names.
pub(super) const NAMES: &[&str] = &line::names(DEFINITIONS);

const fn at_most(most: f64) -> Option<Aim> {
    Some(Aim::AtMost(most))
}

const DEFINITIONS: &[Definition; 23] = &[
    (
        "mixed_e2e_p50_ratio_50",
        "ratio",
        at_most(0.70),
        "an oracle of states and lengths that counts what others lose",
    ),
    ("mixed_e2e_p50_bound_50", "ratio", None, ""),
    ("mixed_worst_percentile_ratio", "ratio", at_most(1.0), "knowing the speeds"),
    ("oracle_ratio_after_60s", "ratio", at_most(1.10), ""),
    ("burst_max_over_mean", "ratio", at_most(1.25), "the scorer sum"),
    ("shares_deviation", "share", at_most(0.10), ""),
    ("prefix_hit_share", "share", None, "least requests"),
    ("prefix_ttft_p90_over_load_only", "ratio", at_most(1.0), ""),
    ("prefix_ttft_p90_over_prefix_only", "ratio", at_most(1.0), ""),
    ("prefix_throughput_over_load_only", "ratio", None, ""),
    ("prefix_throughput_over_prefix_only", "ratio", None, ""),
    ("cost_dollars_ratio", "ratio", at_most(1.0), ""),
    ("cost_missed_points", "points", at_most(1.0), ""),
    ("replicas_2_e2e_p50_ratio", "ratio", at_most(1.05), "two who tell each other nothing"),
    ("replicas_2_e2e_p90_ratio", "ratio", at_most(1.05), "two who tell each other nothing"),
    ("replicas_2_ttft_p90_ratio", "ratio", at_most(1.10), "two who tell each other nothing"),
    ("replicas_2_hit_rate_ratio", "ratio", None, "two who tell each other nothing"),
    ("replicas_2_prefix_ttft_p50_ratio", "ratio", at_most(1.05), "two who tell each other nothing"),
    ("replicas_2_prefix_ttft_p90_ratio", "ratio", at_most(1.10), "two who tell each other nothing"),
    ("replicas_2_burst_max_over_mean", "ratio", None, "one picker"),
    ("overload_critical_p99_ratio", "ratio", at_most(1.10), ""),
    ("overload_jain", "index", Some(Aim::AtLeast(0.95)), ""),
    ("overload_answers_share", "share", None, ""),
];

/// Measures them.
///
/// # Errors
/// When the picker does not play, or prints what is not known here.
pub(super) async fn measure(context: &Context) -> Result<Vec<Figure>> {
    let mut command = context.program("signalbox-picker")?;
    command.args(["simulate", "--comparison"]).stdout(Stdio::piped()).kill_on_drop(true);
    let output = command.spawn()?.wait_with_output().await?;
    ensure!(output.status.success(), "simulate ended with {}; what it said is above", output.status);
    line::figures(output.stdout, DEFINITIONS)
}

#[cfg(test)]
mod tests {
    use super::{
        super::line::{Line, figure},
        *,
    };

    #[test]
    fn every_figure_is_defined() {
        let defined: Vec<_> = DEFINITIONS.iter().map(|(name, ..)| *name).collect();
        assert_eq!(defined, NAMES);
        let line =
            |name: &str| Line { name: name.into(), value: 0.9, baseline: Some(1.2), how: String::new() };
        assert_eq!(figure(line("mixed_worst_percentile_ratio"), DEFINITIONS).unwrap().is_met(), Some(true));
        assert!(figure(line("speed"), DEFINITIONS).is_err());
    }
}
