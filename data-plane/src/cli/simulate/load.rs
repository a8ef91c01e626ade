//! Which requests are sent, as the command line names them.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use clap::{Args, ValueEnum};

use super::text;
use crate::flow::quantity::duration;
use crate::simulate::{Request, Shape, read, trace};

/// More requests than a run is good for.
const MOST_REQUESTS: f64 = 2e6;

/// Which requests are sent.
#[derive(Debug, Clone, Args)]
pub(super) struct LoadArgs {
    /// A recorded trace: JSON lines of Mooncake (timestamp in ms, input_length, output_length, hash_ids) or CSV of Azure
    /// (TIMESTAMP,ContextTokens,GeneratedTokens).
    #[arg(long, value_name = "FILE", required_unless_present_any = ["shape", "comparison"])]
    trace: Option<PathBuf>,
    /// Instead of a file: requests drawn from the shape of a published trace.
    #[arg(long, value_enum, conflicts_with = "trace", requires = "rate")]
    shape: Option<ShapeName>,
    /// Requests per second of a shape.
    #[arg(long, value_name = "PER SECOND", requires = "shape")]
    rate: Option<f64>,
    /// How long a shape lasts.
    #[arg(long, default_value = "10m", value_parser = duration, value_name = "TIME")]
    duration: Duration,
    /// Plays a trace this many times as fast as it was recorded.
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR")]
    scale: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ShapeName {
    /// Prompts of 300 to 1300 tokens, answers of 100.
    Uniform,
    /// Azure 2023 conversation: prompts around 1020 tokens, answers around 129.
    AzureConversation,
    /// Azure 2023 code: prompts around 1469 tokens, answers around 13, in bursts.
    AzureCode,
    /// Mooncake conversation: prompts around 6909 tokens, answers around 350, sessions that go on.
    Mooncake,
}

impl LoadArgs {
    /// The requests, by time.
    ///
    /// # Errors
    /// Names the file and line, or the flag, and the remedy.
    pub(super) fn requests(&self, seed: u64) -> Result<Vec<Request>> {
        let scale = self.scale;
        ensure!((0.001..=1_000.0).contains(&scale), "--scale is {scale}; give a factor from 0.001 to 1000");
        let mut requests = match (&self.trace, self.shape, self.rate) {
            (Some(path), ..) => read(&text(path, "--trace")?)
                .map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?,
            (None, Some(shape), Some(rate)) => {
                let count = rate * self.duration.as_secs_f64();
                ensure!(
                    (0.000_1..=100_000.0).contains(&rate),
                    "--rate is {rate}; give requests per second from 0.0001 to 100000"
                );
                ensure!(
                    (1.0..=MOST_REQUESTS).contains(&count),
                    "--rate times --duration is {count:.1} requests; give from 1 to {MOST_REQUESTS}"
                );
                trace(shape.shape(), rate, count as usize, seed)
            }
            _ => bail!("no requests: give --trace, or --shape with --rate"),
        };
        requests.iter_mut().for_each(|request| request.at /= scale);
        Ok(requests)
    }
}

impl ShapeName {
    fn shape(self) -> Shape {
        match self {
            Self::Uniform => Shape::Uniform,
            Self::AzureConversation => Shape::AzureConversation,
            Self::AzureCode => Shape::AzureCode,
            Self::Mooncake => Shape::Mooncake,
        }
    }
}
