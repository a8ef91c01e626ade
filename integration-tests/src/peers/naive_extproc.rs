//! The least that an ext_proc server can do, in the most ordinary way: tonic with the generated messages, every message
//! answered at once, one endpoint always named. What it costs is what the architecture costs; ours is measured beside it.

mod exchange;

use std::net::SocketAddr;

use anyhow::Result;
use clap::Parser;

/// An ext_proc server that names one endpoint for every request.
#[derive(Parser)]
struct Arguments {
    /// Where it listens.
    #[arg(long)]
    listen: SocketAddr,
    /// Serves TLS, with a certificate of its own; h2c otherwise.
    #[arg(long)]
    tls: bool,
    /// The endpoint it names, ADDRESS:PORT.
    #[arg(long)]
    endpoint: String,
}

struct Naive(String);

impl exchange::Chooser for Naive {
    fn choose(&mut self) -> String {
        self.0.clone()
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { listen, tls, endpoint } = Arguments::parse();
    exchange::serve(listen, tls, move || Naive(endpoint.clone())).await
}
