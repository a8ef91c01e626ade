//! CPU of an ext_proc server per request: this picker against a do-nothing server of tonic and envoy-types.
//!
//! ```text
//! this process: client ─ one h2c connection ─▶ child process: server       child's CPU from /proc/<pid>/task/*/schedstat
//! ```
//! `cargo bench -p signalbox-data-plane --bench extproc [-- requests]`. Each server runs in a process of its own, with
//! its default threads; both see the same messages. The picker parses, hashes and picks among 10 endpoints, the other
//! answers a constant.

mod client;
mod naive;
mod ours;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use client::Shape;

const ROUNDS: usize = 3;

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    match args.first().map(String::as_str) {
        Some("serve-naive") => naive::serve(),
        Some("serve-ours") => ours::serve(),
        requests => drive(requests.and_then(|n| n.parse().ok()).unwrap_or(4000)),
    }
}

/// Tells the driver where it listens, and ends when the driver does.
fn announce(address: SocketAddr) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{address}")?;
    std::io::stdout().flush()?;
    Ok(())
}

/// Returns when the driver has gone.
fn until_driver_ends() {
    let mut byte = [0];
    // Any answer means that the pipe is closed: the driver writes nothing.
    drop(std::io::stdin().read(&mut byte));
}

fn drive(requests: usize) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    writeln!(
        out,
        "shape      prompt  at once   naive ms   ours ms   ratio   (least of {ROUNDS} rounds of {requests})"
    )?;
    for shape in [Shape::Duplex, Shape::Buffered] {
        for (prompt, label) in [(1000, "1 KB"), (50_000, "50 KB")] {
            for at_once in [1, 16] {
                let mut least = [f64::MAX; 2];
                for _ in 0..ROUNDS {
                    for (i, server) in ["serve-naive", "serve-ours"].iter().enumerate() {
                        least[i] = least[i].min(cost(server, shape, prompt, at_once, requests)?);
                    }
                }
                let [naive, ours] = least;
                let ratio = ours / naive;
                writeln!(out, "{shape:<9?} {label:>7} {at_once:>8} {naive:>10.4} {ours:>9.4} {ratio:>7.2}")?;
            }
        }
    }
    Ok(())
}

/// CPU milliseconds of the server per request.
fn cost(server: &str, shape: Shape, prompt: usize, at_once: usize, requests: usize) -> anyhow::Result<f64> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg(server)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let measured = (|| {
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line)?;
        let run = client::Run { address: line.trim().parse()?, shape, prompt, at_once };
        run.warm_up_then(requests / 5, requests, || cpu_ms(&child))
    })();
    child.kill()?;
    child.wait()?;
    Ok(measured? / requests as f64)
}

/// CPU time of all threads so far.
fn cpu_ms(child: &Child) -> anyhow::Result<f64> {
    let mut nanos = 0.0;
    for task in std::fs::read_dir(format!("/proc/{}/task", child.id()))? {
        let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
        nanos += text.split(' ').next().unwrap_or_default().parse::<f64>()?;
    }
    Ok(nanos / 1e6)
}
