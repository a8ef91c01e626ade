//! What requests are sent to, as the command line names it.

use std::io::Read as _;
use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use clap::Args;

use super::text;
use crate::simulate::{Fleet, Plan};

/// More than the pools of a plan are.
const LARGEST_MESSAGE: u64 = 64 << 20;

/// What requests are sent to.
#[derive(Debug, Clone, Args)]
pub(super) struct FleetArgs {
    /// A file with pools, as --pools-file reads it. `signalbox simulate` takes Kubernetes manifests as well, files and
    /// directories, and the flag several times: an InferencePool with its Pods or the Deployments and LeaderWorkerSets that run them, Nodes,
    /// objectives and rewrites. Accelerators come from what they say, as in a cluster.
    #[arg(long, value_name = "PATH", required_unless_present_any = ["endpoints", "comparison", "pool_from_stdin"])]
    pool: Option<PathBuf>,
    /// Which pool, when there are several.
    #[arg(long, value_name = "NAMESPACE/NAME", conflicts_with = "endpoints")]
    pool_name: Option<String>,
    /// Pools as a control plane sends them: an encoded WatchResponse of the tier API, from standard input.
    #[arg(long, hide = true, conflicts_with_all = ["pool", "endpoints"])]
    pool_from_stdin: bool,
    /// Instead of a file: endpoints by class, and devices of each where it has several: nvidia-h100-80gb:4=2,nvidia-l4=6.
    #[arg(long, value_name = "CLASS[:DEVICES]=ENDPOINTS,…", conflicts_with = "pool")]
    endpoints: Option<String>,
    /// Sets an annotation of the pool; signalbox.dev/ may be left out. Such as accelerator-prices=h100=4.1,l4=0.8
    /// (dollars per device and hour), optimize=cost, ttft-target=500ms.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    annotation: Vec<(String, String)>,
    /// Parameters of the model, in billions.
    #[arg(long, default_value_t = 8.0, value_name = "BILLIONS")]
    model_billions: f32,
    /// Requests that an endpoint runs together (vLLM: --max-num-seqs) [default: what fits its memory, at most 256].
    #[arg(long, value_name = "REQUESTS")]
    slots: Option<usize>,
    /// Plays the fixed workloads of `make figures` instead: one line of JSON for each figure.
    #[arg(long, hide = true, exclusive = true)]
    pub(super) comparison: bool,
}

pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE, such as optimize=cost")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl FleetArgs {
    /// The fleet.
    ///
    /// # Errors
    /// Names the file or flag, and the remedy.
    pub(super) fn read(&self) -> Result<Fleet> {
        let billions = self.model_billions;
        ensure!(
            (0.01..=2_000.0).contains(&billions),
            "--model-billions is {billions}; give parameters from 0.01 to 2000 billions"
        );
        ensure!(
            self.slots.is_none_or(|slots| (1..=4_096).contains(&slots)),
            "--slots is not between 1 and 4096; give the model server's own limit"
        );
        let plan = Plan { billions, slots: self.slots, annotations: self.annotation.clone() };
        if self.pool_from_stdin {
            let mut message = Vec::new();
            std::io::stdin().take(LARGEST_MESSAGE).read_to_end(&mut message)?;
            let fleet = plan.of_tier(&message, self.pool_name.as_deref());
            return fleet.map_err(|error| anyhow::anyhow!("--pool: {error}"));
        }
        match (&self.pool, &self.endpoints) {
            (Some(path), _) => {
                let fleet = plan.of_file(&text(path, "--pool")?, self.pool_name.as_deref());
                fleet.map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))
            }
            (None, Some(list)) => plan.of_list(list).map_err(|error| anyhow::anyhow!("--endpoints: {error}")),
            (None, None) => bail!("no endpoints: give --pool or --endpoints"),
        }
    }
}
