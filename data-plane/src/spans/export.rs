//! Sends spans to the collector, some at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::Context as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::recorder::Spans;
use super::settings::Settings;

/// What waits in the queue.
#[derive(Debug)]
pub(super) enum Item {
    Span(Box<SpanData>),
    /// Export what came before, and answer.
    Flush(oneshot::Sender<()>),
}

/// The end of the queue.
#[derive(Debug)]
pub struct Export {
    exporter: SpanExporter,
    queue: mpsc::Receiver<Item>,
    batch: usize,
    delay: Duration,
    counts: Arc<Counts>,
}

/// Spans that were exported, and that could not be.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) exported: AtomicU64,
    pub(super) failed: AtomicU64,
}

/// Both ends of a queue to the collector, and its counters. To be called within a runtime.
///
/// # Errors
/// The endpoint cannot be used; the message names it.
pub(super) fn queue(settings: &Settings) -> anyhow::Result<(Arc<Spans>, Export, Arc<Counts>)> {
    let exporter = SpanExporter::builder().with_tonic().with_endpoint(&settings.endpoint).build();
    let mut exporter =
        exporter.with_context(|| format!("OTEL_EXPORTER_OTLP_ENDPOINT {}", settings.endpoint))?;
    exporter.set_resource(&resource());
    let (sender, queue) = mpsc::channel(settings.queue);
    let counts = Arc::new(Counts::default());
    let spans = Arc::new(Spans::new(settings.sampling, sender));
    let (batch, delay) = (settings.batch, settings.delay);
    Ok((spans, Export { exporter, queue, batch, delay, counts: Arc::clone(&counts) }, counts))
}

/// What the environment says that this process is.
fn resource() -> Resource {
    let resource = Resource::builder().build();
    let name = resource.get(&"service.name".into());
    match name.is_none_or(|name| name.as_str().starts_with("unknown_service")) {
        true => Resource::builder().with_service_name("signalbox-picker").build(),
        false => resource,
    }
}

impl Export {
    /// Exports what comes, until nobody can send any more.
    pub async fn run(mut self) -> anyhow::Result<()> {
        while let Some(first) = self.queue.recv().await {
            let (batch, flushed) = self.gather(first).await;
            if !batch.is_empty() {
                self.send(batch).await;
            }
            if flushed.is_some_and(|flushed| flushed.send(()).is_err()) {
                tracing::debug!("nobody waits for the export of spans any more");
            }
        }
        Ok(())
    }

    /// The spans of one export, which begins with `first`.
    async fn gather(&mut self, first: Item) -> (Vec<SpanData>, Option<oneshot::Sender<()>>) {
        let until = Instant::now() + self.delay;
        let mut batch = Vec::new();
        let mut item = Some(first);
        loop {
            match item {
                Some(Item::Span(span)) => batch.push(*span),
                Some(Item::Flush(flushed)) => return (batch, Some(flushed)),
                None => return (batch, None),
            }
            if batch.len() >= self.batch {
                return (batch, None);
            }
            item = timeout_at(until, self.queue.recv()).await.unwrap_or_default();
        }
    }

    async fn send(&self, batch: Vec<SpanData>) {
        let count = batch.len() as u64;
        match self.exporter.export(batch).await {
            Ok(()) => self.counts.exported.fetch_add(count, Relaxed),
            Err(error) => {
                tracing::debug!(%error, count, "spans were not exported");
                self.counts.failed.fetch_add(count, Relaxed)
            }
        };
    }
}

impl Spans {
    /// Spans for the collector of `settings`: what makes them, what exports them (a task), and what counts them.
    ///
    /// # Errors
    /// The endpoint cannot be used; the message names it.
    pub fn to(settings: &Settings) -> anyhow::Result<(Arc<Self>, Export, super::SpanCollector)> {
        let (spans, export, counts) = queue(settings)?;
        let collector = super::SpanCollector { spans: Arc::clone(&spans), counts };
        Ok((spans, export, collector))
    }

    /// Waits until what was made so far is exported, at most `within`.
    pub async fn flush(&self, within: Duration) {
        let (flushed, done) = oneshot::channel();
        let flush = async {
            if self.queue().send(Item::Flush(flushed)).await.is_ok() {
                // It is dropped when the export has ended.
                drop(done.await);
            }
        };
        // What is left is lost; the process ends.
        drop(tokio::time::timeout(within, flush).await);
    }
}
