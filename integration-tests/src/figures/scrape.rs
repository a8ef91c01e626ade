//! What watching an endpoint costs: a picker that nobody asks, scraping pages as large as vLLM's.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use tokio::time::{Instant, sleep};

use super::{
    child::Child,
    context::{Context, HEALTH_PORT},
    figure::{Aim, Figure},
    page_server::PageServer,
    process,
    tier::{self, TierServer},
};
use crate::{
    client::Client,
    loopback::Block,
    simulator::{Fleet, PodConfig},
};

/// The figures' names.
pub(super) const NAMES: &[&str] = &["scrape_millicores", "scrape_idle_millicores"];

const ENDPOINTS: u8 = 20;
/// Bytes of a real vLLM server's page.
const PAGE: usize = 54_000;
const SETTLE: Duration = Duration::from_secs(3);
const SPAN: Duration = Duration::from_secs(20);
/// Between two scrapes of a busy endpoint.
const INTERVAL: f64 = 0.050;

/// Measures them.
///
/// # Errors
/// When the picker does not start, or does not scrape busy endpoints every 50 ms.
pub(super) async fn measure(context: &Context) -> Result<Vec<Figure>> {
    let dir = context.directory("scrape")?;
    let block = Block::claim();
    let (busy, idle) = pages(SocketAddr::new(block.address(2), 8000)).await?;
    let endpoints: Vec<_> = (10..10 + ENDPOINTS).map(|n| SocketAddr::new(block.address(n), 8000)).collect();
    let server = PageServer::start(&endpoints, &busy).await?;
    let tier = TierServer::start(block.gateway(), vec![tier::pool("default", "pool", &endpoints)]).await?;
    let listen = SocketAddr::new(block.address(3), 9002);
    let mut picker = context.picker(listen, tier.address(), false, &dir)?;
    picker.until_listening(SocketAddr::new(listen.ip(), HEALTH_PORT)).await?;
    let (value, interval) = watch(&mut picker, &server).await?;
    ensure!(
        (INTERVAL * 0.9..INTERVAL * 1.2).contains(&interval),
        "busy endpoints are scraped every {interval:.3} s, not every {INTERVAL} s"
    );
    server.set(&idle);
    let (idle_value, idle_interval) = watch(&mut picker, &server).await?;
    let how = |kind: &str, interval: f64| {
        format!(
            "CPU clock of a picker without requests over {} s ÷ {ENDPOINTS} endpoints, which are {kind}; pages of {} bytes, \
             one every {:.0} ms as counted by their server",
            SPAN.as_secs(),
            busy.len(),
            interval * 1000.0
        )
    };
    Ok(vec![
        Figure::new(NAMES[0], value, "millicores", how("busy with requests of others", interval))
            .aim(Aim::AtMost(1.5)),
        Figure::new(NAMES[1], idle_value, "millicores", how("idle too", idle_interval)),
    ])
}

/// Millicores for each endpoint, and seconds between two scrapes of it.
async fn watch(picker: &mut Child, server: &PageServer) -> Result<(f64, f64)> {
    sleep(SETTLE).await;
    let (start, from, served) = (Instant::now(), process::cpu(picker.pid())?, server.served());
    sleep(SPAN).await;
    let seconds = start.elapsed().as_secs_f64();
    let used = (process::cpu(picker.pid())? - from).as_secs_f64();
    let scrapes = server.served() - served;
    picker.running()?;
    ensure!(scrapes > 0, "nothing is scraped");
    let endpoints = f64::from(ENDPOINTS);
    Ok((used / seconds / endpoints * 1000.0, seconds * endpoints / scrapes as f64))
}

/// The page of a simulated server while it has a request, and without one.
async fn pages(address: SocketAddr) -> Result<(Bytes, Bytes)> {
    let config =
        PodConfig { metrics_padding: PAGE, profile: "l4".to_owned(), ..PodConfig::new("page", address, "m") };
    let _fleet = Fleet::start([config]).await?;
    let client = Client::new(address);
    client.completion("m", "Are you there?").await?;
    let idle = client.get("/metrics").await?.body;
    let (busy, answer) = tokio::join!(
        async {
            sleep(Duration::from_millis(200)).await;
            client.get("/metrics").await
        },
        client.completion("m", "Are you busy?")
    );
    answer.context("the request that keeps the server busy")?;
    let busy = busy?.body;
    let running = |page: &Bytes, count: &str| {
        String::from_utf8_lossy(page)
            .lines()
            .any(|line| line.starts_with("vllm:num_requests_running{") && line.ends_with(count))
    };
    ensure!(
        running(&busy, " 1.0") && running(&idle, " 0.0"),
        "the pages are not those of a busy and an idle server"
    );
    ensure!((PAGE..PAGE + 1000).contains(&busy.len()), "the page has {} bytes", busy.len());
    Ok((busy, idle))
}
