//! Counts of spans, as metrics.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use super::export::Counts;
use super::recorder::Spans;

/// `signalbox_picker_spans_total{result}`.
#[derive(Debug)]
pub struct SpanCollector {
    pub(super) spans: Arc<Spans>,
    pub(super) counts: Arc<Counts>,
}

impl Collector for SpanCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Spans that were exported, dropped because the queue was full, or failed to be exported";
        let mut spans = encoder.encode_descriptor("spans", help, None, MetricType::Counter)?;
        for (result, count) in [
            ("exported", self.counts.exported.load(Relaxed)),
            ("dropped", self.spans.dropped()),
            ("failed", self.counts.failed.load(Relaxed)),
        ] {
            ConstCounter::new(count).encode(spans.encode_family(&[("result", result)])?)?;
        }
        Ok(())
    }
}
