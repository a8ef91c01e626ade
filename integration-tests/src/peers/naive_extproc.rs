//! The least that an ext_proc server can do, in the most ordinary way: tonic with the generated messages, every message
//! answered at once, one endpoint always named. What it costs is what the architecture costs; ours is measured beside it.

mod exchange;

use anyhow::Result;
use clap::Parser;

/// An ext_proc server that names one endpoint for every request.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    listen: exchange::Listen,
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
    let Arguments { listen, endpoint } = Arguments::parse();
    exchange::serve(listen, move || Naive(endpoint.clone())).await
}
