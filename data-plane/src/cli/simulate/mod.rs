//! `signalbox-picker simulate`: the picker in virtual time, for planning.
//!
//! ```text
//! --pool, --endpoints ─▶ fleet ─┐
//! --trace, --shape ─────▶ load ─┴▶ one run for each --policy ─▶ table, json
//! ```

mod fleet;
mod load;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum};

use self::fleet::FleetArgs;
use self::load::LoadArgs;
use crate::flow::quantity::duration;
use crate::simulate::{Pickers, Policy, Report, Run, Seeds, Targets, comparison, json, run, table};

/// Larger files are refused.
const LARGEST_FILE: u64 = 1 << 30;
/// More pickers than a pool has.
const MOST_PICKERS: usize = 16;

const EXAMPLES: &str = "\
Examples:
  Would two H100 and six L4 do for our traffic, at one and a half times its speed?
    signalbox-picker simulate --endpoints nvidia-h100-80gb=2,nvidia-l4=6 --trace conversation_trace.jsonl --scale 1.5

  The pool that the manifests of a directory describe, as they are applied:
    signalbox simulate --pool manifests/ --trace conversation_trace.jsonl

  What does optimizing for cost save at 12 requests a second, against spreading them blindly?
    signalbox-picker simulate --pool pools.yaml --shape azure-conversation --rate 12 --duration 10m \\
      --annotation optimize=cost --annotation accelerator-prices=h100=4.1,l4=0.8 --policy ours,round-robin

A pools file is what --pools-file reads:
  pools:
  - name: default/llama
    endpoints:
    - {address: '10.0.0.1:8000', accelerator: {class: nvidia-h100-80gb, count: 1}}";

/// What is played, and how it is told.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct Simulate {
    #[command(flatten)]
    fleet: FleetArgs,
    #[command(flatten)]
    load: LoadArgs,
    /// Who decides; several are compared.
    #[arg(
        long = "policy",
        value_enum,
        value_delimiter = ',',
        default_value = "ours,scorer-sum,least-request"
    )]
    policies: Vec<Decider>,
    /// What is drawn at random is drawn from this: the trace of a shape, and ties.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Requests of this time at the start are played, but not counted in times, targets and goodput.
    #[arg(long, default_value = "0s", value_parser = duration, value_name = "TIME")]
    warm_up: Duration,
    /// What requests are to meet, to the first token [default: the pool's annotation signalbox.dev/ttft-target, else 2s].
    #[arg(long, value_parser = duration, value_name = "TIME")]
    ttft_target: Option<Duration>,
    /// What requests are to meet, between tokens [default: the pool's annotation signalbox.dev/itl-target, else 100ms].
    #[arg(long, value_parser = duration, value_name = "TIME")]
    itl_target: Option<Duration>,
    /// Pickers of the pool, if this picker decides; each gets a part of the requests at random.
    #[arg(long, default_value_t = 1, value_name = "COUNT")]
    pickers: usize,
    /// How old what pickers know of each other is at most; off: they tell each other nothing. Those that serve tell
    /// each other every 25 ms.
    #[arg(long, default_value = "50ms", value_parser = exchange, value_name = "TIME")]
    exchange: Exchange,
    /// Shape of the output.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Decider {
    /// This picker, which starts from the table of classes and learns.
    Ours,
    /// This picker, knowing the speeds of endpoints, not learning.
    Known,
    /// At random.
    Random,
    /// In turn.
    RoundRobin,
    /// Fewest requests in flight.
    LeastRequest,
    /// The default of llm-d-router: 2 · queue + 2 · free KV + 3 · prefix.
    ScorerSum,
    /// The longest prefix.
    PrefixOnly,
    /// Each request where it and those beside it end first, from the true state of endpoints and true lengths of answers.
    Oracle,
}

impl Decider {
    fn policy(self) -> Policy {
        match self {
            Self::Ours => Policy::Ours(Seeds::Table),
            Self::Known => Policy::Known,
            Self::Random => Policy::Random,
            Self::RoundRobin => Policy::RoundRobin,
            Self::LeastRequest => Policy::LeastRequest,
            Self::ScorerSum => Policy::ScorerSum,
            Self::PrefixOnly => Policy::PrefixOnly,
            Self::Oracle => Policy::Clairvoyant,
        }
    }

    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// None: off.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Exchange(Option<Duration>);

fn exchange(text: &str) -> Result<Exchange, String> {
    if text == "off" {
        return Ok(Exchange(None));
    }
    match duration(text)? {
        time if time < Duration::from_millis(1) => Err("below 1ms; write a longer time, or off".to_owned()),
        time => Ok(Exchange(Some(time))),
    }
}

impl Simulate {
    /// Plays; answers what is to be printed.
    ///
    /// # Errors
    /// Names the file, line and field, or the flag, and the remedy.
    pub fn run(&self) -> Result<String> {
        if self.fleet.comparison {
            return Ok(comparison());
        }
        let fleet = self.fleet.read()?;
        let requests = self.load.requests(self.seed)?;
        let last = requests.last().map_or(0.0, |request| request.at);
        let warm_up = self.warm_up.as_secs_f64();
        ensure!(
            warm_up <= last,
            "--warm-up is {warm_up} s, and the last request comes after {last:.1} s; lower it"
        );
        let targets = Targets::of(fleet.policy());
        let seconds = |time: Option<Duration>, usual| time.map_or(usual, |time| time.as_secs_f64());
        let targets = Targets {
            ttft: seconds(self.ttft_target, targets.ttft),
            itl: seconds(self.itl_target, targets.itl),
        };
        ensure!(
            (1..=MOST_PICKERS).contains(&self.pickers),
            "--pickers is not between 1 and {MOST_PICKERS}; a pool has a few"
        );
        let exchange = self.exchange.0.map(|time| time.as_secs_f64());
        let pickers = Pickers { count: self.pickers, exchange };
        let play = |decider: &Decider| {
            let usual = Run::new(&fleet, &requests, decider.policy(), self.seed);
            (decider.name(), run(&Run { warm_up, targets, pickers, ..usual }))
        };
        let reports: Vec<(String, Report)> = self.policies.iter().map(play).collect();
        Ok(match self.output {
            Output::Table => table(&reports, &targets),
            Output::Json => json(&reports, &targets),
        })
    }
}

fn text(path: &Path, flag: &str) -> Result<String> {
    let size = fs::metadata(path).with_context(|| format!("{flag} {}", path.display()))?.len();
    ensure!(
        size <= LARGEST_FILE,
        "{flag} {} has {size} bytes, at most 1 GiB is read; cut it",
        path.display()
    );
    fs::read_to_string(path).with_context(|| format!("{flag} {}", path.display()))
}
