//! Which requests are traced.

use crate::request::Traceparent;

/// `OTEL_TRACES_SAMPLER`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// A request that belongs to a trace is traced as that is.
    pub parent_based: bool,
    /// The share of the others, 0 to 1, by the trace's id: all who use the same share trace the same.
    pub ratio: f64,
}

impl Sampling {
    /// Of the variables' values.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn of(sampler: &str, argument: Option<&str>) -> Result<Self, String> {
        let (parent_based, root) = match sampler.strip_prefix("parentbased_") {
            Some(root) => (true, root),
            None => (false, sampler),
        };
        let ratio = match root {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => match argument.map(str::parse::<f64>) {
                None => 1.0,
                Some(Ok(ratio)) if (0.0..=1.0).contains(&ratio) => ratio,
                Some(_) => return Err("OTEL_TRACES_SAMPLER_ARG is not between 0 and 1".to_owned()),
            },
            _ => return Err(format!("OTEL_TRACES_SAMPLER {sampler:?} is not known here")),
        };
        Ok(Self { parent_based, ratio })
    }

    /// Whether a request with `parent` is traced, in the trace `id`.
    pub(super) fn samples(&self, parent: Option<&Traceparent>, id: u128) -> bool {
        match parent {
            Some(parent) if self.parent_based => parent.sampled,
            // As OpenTelemetry's libraries do: the low 63 bits as a share.
            _ => self.ratio >= 1.0 || ((id as u64 >> 1) as f64) < self.ratio * (1_u64 << 63) as f64,
        }
    }
}

impl Default for Sampling {
    fn default() -> Self {
        Self { parent_based: true, ratio: 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samplers_follow_the_parent_or_the_traces_id() {
        let parent = |sampled| Traceparent { trace: 1, span: 1, sampled };
        let (low, high) = (1, u128::from(u64::MAX));
        for (sampler, argument, sampled, unsampled, root_low, root_high) in [
            ("always_on", None, true, true, true, true),
            ("always_off", None, false, false, false, false),
            ("traceidratio", Some("0.5"), true, true, true, false),
            ("parentbased_always_on", None, true, false, true, true),
            ("parentbased_always_off", None, true, false, false, false),
            ("parentbased_traceidratio", Some("0.5"), true, false, true, false),
        ] {
            let sampling = Sampling::of(sampler, argument).unwrap();
            let told = [
                sampling.samples(Some(&parent(true)), low),
                sampling.samples(Some(&parent(false)), low),
                sampling.samples(None, low),
                sampling.samples(None, high),
            ];
            assert_eq!(told, [sampled, unsampled, root_low, root_high], "{sampler}");
        }
        assert!(Sampling::of("xray", None).unwrap_err().contains("xray"));
        assert!(Sampling::of("traceidratio", Some("7")).is_err());
    }
}
