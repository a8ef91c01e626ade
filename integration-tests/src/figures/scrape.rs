//! What watching an endpoint costs: the picker, idle, scraping pages as large as vLLM's.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use tokio::time::{Instant, sleep};

use super::{
    context::{Context, HEALTH_PORT},
    figure::{Aim, Figure},
    process,
    tier::{self, TierServer},
};
use crate::{client::Client, loopback::Block, simulator::PodConfig};

/// The figure's name.
pub const NAMES: &[&str] = &["scrape_millicores"];

const ENDPOINTS: u8 = 20;
/// Bytes of a real vLLM server's page.
const PAGE: usize = 54_000;
const SETTLE: Duration = Duration::from_secs(3);
const SPAN: Duration = Duration::from_secs(20);

/// Measures it.
///
/// # Errors
/// When the picker or the model servers do not start, or the pages have another size.
pub async fn measure(context: &Context) -> Result<Vec<Figure>> {
    let dir = context.directory("scrape")?;
    let block = Block::claim();
    let endpoints: Vec<_> = (10..10 + ENDPOINTS).map(|n| SocketAddr::new(block.address(n), 8000)).collect();
    let pods: Vec<_> = endpoints
        .iter()
        .map(|address| PodConfig {
            metrics_padding: PAGE,
            ..PodConfig::new(&address.ip().to_string(), *address, "m")
        })
        .collect();
    let servers = context.model_servers("model-server", &pods, &dir).await?;
    let page = Client::new(endpoints[0]).get("/metrics").await?.body.len();
    ensure!(page >= PAGE && page < PAGE + 1000, "the page has {page} bytes");
    let tier = TierServer::start(block.gateway(), vec![tier::pool("default", "pool", &endpoints)]).await?;
    let listen = SocketAddr::new(block.address(3), 9002);
    let mut picker = context.picker(listen, tier.address(), &dir)?;
    picker.until_listening(listen).await?;
    picker.until_listening(SocketAddr::new(listen.ip(), HEALTH_PORT)).await?;
    sleep(SETTLE).await;
    let start = Instant::now();
    let from = (process::cpu(picker.pid())?, process::cpu(servers.pid())?);
    sleep(SPAN).await;
    let seconds = start.elapsed().as_secs_f64();
    let used = (process::cpu(picker.pid())? - from.0).as_secs_f64();
    let serving = (process::cpu(servers.pid())? - from.1).as_secs_f64();
    // Without scrapes the servers do nothing at all.
    ensure!(serving > 0.001, "the endpoints are not scraped");
    picker.running().context("the picker has ended")?;
    let value = used / seconds / f64::from(ENDPOINTS) * 1000.0;
    let how = format!(
        "CPU clock of the idle picker over {} s ÷ {ENDPOINTS} endpoints with pages of {page} bytes, at the picker's \
         default interval",
        SPAN.as_secs()
    );
    Ok(vec![Figure::new(NAMES[0], value, "millicores", how).aim(Aim::AtMost(1.5))])
}
