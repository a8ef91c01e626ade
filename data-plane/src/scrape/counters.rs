//! What happened to scrapes.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

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
