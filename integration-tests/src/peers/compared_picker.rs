//! The policies that our picker is compared with, behind the ext_proc dialogue that ours is asked with. The request says
//! which one decides, so one process serves them all in turn.
//!
//! ```text
//! each endpoint's /metrics ─ every so often ─▶ Reading ─┐
//! request ─ x-compared-policy ──────────────────────────┴▶ policy (of the picker in virtual time) ─▶ endpoint, in flight until the answer ends
//! ```

mod exchange;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Result;
use clap::Parser;
use data_plane::{
    pool::Reading,
    scrape::{Scanner, engine_named},
    simulate::{least_by, scorer_sum},
};
use envoy_types::pb::envoy::service::ext_proc::v3::HttpHeaders;
use integration_tests::{
    client::Client,
    figures::{COMPARED_POLICY, Compared},
};
use parking_lot::Mutex;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

/// An ext_proc server with simple policies over vLLM servers.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    listen: exchange::Listen,
    /// An endpoint; may be given several times.
    #[arg(long = "endpoint", value_name = "ADDRESS:PORT", required = true)]
    endpoints: Vec<SocketAddr>,
    /// Milliseconds between two scrapes of an endpoint.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    scrape_ms: u64,
}

/// What policies look at.
struct Pool {
    endpoints: Vec<SocketAddr>,
    /// Locked to copy and to replace one; never over an await.
    readings: Mutex<Vec<Reading>>,
    in_flight: Vec<AtomicUsize>,
    turn: AtomicUsize,
}

/// One request.
struct Asked {
    pool: Arc<Pool>,
    policy: Compared,
    chosen: Option<usize>,
}

impl exchange::Chooser for Asked {
    fn hear(&mut self, headers: &HttpHeaders) {
        let all = headers.headers.iter().flat_map(|map| &map.headers);
        let named = all.filter(|header| header.key == COMPARED_POLICY).find_map(|header| {
            Compared::named(std::str::from_utf8(&header.raw_value).ok().filter(|text| !text.is_empty())?)
        });
        self.policy = named.unwrap_or(self.policy);
    }

    fn choose(&mut self) -> String {
        let index = self.pool.choose(self.policy);
        self.pool.in_flight[index].fetch_add(1, Relaxed);
        self.chosen = Some(index);
        self.pool.endpoints[index].to_string()
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some(index) = self.chosen {
            self.pool.in_flight[index].fetch_sub(1, Relaxed);
        }
    }
}

impl Pool {
    fn choose(&self, policy: Compared) -> usize {
        let (count, mut rng) = (self.endpoints.len(), fastrand::Rng::new());
        match policy {
            Compared::Random => rng.usize(..count),
            Compared::RoundRobin => self.turn.fetch_add(1, Relaxed) % count,
            Compared::LeastRequest => {
                least_by(count, &mut rng, |index| self.in_flight[index].load(Relaxed) as f64)
            }
            // The prompts of the comparison have no prefix in common, so nothing is cached for any.
            Compared::ScorerSum => scorer_sum(&self.readings.lock(), &vec![0; count], 1, &mut rng),
        }
    }

    /// Keeps the reading of one endpoint. A page that cannot be read leaves the last reading, as the picker that is
    /// imitated does.
    async fn scrape(self: Arc<Self>, index: usize, every: Duration) {
        let client = Client::new(self.endpoints[index]);
        let mut scanner = Scanner::new(engine_named("vllm"));
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Ok(page) = client.get("/metrics").await
                && page.status.is_success()
            {
                scanner.clear();
                scanner.feed(&page.body);
                let (reading, _) = scanner.finish();
                self.readings.lock()[index] = reading;
            }
        }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { listen, endpoints, scrape_ms } = Arguments::parse();
    let pool = Arc::new(Pool {
        readings: Mutex::new(vec![Reading::default(); endpoints.len()]),
        in_flight: endpoints.iter().map(|_| AtomicUsize::new(0)).collect(),
        turn: AtomicUsize::new(0),
        endpoints,
    });
    let mut scrapes = JoinSet::new();
    for index in 0..pool.endpoints.len() {
        scrapes.spawn(Arc::clone(&pool).scrape(index, Duration::from_millis(scrape_ms)));
    }
    let chooser = move || Asked { pool: Arc::clone(&pool), policy: Compared::Random, chosen: None };
    exchange::serve(listen, chooser).await
}
