//! When each endpoint is scraped. One future drives all of them; nothing is spawned.
//!
//! ```text
//! tick ─▶ endpoints due ─▶ waiting line ─ at most `concurrency` ─▶ running ─ end ─▶ next due
//! ```
//!
//! The line holds each endpoint at most once. When scrapes take longer than there is time for, the interval grows.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::pool::{Pools, Slot};

use super::counters::ScrapeCounters;
use super::target::{End, Target};

/// How often, and how patiently.
#[derive(Clone, Copy, Debug)]
pub struct ScrapeConfig {
    /// Between scrapes of an endpoint that has requests.
    pub interval: Duration,
    /// Up to this while it has none.
    pub idle_interval: Duration,
    /// For connection, request and response together.
    pub timeout: Duration,
    /// Scrapes at the same time.
    pub concurrency: usize,
    /// Ask only for the wanted series where model servers can.
    pub narrow: bool,
}

impl Default for ScrapeConfig {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(50),
            idle_interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            concurrency: 64,
            narrow: true,
        }
    }
}

/// Scrapes the endpoints of all pools, until dropped.
pub async fn run(pools: Pools, config: ScrapeConfig, counters: Arc<ScrapeCounters>) {
    let mut schedule = Schedule { config, generation: None, entries: BTreeMap::new(), line: VecDeque::new() };
    let mut ticks = ticks(config.interval);
    let mut running = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            Some((target, end, started)) = running.next() => schedule.settle(target, end, started),
            _ = ticks.tick() => {
                if schedule.reconcile(&pools) {
                    ticks = self::ticks(schedule.tick());
                    ticks.reset();
                }
                let waiting = schedule.line_up(Instant::now());
                ScrapeCounters::add(&counters.delayed, waiting as u64);
            }
        }
        while running.len() < config.concurrency
            && let Some(target) = schedule.next()
        {
            running.push(scrape(target, config.timeout, &counters));
        }
    }
}

fn ticks(every: Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(every.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks
}

async fn scrape(
    mut target: Box<Target>,
    timeout: Duration,
    counters: &ScrapeCounters,
) -> (Box<Target>, End, Instant) {
    let started = Instant::now();
    let end = target.scrape(timeout, counters).await;
    (target, end, started)
}

/// One endpoint between its scrapes.
#[derive(Debug)]
struct Entry {
    slot: Arc<Slot>,
    /// The endpoint's engine, as told.
    engine: String,
    /// None while it is being scraped.
    target: Option<Box<Target>>,
    started: Instant,
    /// From `started` to the next scrape, unless requests come earlier.
    wait: Duration,
    in_line: bool,
}

struct Schedule {
    config: ScrapeConfig,
    generation: Option<u64>,
    entries: BTreeMap<SocketAddr, Entry>,
    line: VecDeque<SocketAddr>,
}

impl Schedule {
    /// Endpoints are spread over the interval so that many of them do not take one long turn: eight per tick, at most
    /// ten ticks.
    fn tick(&self) -> Duration {
        let parts = (self.entries.len() / 8).clamp(1, 10) as u32;
        self.config.interval / parts
    }

    /// Takes over the endpoints of `pools`, if they changed.
    fn reconcile(&mut self, pools: &Pools) -> bool {
        let generation = Some(pools.generation());
        if generation == self.generation {
            return false;
        }
        self.generation = generation;
        let now = Instant::now();
        let mut old = std::mem::take(&mut self.entries);
        for pool in pools.all() {
            for endpoint in &pool.snapshot().endpoints {
                let address = endpoint.address();
                let same = |entry: &Entry| {
                    Arc::ptr_eq(&entry.slot, &endpoint.slot) && entry.engine == endpoint.engine
                };
                let entry = old.remove(&address).filter(same).unwrap_or_else(|| Entry {
                    slot: Arc::clone(&endpoint.slot),
                    engine: endpoint.engine.clone(),
                    target: Some(Box::new(Target::new(
                        Arc::clone(&endpoint.slot),
                        &endpoint.engine,
                        self.config.narrow,
                    ))),
                    started: now,
                    wait: phase(address, self.config.interval),
                    in_line: false,
                });
                self.entries.entry(address).or_insert(entry);
            }
        }
        let entries = &self.entries;
        self.line.retain(|address| entries.get(address).is_some_and(|entry| entry.in_line));
        true
    }

    /// Puts the endpoints that are due into the line; how many were there already.
    fn line_up(&mut self, now: Instant) -> usize {
        let waiting = self.line.len();
        let soon = now + self.tick() / 2;
        for (address, entry) in &mut self.entries {
            let wait =
                if entry.slot.in_flight() > 0 { entry.wait.min(self.config.interval) } else { entry.wait };
            if entry.target.is_some() && !entry.in_line && entry.started + wait <= soon {
                entry.in_line = true;
                self.line.push_back(*address);
            }
        }
        waiting
    }

    /// The next target to scrape.
    fn next(&mut self) -> Option<Box<Target>> {
        loop {
            let address = self.line.pop_front()?;
            let Some(entry) = self.entries.get_mut(&address) else { continue };
            entry.in_line = false;
            if let Some(target) = entry.target.take() {
                return Some(target);
            }
        }
    }

    /// A scrape ended. A target whose endpoint left meanwhile is dropped.
    fn settle(&mut self, target: Box<Target>, end: End, started: Instant) {
        let Some(entry) = self.entries.get_mut(&target.slot.address()) else { return };
        if !Arc::ptr_eq(&entry.slot, &target.slot) || entry.target.is_some() {
            return;
        }
        let ScrapeConfig { interval, idle_interval, .. } = self.config;
        let slower = (entry.wait.max(interval) * 2).min(idle_interval.max(interval));
        entry.wait = match end {
            End::Read { busy: true } => interval,
            // The first failures are looked at again at once, so that an endpoint that dies is known soon.
            End::Failed(failures) if failures < 4 => interval,
            End::Read { busy: false } | End::Useless | End::Failed(_) => slower,
        };
        entry.started = started;
        entry.target = Some(target);
    }
}

/// Where in the interval an endpoint's scrapes lie.
fn phase(address: SocketAddr, interval: Duration) -> Duration {
    let port = u64::from(address.port());
    let host = match address.ip() {
        std::net::IpAddr::V4(ip) => u64::from(ip.to_bits()),
        std::net::IpAddr::V6(ip) => ip.to_bits() as u64,
    };
    let spread = (host.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ port.wrapping_mul(0xc2b2_ae3d_27d4_eb4f)) >> 48;
    interval.mul_f64(spread as f64 / 65_536.0)
}
