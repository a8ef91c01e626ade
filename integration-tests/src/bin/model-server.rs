//! Simulated model servers, as many as wanted in one process; in a cluster one for each Pod:
//! `model-server --listen 0.0.0.0:8000 --model google/gemma-3 --served-name chatbot --profile l4`, with `POD_NAME` set.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use integration_tests::simulator::{Fleet, PodConfig, config};
use tokio::signal::unix::{SignalKind, signal};

/// Simulated model servers with vLLM's API, metrics, batching and caches.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// A Pod: name=gemma3-0,listen=127.0.1.10:8000,model=google/gemma-3,served-names=chatbot+gemma3,profile=l4
    #[arg(long = "pod", value_name = "KEY=VALUE,…", value_parser = config::parse_pod)]
    pods: Vec<PodConfig>,
    /// A YAML file of Pods: {defaults: {profile: l4}, pods: [{name: …, listen: …, model: …}]}
    #[arg(long = "pods", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// One Pod with the defaults on this address; may be given several times.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Vec<SocketAddr>,
    /// The name of the Pod that --listen makes; the model's name and a number when absent.
    #[arg(long, env = "POD_NAME")]
    name: Option<String>,
    /// The model of the Pods that --listen makes.
    #[arg(long, default_value = "simulated")]
    model: String,
    /// A name under which clients ask for that model; may be given several times.
    #[arg(long = "served-name", value_name = "NAME")]
    served_names: Vec<String>,
    /// The accelerator profile of the Pods that --listen makes.
    #[arg(long, default_value = "instant")]
    profile: String,
    /// Fills the metrics page of every Pod up to this size; a real server's has about 54000.
    #[arg(long, value_name = "BYTES")]
    metrics_padding: Option<usize>,
    /// Ends when the parent process does.
    #[arg(long)]
    die_with_parent: bool,
}

impl Arguments {
    fn configs(self) -> Result<Vec<PodConfig>> {
        let mut configs = self.pods;
        for file in &self.files {
            configs.extend(config::read_pods(file)?);
        }
        ensure!(
            self.name.is_none() || self.listen.len() < 2,
            "--name names one Pod, and --listen makes more"
        );
        for (index, listen) in self.listen.into_iter().enumerate() {
            let name = self.name.clone().unwrap_or_else(|| format!("{}-{index}", self.model));
            let mut config = PodConfig::new(&name, listen, &self.model);
            config.profile.clone_from(&self.profile);
            config.served_names.clone_from(&self.served_names);
            configs.push(config);
        }
        for config in &mut configs {
            config.metrics_padding = self.metrics_padding.unwrap_or(config.metrics_padding);
        }
        ensure!(!configs.is_empty(), "no Pod given: use --pod, --pods or --listen");
        Ok(configs)
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let arguments = Arguments::parse();
    if arguments.die_with_parent {
        nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGTERM).context("--die-with-parent")?;
    }
    let (mut terminated, mut interrupted) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let fleet = Fleet::start(arguments.configs()?).await?;
    tracing::info!(pods = fleet.names().len(), "ready");
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
    tracing::info!("stopping after the answers under way");
    fleet.stop().await;
    Ok(())
}
