//! Where spans go, as the environment says.

use std::time::Duration;

use super::sampling::Sampling;

/// What the `OTEL_…` variables say.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The collector.
    pub endpoint: String,
    /// Which requests are traced.
    pub sampling: Sampling,
    /// Spans that wait to be exported.
    pub queue: usize,
    /// Spans of one export.
    pub batch: usize,
    /// How long a span waits for others.
    pub delay: Duration,
}

impl Settings {
    /// Of the environment; None when nothing is to be exported. What cannot be used is told to `problem`, and its default is
    /// used.
    pub fn of(variable: impl Fn(&str) -> Option<String>, mut problem: impl FnMut(String)) -> Option<Self> {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let endpoint = set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
        let endpoint = endpoint.or_else(|| set("OTEL_EXPORTER_OTLP_ENDPOINT"))?;
        let disabled = set("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        if disabled || set("OTEL_TRACES_EXPORTER").as_deref() == Some("none") {
            return None;
        }
        let protocol = set("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL");
        if let Some(other) =
            protocol.or_else(|| set("OTEL_EXPORTER_OTLP_PROTOCOL")).filter(|name| name != "grpc")
        {
            problem(format!("OTEL_EXPORTER_OTLP_PROTOCOL {other:?} is not spoken here; grpc is used"));
        }
        let sampler = set("OTEL_TRACES_SAMPLER").unwrap_or_else(|| "parentbased_always_on".to_owned());
        let sampling = Sampling::of(&sampler, set("OTEL_TRACES_SAMPLER_ARG").as_deref());
        let sampling = sampling.unwrap_or_else(|error| {
            problem(format!("{error}; parentbased_always_on is used"));
            Sampling::default()
        });
        let mut number = |name: &str, usual: usize| match set(name).map(|value| value.parse::<usize>()) {
            None => usual,
            Some(Ok(number)) if (1..=1_000_000).contains(&number) => number,
            Some(_) => {
                problem(format!("{name} is not a number from 1 to 1000000; {usual} is used"));
                usual
            }
        };
        Some(Self {
            endpoint,
            sampling,
            queue: number("OTEL_BSP_MAX_QUEUE_SIZE", 2_048),
            batch: number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512),
            delay: Duration::from_millis(number("OTEL_BSP_SCHEDULE_DELAY", 5_000) as u64),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> (Option<Settings>, Vec<String>) {
        let mut problems = Vec::new();
        let find = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        (Settings::of(find, |problem| problems.push(problem)), problems)
    }

    #[test]
    fn nothing_is_exported_without_an_endpoint() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:4317");
        for off in [
            &[("OTEL_SERVICE_NAME", "x")][..],
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")],
            &[endpoint, ("OTEL_SDK_DISABLED", "true")],
            &[endpoint, ("OTEL_TRACES_EXPORTER", "none")],
        ] {
            assert_eq!(of(off), (None, Vec::new()), "{off:?}");
        }
        let (settings, problems) = of(&[
            endpoint,
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://b:4317"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "7"),
        ]);
        let settings = settings.unwrap();
        assert_eq!((settings.endpoint.as_str(), settings.queue, settings.batch), ("http://b:4317", 7, 512));
        assert!(settings.sampling == Sampling::default() && problems.is_empty());
    }

    #[test]
    fn mistakes_are_told_and_change_nothing() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:4317");
        let usual = of(&[endpoint]).0;
        for (name, value) in [
            ("OTEL_TRACES_SAMPLER", "xray"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ] {
            let (settings, problems) = of(&[endpoint, (name, value)]);
            assert_eq!(settings, usual, "{name}");
            assert!(problems.len() == 1 && problems[0].contains(name), "{problems:?}");
        }
    }
}
