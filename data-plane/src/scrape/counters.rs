//! What happened to scrapes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

/// Counted since the start of the process. Every scrape ends in exactly one of the first seven.
#[derive(Debug, Default)]
pub struct ScrapeCounters {
    /// Gave a reading.
    pub read: AtomicU64,
    /// Answered, with no metric that we know.
    pub empty: AtomicU64,
    /// Answered with another status than 200.
    pub status: AtomicU64,
    /// Answered with what is not HTTP, or too large.
    pub protocol: AtomicU64,
    /// The connection was refused or could not be made.
    pub refused: AtomicU64,
    /// The connection broke.
    pub reset: AtomicU64,
    /// Took too long.
    pub timeout: AtomicU64,
    /// Samples of wanted metrics with NaN, infinite, negative or unreadable values.
    pub ignored_samples: AtomicU64,
    /// Due scrapes that had to wait for others to end.
    pub delayed: AtomicU64,
    /// Bytes of pages read.
    pub bytes: AtomicU64,
}

impl ScrapeCounters {
    pub(super) fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Relaxed);
    }
}

/// `signalbox_picker_scrapes_total{result}`, `scrape_bytes_total`, `scrape_ignored_samples_total` and
/// `scrapes_delayed_total`.
#[derive(Debug)]
pub struct ScrapeCollector(pub Arc<ScrapeCounters>);

impl Collector for ScrapeCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let c = &*self.0;
        let mut results = encoder.encode_descriptor(
            "scrapes",
            "Scrapes of endpoints by result",
            None,
            MetricType::Counter,
        )?;
        for (result, count) in [
            ("read", &c.read),
            ("empty", &c.empty),
            ("status", &c.status),
            ("protocol", &c.protocol),
            ("refused", &c.refused),
            ("reset", &c.reset),
            ("timeout", &c.timeout),
        ] {
            ConstCounter::new(count.load(Relaxed)).encode(results.encode_family(&[("result", result)])?)?;
        }
        for (name, help, count) in [
            ("scrape_bytes", "Bytes of pages read", &c.bytes),
            ("scrape_ignored_samples", "Samples with values that mean nothing", &c.ignored_samples),
            ("scrapes_delayed", "Due scrapes that waited for others to end", &c.delayed),
        ] {
            let counter = ConstCounter::new(count.load(Relaxed));
            counter.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        Ok(())
    }
}
