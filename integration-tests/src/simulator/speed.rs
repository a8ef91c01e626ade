//! Decides how long a step of the simulated engine takes.

use std::time::Duration;

use anyhow::{Result, bail};

/// How fast an accelerator is, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speed {
    /// Prefill time of a request beside its tokens.
    pub prefill_overhead_ms: f64,
    /// Prefill time of one uncached token.
    pub prefill_ms_per_token: f64,
    /// Inter-token latency apart from the batch.
    pub itl_base_ms: f64,
    /// Inter-token latency for each sequence of the batch.
    pub itl_per_sequence_ms: f64,
    /// All times are divided by this.
    pub factor: f64,
}

/// Starting points: (name, prefill overhead, prefill per token, latency base, latency per sequence). H100, A100 and
/// L40S follow the figures that accelerator-aware picking is measured against; the L4 and the MI300X keep their
/// ratio to them. `instant` is for tests that are not about time.
const PROFILES: &[(&str, f64, f64, f64, f64)] = &[
    ("instant", 0.0, 0.0, 0.0, 0.0),
    ("h100", 30.0, 0.25, 11.75, 0.25),
    ("a100", 35.0, 0.42, 19.5, 0.5),
    ("l40s", 40.0, 0.85, 29.2, 0.8),
    ("l4", 50.0, 1.40, 43.8, 1.2),
    ("mi300x", 25.0, 0.19, 13.75, 0.25),
];

impl Speed {
    /// A named starting point; every figure of it can be overridden.
    ///
    /// # Errors
    /// When the name is not known; the message lists those that are.
    pub fn profile(name: &str) -> Result<Self> {
        let Some(&(_, overhead, per_token, base, per_sequence)) =
            PROFILES.iter().find(|profile| profile.0 == name)
        else {
            let known: Vec<_> = PROFILES.iter().map(|profile| profile.0).collect();
            bail!("no profile {name:?}; known are {}", known.join(", "));
        };
        Ok(Self {
            prefill_overhead_ms: overhead,
            prefill_ms_per_token: per_token,
            itl_base_ms: base,
            itl_per_sequence_ms: per_sequence,
            factor: 1.0,
        })
    }

    /// Time of a step that begins `prefills` prompts, computes `prefill_tokens` of prompts, and advances `decodes`
    /// sequences by a token, and beside that takes `extra_ms`.
    pub fn step(&self, prefills: usize, prefill_tokens: usize, decodes: usize, extra_ms: f64) -> Duration {
        let mut ms = extra_ms
            + prefills as f64 * self.prefill_overhead_ms
            + prefill_tokens as f64 * self.prefill_ms_per_token;
        if decodes > 0 {
            ms += self.itl_base_ms + decodes as f64 * self.itl_per_sequence_ms;
        }
        Duration::from_secs_f64(ms / 1000.0 / self.factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps() {
        let h100 = Speed::profile("h100").unwrap();
        assert_eq!(h100.step(1, 1000, 0, 0.0), Duration::from_millis(280));
        assert_eq!(h100.step(0, 0, 1, 0.0), Duration::from_millis(12));
        assert_eq!(h100.step(0, 0, 9, 0.0), Duration::from_millis(14));
        let tenfold = Speed { factor: 10.0, ..h100 };
        assert_eq!(tenfold.step(1, 1000, 1, 8.0), Duration::from_millis(30));
    }
}
