//! How many decisions are recorded and kept, as metrics.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::{Decisions, Kept};

/// `signalbox_picker_decisions_recorded_total{why}`, `decisions_kept` and `decisions_kept_bytes`.
#[derive(Debug)]
pub struct DecisionCollector(pub Arc<Decisions>);

impl Collector for DecisionCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut recorded = encoder.encode_descriptor(
            "decisions_recorded",
            "Decisions recorded to be explained: asked for, refused, or sampled",
            None,
            MetricType::Counter,
        )?;
        for (why, count) in self.0.recorded() {
            ConstCounter::new(count).encode(recorded.encode_family(&[("why", why.name())])?)?;
        }
        let Kept { records, bytes, .. } = self.0.kept(tokio::time::Instant::now().into_std());
        for (name, help, value) in [
            ("decisions_kept", "Recorded decisions that are kept", records),
            ("decisions_kept_bytes", "Bytes of recorded decisions that are kept", bytes),
        ] {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        Ok(())
    }
}
