//! What the picker costs by itself: CPU for each request, beside a do-nothing server that is asked in the same way.
//!
//! ```text
//! driver ─ h2c, 16 streams ─▶ naive-extproc (child)          CPU of the child ÷ requests,
//!        └───────────────▶ signalbox-picker (child) ─ scrapes ─▶ model servers    less what it uses when idle
//!                               ▲ tier API: one fixed pool
//! ```

mod driver;
mod messages;

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::Result;
use tokio::time::{Instant, sleep};

pub(super) use self::messages::chat_body;
use self::{
    driver::Driver,
    messages::{Messages, Shape},
};
use super::{
    child::Child,
    context::Context,
    figure::{Aim, Figure},
    process,
    samples::Samples,
    tier::{self, TierServer},
};
use crate::{loopback::Block, simulator::PodConfig};

const POOL: (&str, &str) = ("default", "gemma3");
const ENDPOINTS: u8 = 4;
const STREAMS: usize = 16;
const CONNECTIONS: usize = 1;
const ROUNDS: usize = 7;
/// Different prompts, used in turn.
const PROMPTS: u64 = 64;
const IDLE: Duration = Duration::from_secs(4);

/// The figures' names.
pub(super) const NAMES: &[&str] =
    &["extproc_cpu_ms_1k", "extproc_cpu_ms_50k", "extproc_buffered_cpu_ms_1k", "extproc_buffered_cpu_ms_50k"];

/// (name, shape, bytes of the prompt, requests of a round, aim)
const CASES: [(&str, Shape, usize, usize, Option<f64>); 4] = [
    (NAMES[0], Shape::FullDuplex, 1 << 10, 1500, Some(0.05)),
    (NAMES[1], Shape::FullDuplex, 50 << 10, 400, Some(0.15)),
    (NAMES[2], Shape::Buffered, 1 << 10, 1500, None),
    (NAMES[3], Shape::Buffered, 50 << 10, 400, None),
];

struct Server {
    child: Child,
    driver: Driver,
    /// Cores that it uses when nobody asks it.
    idle: f64,
}

/// Measures them.
///
/// # Errors
/// When a server does not start, or does not answer as it should.
pub(super) async fn measure(context: &Context) -> Result<Vec<Figure>> {
    let dir = context.directory("extproc")?;
    let block = Block::claim();
    let endpoints: Vec<_> = (10..10 + ENDPOINTS).map(|n| SocketAddr::new(block.address(n), 8000)).collect();
    let pods: Vec<_> =
        endpoints.iter().map(|address| PodConfig::new(&address.ip().to_string(), *address, "m")).collect();
    let _pods = context.model_servers("model-server", &pods, &dir).await?;
    let tier = TierServer::start(block.gateway(), vec![tier::pool(POOL.0, POOL.1, &endpoints)]).await?;
    let address = SocketAddr::new(block.address(2), 9002);
    let naive = connect(naive(context, address, endpoints[0], false, &dir)?, address).await?;
    let address = SocketAddr::new(block.address(3), 9002);
    let ours = connect(context.picker(address, tier.address(), false, &dir)?, address).await?;
    let mut figures = Vec::new();
    for (name, shape, bytes, requests, aim) in CASES {
        let messages: Vec<_> =
            (0..PROMPTS).map(|seed| Arc::new(Messages::of(shape, &chat_body(seed, bytes)))).collect();
        let (mut naives, mut ourselves) = (Samples::default(), Samples::default());
        for round in 0..=ROUNDS {
            let a = naive.slice(shape, &messages, requests).await?;
            let b = ours.slice(shape, &messages, requests).await?;
            // The first is for warming up.
            if round > 0 {
                naives.push(a);
                ourselves.push(b);
            }
        }
        let how = format!(
            "CPU clock of the picker's process ÷ requests, less its idle use; {}, {} KB prompts ({PROMPTS} different), \
             {STREAMS} streams on {CONNECTIONS} h2c connections, median of {ROUNDS} rounds of {requests}, alternating",
            match shape {
                Shape::FullDuplex => "full duplex with the response phase",
                Shape::Buffered =>
                    "buffered request, response headers only (what our control plane configures)",
            },
            bytes >> 10,
        );
        let figure = Figure::new(name, ourselves.median(), "ms", how)
            .baseline("do-nothing tonic server", naives.median());
        figures.push(match aim {
            Some(most) => figure.aim(Aim::AtMost(most)),
            None => figure,
        });
    }
    Ok(figures)
}

/// Starts the do-nothing server.
///
/// # Errors
/// When it is not built.
pub(super) fn naive(
    context: &Context,
    listen: SocketAddr,
    endpoint: SocketAddr,
    tls: bool,
    dir: &Path,
) -> Result<Child> {
    let mut command = context.program("naive-extproc")?;
    command.arg("--listen").arg(listen.to_string()).arg("--endpoint").arg(endpoint.to_string());
    if tls {
        command.arg("--tls");
    }
    Child::start("naive-extproc", command, dir)
}

/// Waits until the server answers a request, and measures what it uses without any.
async fn connect(mut child: Child, address: SocketAddr) -> Result<Server> {
    child.until_listening(address).await?;
    let driver = Driver::connect(address, &format!("{}/{}", POOL.0, POOL.1), CONNECTIONS).await?;
    let probe = [Arc::new(Messages::of(Shape::Buffered, &chat_body(0, 100)))];
    child.until("answering", async || driver.run(Shape::Buffered, &probe, 1, 1).await.is_ok()).await?;
    sleep(Duration::from_secs(1)).await;
    let (from, start) = (process::cpu(child.pid())?, Instant::now());
    sleep(IDLE).await;
    let idle = (process::cpu(child.pid())? - from).as_secs_f64() / start.elapsed().as_secs_f64();
    Ok(Server { child, driver, idle })
}

impl Server {
    /// CPU milliseconds for each of some requests.
    async fn slice(&self, shape: Shape, messages: &[Arc<Messages>], requests: usize) -> Result<f64> {
        let (from, start) = (process::cpu(self.child.pid())?, Instant::now());
        self.driver.run(shape, messages, STREAMS, requests).await?;
        let took = start.elapsed().as_secs_f64();
        let used = (process::cpu(self.child.pid())? - from).as_secs_f64();
        Ok((used - self.idle * took) * 1000.0 / requests as f64)
    }
}
