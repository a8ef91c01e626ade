//! What scraping costs: millicores per endpoint at 50 ms and a page of 54 KB.
//!
//! ```text
//! cargo run --release -p signalbox-data-plane --example scrape_cost [-- ENDPOINTS SECONDS]
//! ```
//!
//! Pages are served by a second process, so that the CPU time of this one is the scraper's.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::Context;
use data_plane::pool::Pools;
use data_plane::scrape::{ScrapeConfig, ScrapeCounters, run};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use proto::tier::v1::{Endpoint, EndpointState, PoolName, PoolSnapshot, WatchResponse};

const PAGE: &str = include_str!("../benches/vllm-page.txt");

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("serve") => serve(arguments.next().context("how many ports")?.parse()?),
        count => {
            let count = count.map_or(Ok(20), str::parse)?;
            let seconds = arguments.next().map_or(Ok(5), |seconds| seconds.parse())?;
            for narrow in [false, true] {
                measure(count, Duration::from_secs(seconds), narrow)?;
            }
            Ok(())
        }
    }
}

/// The other process, ended with this one.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let ended = self.0.kill().and_then(|()| self.0.wait());
        ended.expect("a child that was not waited for can be killed");
    }
}

fn measure(count: usize, length: Duration, narrow: bool) -> anyhow::Result<()> {
    let mut child = Command::new(std::env::current_exe()?);
    let child = child.arg("serve").arg(count.to_string()).stdout(Stdio::piped()).spawn()?;
    let mut server = Server(child);
    let output = server.0.stdout.take().context("piped")?;
    let addresses: Vec<SocketAddr> = BufReader::new(output)
        .lines()
        .take(count)
        .map(|line| anyhow::Ok(line?.parse()?))
        .collect::<anyhow::Result<_>>()?;
    let pools = Pools::new(Instant::now());
    let endpoint = |address: &SocketAddr| Endpoint {
        address: address.ip().to_string(),
        port: address.port().into(),
        state: EndpointState::Ready.into(),
        engine: "vllm".into(),
        ..Endpoint::default()
    };
    let name = Some(PoolName { namespace: "ns".into(), name: "a".into() });
    let pool =
        PoolSnapshot { name, endpoints: addresses.iter().map(endpoint).collect(), ..PoolSnapshot::default() };
    pools.apply(WatchResponse { changed: vec![pool], ..WatchResponse::default() });

    let counters = Arc::new(ScrapeCounters::default());
    let interval = Duration::from_millis(50);
    let config = ScrapeConfig { interval, idle_interval: interval, narrow, ..ScrapeConfig::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let scrape_for = |length| {
        let scraping = run(pools.clone(), config, Arc::clone(&counters));
        runtime.block_on(async { tokio::time::timeout(length, scraping).await }).expect_err("run has no end");
    };
    scrape_for(Duration::from_millis(500));
    let (read, bytes, cpu) = (counters.read.load(Relaxed), counters.bytes.load(Relaxed), cpu()?);
    scrape_for(length);
    let (read, bytes, cpu) =
        (counters.read.load(Relaxed) - read, counters.bytes.load(Relaxed) - bytes, self::cpu()? - cpu);
    writeln!(
        std::io::stdout(),
        "{} pages: {count} endpoints, {read} scrapes of {} bytes, {:.1} us each, {:.2} millicores per endpoint",
        if narrow { "narrow" } else { "whole" },
        bytes / read.max(1),
        cpu.as_secs_f64() * 1e6 / read as f64,
        cpu.as_secs_f64() * 1e3 / length.as_secs_f64() / count as f64,
    )?;
    Ok(())
}

/// CPU time of this process, user and system.
fn cpu() -> anyhow::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(micros.try_into()?))
}

/// Serves the page on `count` ports, whole, or the lines that `name[]` asks for.
fn serve(count: usize) -> anyhow::Result<()> {
    let wanted = ["vllm:num_requests", "vllm:kv_cache", "vllm:cache_config", "vllm:lora_requests"];
    let narrow: String = PAGE
        .lines()
        .filter(|line| wanted.iter().any(|name| line.starts_with(name)))
        .map(|line| format!("{line}\n"))
        .collect();
    let response = |body: &str| format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let (whole, narrow) = (response(PAGE), response(&narrow));
    std::thread::scope(|scope| {
        for _ in 0..count {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
            let (whole, narrow) = (&whole, &narrow);
            scope.spawn(move || {
                for stream in listener.incoming() {
                    let ended = stream.and_then(|stream| answer(stream, whole, narrow));
                    drop(ended);
                }
            });
        }
        Ok(())
    })
}

fn answer(mut stream: TcpStream, whole: &str, narrow: &str) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        let asked = memchr::memmem::find(&buffer[..count], b"name%5B%5D").is_some();
        stream.write_all(if asked { narrow } else { whole }.as_bytes())?;
    }
}
