//! The cluster's part of `make figures`: run by `figures` in a test cluster's network. An argument selects the
//! changes whose figures' names contain it.

use anyhow::Result;

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let only = std::env::args().nth(1).unwrap_or_default();
    integration_tests::figures::cluster_scenario(&only).await
}
