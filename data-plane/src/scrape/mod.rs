//! Scrapes of model servers: metrics with their time.

use std::sync::Arc;
use std::time::Duration;

use crate::pool::Pools;

/// How often, and how patiently.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScrapeConfig {
    /// Between scrapes of an endpoint that has requests.
    pub interval: Duration,
}

/// Counters.
#[derive(Debug, Default)]
pub struct ScrapeCounters;

/// Scrapes the endpoints of all pools, until dropped.
pub async fn run(_pools: Pools, _config: ScrapeConfig, _counters: Arc<ScrapeCounters>) {
    std::future::pending().await
}
