//! The composition root: sources, servers and their tasks, readiness, and the order of draining.
//!
//! ```text
//! source ─▶ Pools ◀─ scrape        ext_proc (9002), health (9003), admin (9090) ─▶ Lanes ─▶ Pools ◀─▶ peers (9004)
//! SIGTERM ─▶ NOT_SERVING ─ drain delay ─▶ GOAWAY, no new connections ─ streams end, or drain timeout ─▶ exit 0
//!                                                                        (shortly before: 503 to those that wait)
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::admin::{self, Admin};
use crate::cli::Args;
use crate::config::{Config, Source};
use crate::decisions::DecisionCollector;
use crate::events::{self, EventCounters};
use crate::extproc::connection::Service;
use crate::extproc::health::Health;
use crate::extproc::lane::Lanes;
use crate::extproc::server::{self, Connections, Options, bind};
use crate::learned;
use crate::metrics::Metrics;
use crate::peers::{self, PeerCounters, PeersConfig};
use crate::pool::Pools;
use crate::pool::collector::{PeerCollector, PoolCollector};
use crate::pool::source::{files, tier};
use crate::scrape::{self, ScrapeCollector, ScrapeConfig, ScrapeCounters};
use crate::spans::{self, Spans};
use crate::tasks::{Ended, TaskSet};
use crate::tls::Acceptor;
use crate::tokenizer::{Counter, Places, Shelf, TokenizerCollector};

const EXT_PROC: &str = "ext-proc";
/// How soon readiness follows the pools.
const READINESS: Duration = Duration::from_millis(50);
/// How soon the end of the parent process is noticed.
const PARENT: Duration = Duration::from_millis(250);
/// Before open streams are cut, requests that still wait are told so.
const LAST_WORD: Duration = Duration::from_millis(500);
/// At the end, how long the collector may take for the spans that are left.
const LAST_SPANS: Duration = Duration::from_secs(1);
/// How often a pools file is looked at.
const POOLS_FILE: Duration = Duration::from_millis(500);

/// Runs a picker until it is told to end.
///
/// # Errors
/// A port cannot be opened, or a task ended although nothing told it to.
pub async fn run(config: Config) -> anyhow::Result<()> {
    // Before anything else, so that a parent that ends during the start is noticed.
    let parent = std::os::unix::process::parent_id();
    let told = told_to_end(config.args.die_with_parent.then_some(parent))?;
    let health = Health::default();
    let mut tasks = TaskSet::default();
    let args = config.args.clone();
    let lanes = start(config, &health, &mut tasks).await?;
    let why = tokio::select! {
        ended = tasks.ended() => return Err(unexpected(ended)),
        why = told => why,
    };
    tracing::info!(why, "draining");
    drain(&args, &health, &lanes, &mut tasks).await;
    Ok(())
}

/// Becomes the reason for which this process is told to end.
fn told_to_end(parent: Option<u32>) -> std::io::Result<impl Future<Output = &'static str>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            () = parent_ended(parent.unwrap_or_default()), if parent.is_some() => "the parent process ended",
        }
    })
}

fn unexpected(ended: Ended) -> anyhow::Error {
    match ended.result {
        Ok(()) => anyhow::anyhow!("task {} ended", ended.name),
        Err(error) => error.context(format!("task {} failed", ended.name)),
    }
}

async fn drain(args: &Args, health: &Health, lanes: &Lanes, tasks: &mut TaskSet) {
    health.drain();
    tokio::time::sleep(args.drain_delay).await;
    health.close();
    let mut open = std::pin::pin!(async { while tasks.ended().await.name != EXT_PROC {} });
    let waiting = args.drain_timeout.saturating_sub(LAST_WORD);
    let mut ended = tokio::time::timeout(waiting, &mut open).await;
    if ended.is_err() {
        lanes.close();
        ended = tokio::time::timeout(args.drain_timeout - waiting, &mut open).await;
    }
    match ended {
        Ok(()) => tracing::info!("drained"),
        Err(_) => tracing::warn!("drain timeout passed, open streams are cut"),
    }
    if let Some(spans) = &lanes.spans {
        spans.flush(LAST_SPANS).await;
    }
}

async fn start(config: Config, health: &Health, tasks: &mut TaskSet) -> anyhow::Result<Arc<Lanes>> {
    let Config { args, source, policy, decisions, peers, tls, workers } = config;
    let (ext_proc, plain, http) =
        tokio::try_join!(bind(args.listen), bind(args.health_listen), bind(args.metrics_listen))?;
    if let Some(path) = &args.metrics_address_path {
        let written = std::fs::write(path, http.local_addr()?.to_string());
        written.with_context(|| format!("--metrics-address-path: cannot write {}", path.display()))?;
    }
    let metrics = Arc::new(Metrics::new());
    let pools = Pools::new(Instant::now());
    let counter = counter(&args, &metrics, tasks);
    let lanes = Lanes::new(pools.clone(), policy, Arc::clone(&metrics)).recording(decisions);
    let spans = spans(&metrics, tasks)?;
    let lanes = Arc::new(lanes.counting(counter).tracing(spans));
    if let Some(path) = args.learned_file.clone() {
        learned::restore(&pools, &path);
        let pools = pools.clone();
        tasks.spawn("learned", async move {
            learned::keep(pools, path).await;
            Ok(())
        });
    }
    let scraped = Arc::new(ScrapeCounters::default());
    show(&lanes, &scraped);
    start_source(source, &pools, tasks);
    if let Some(peers) = peers {
        start_peers(peers, bind(args.peers.peers_listen).await?, &lanes, tasks);
    }
    let readiness = (health.clone(), pools.clone());
    tasks.spawn("readiness", async move { follow(readiness.0, readiness.1).await });
    let counters = EventCounters::default();
    metrics.extend(|registry| counters.register(registry));
    let followed = pools.clone();
    tasks.spawn("kv-events", async move {
        events::run(followed, counters).await;
        Ok(())
    });
    tasks.spawn("scrape", async move {
        scrape::run(pools, ScrapeConfig::default(), scraped).await;
        Ok(())
    });
    let tended = Arc::clone(&lanes);
    tasks.spawn("queues", async move {
        tended.tend().await;
        Ok(())
    });
    start_servers(tasks, ext_proc, plain, Servers { lanes: &lanes, health, tls, workers });
    let router = admin::router(Admin { lanes: Arc::clone(&lanes), health: health.clone() });
    tasks.spawn("admin", async move { Ok(axum::serve(http, router).await?) });
    tracing::info!(ext_proc = %args.listen, health = %args.health_listen, metrics = %args.metrics_listen, "serving");
    Ok(lanes)
}

/// Exports spans, where the environment says so.
fn spans(metrics: &Metrics, tasks: &mut TaskSet) -> anyhow::Result<Option<Arc<Spans>>> {
    let variable = |name: &str| std::env::var(name).ok();
    let problem = |problem| tracing::warn!(%problem, "a setting of traces cannot be used");
    let Some(settings) = spans::Settings::of(variable, problem) else { return Ok(None) };
    let (spans, export, collector) = Spans::to(&settings)?;
    metrics.extend(|ours| ours.register_collector(Box::new(collector)));
    tasks.spawn("spans", export.run());
    tracing::info!(endpoint = settings.endpoint, "spans are exported");
    Ok(Some(spans))
}

/// Counts tokens, where there are tokenizers.
fn counter(args: &Args, metrics: &Metrics, tasks: &mut TaskSet) -> Option<Arc<Counter>> {
    let places = Places { named: args.tokenizer.clone(), directory: args.tokenizers.clone() };
    if places.is_empty() {
        return None;
    }
    let shelf = Arc::new(Shelf::new(places));
    tasks.spawn("tokenizers", Arc::clone(&shelf).follow());
    let counter = Arc::new(Counter::new(shelf, args.tokenizer_deadline));
    metrics.extend(|ours| ours.register_collector(Box::new(TokenizerCollector(Arc::clone(&counter)))));
    Some(counter)
}

/// Adds what is read when it is asked for to the metrics of `lanes`.
pub fn show(lanes: &Lanes, scraped: &Arc<ScrapeCounters>) {
    let pools = lanes.pools();
    lanes.metrics.extend(|ours| {
        ours.register_collector(Box::new(PoolCollector(pools.clone())));
        ours.register_collector(Box::new(ScrapeCollector(Arc::clone(scraped))));
        ours.register_collector(Box::new(DecisionCollector(Arc::clone(&lanes.decisions))));
    });
    lanes.metrics.extend_peers(|peers| {
        for prefix in ["llm_d_epp", "inference_pool"] {
            let peer = peers.sub_registry_with_prefix(prefix);
            peer.register_collector(Box::new(PeerCollector(pools.clone())));
        }
    });
}

struct Servers<'a> {
    lanes: &'a Arc<Lanes>,
    health: &'a Health,
    tls: Option<Arc<Acceptor>>,
    workers: usize,
}

fn start_servers(tasks: &mut TaskSet, ext_proc: TcpListener, plain: TcpListener, servers: Servers<'_>) {
    let Servers { lanes, health, tls, workers } = servers;
    let metrics = &lanes.metrics;
    let connections =
        Connections { open: metrics.connections.clone(), errors: metrics.connection_errors.clone() };
    if let Some(tls) = tls.clone() {
        tasks.spawn("certificate", async move {
            tls.follow().await;
            Ok(())
        });
    }
    let service = |lanes| Arc::new(Service { lanes, health: health.clone() });
    let options = Options { service: service(Some(Arc::clone(lanes))), tls, workers, connections };
    tasks.spawn(EXT_PROC, async move { Ok(server::run(ext_proc, options).await?) });
    let options =
        Options { service: service(None), tls: None, workers: 1, connections: Connections::default() };
    tasks.spawn("health", async move { Ok(server::run(plain, options).await?) });
}

/// Others are told and heard until the process ends, while it drains, too: it still has requests in flight.
fn start_peers(config: Arc<PeersConfig>, listener: TcpListener, lanes: &Lanes, tasks: &mut TaskSet) {
    let counters = PeerCounters::default();
    lanes.metrics.extend(|registry| counters.register(registry));
    let pools = lanes.pools().clone();
    let told = peers::Told::new(Arc::clone(&config), pools.clone(), counters.clone());
    tasks.spawn("peers-tell", peers::serve(listener, told));
    tasks.spawn("peers-hear", async move {
        peers::run(config, pools, counters).await;
        Ok(())
    });
}

fn start_source(source: Source, pools: &Pools, tasks: &mut TaskSet) {
    let pools = pools.clone();
    match source {
        Source::Tier(config) => tasks.spawn("pools", async move {
            {
                tier::run(pools, *config).await;
                Ok(())
            }
        }),
        Source::File(path) => tasks.spawn("pools", async move {
            files::run(pools, path, POOLS_FILE).await;
            Ok(())
        }),
    }
}

/// Keeps health at what the pools say.
async fn follow(health: Health, pools: Pools) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(READINESS);
    loop {
        ticks.tick().await;
        health.set_synced(pools.is_synced());
    }
}

/// Returns when this process has another parent than `parent`. (A death signal would follow the thread that started
/// this process, not the process.)
async fn parent_ended(parent: u32) {
    let mut ticks = tokio::time::interval(PARENT);
    while std::os::unix::process::parent_id() == parent {
        ticks.tick().await;
    }
}
