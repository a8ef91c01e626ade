//! The cluster's part of `make figures`: run by `figures` in a test cluster's network.

use anyhow::Result;

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    integration_tests::figures::cluster_scenario().await
}
