//! Counts of counts, as metrics.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::Counter;

/// `signalbox_picker_prompts_counted_total{result}`, `tokenizer_checks_total{result}` and `tokenizers{state}`.
#[derive(Debug)]
pub struct TokenizerCollector(pub Arc<Counter>);

impl Collector for TokenizerCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut counted = encoder.encode_descriptor(
            "prompts_counted",
            "Prompts for models with a tokenizer: counted, or estimated and why",
            None,
            MetricType::Counter,
        )?;
        for (result, count) in self.0.results() {
            ConstCounter::new(count).encode(counted.encode_family(&[("result", result.name())])?)?;
        }
        let mut checks = encoder.encode_descriptor(
            "tokenizer_checks",
            "Exact counts of prompts beside what model servers report",
            None,
            MetricType::Counter,
        )?;
        let (equal, different) = self.0.checks();
        for (result, count) in [("equal", equal), ("different", different)] {
            ConstCounter::new(count).encode(checks.encode_family(&[("result", result)])?)?;
        }
        let mut files =
            encoder.encode_descriptor("tokenizers", "Files of tokenizers", None, MetricType::Gauge)?;
        let (loaded, broken) = self.0.shelf().files();
        for (state, count) in [("loaded", loaded), ("broken", broken)] {
            let gauge = ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX));
            gauge.encode(files.encode_family(&[("state", state)])?)?;
        }
        Ok(())
    }
}
