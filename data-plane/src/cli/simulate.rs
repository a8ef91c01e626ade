//! `signalbox-picker simulate`: the picker in virtual time, for planning.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, ValueEnum};

use crate::flow::quantity::duration;
use crate::simulate::{
    Fleet, Pickers, Plan, Policy, Report, Request, Run, Seeds, Shape, Targets, comparison, json, read, run,
    table, trace,
};

/// Larger files are refused.
const LARGEST_FILE: u64 = 1 << 30;
/// More requests than a run is good for.
const MOST_REQUESTS: f64 = 2e6;

/// More pickers than a pool has.
const MOST_PICKERS: usize = 16;

const EXAMPLES: &str = "\
Examples:
  Would two H100 and six L4 do for our traffic, at one and a half times its speed?
    signalbox-picker simulate --endpoints nvidia-h100-80gb=2,nvidia-l4=6 --trace conversation_trace.jsonl --scale 1.5

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

/// What requests are sent to.
#[derive(Debug, Clone, Args)]
struct FleetArgs {
    /// A file with pools, as --pools-file reads it.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["endpoints", "comparison"])]
    pool: Option<PathBuf>,
    /// Which pool of the file, when it has several.
    #[arg(long, value_name = "NAMESPACE/NAME", requires = "pool")]
    pool_name: Option<String>,
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
    comparison: bool,
}

/// Which requests are sent.
#[derive(Debug, Clone, Args)]
struct LoadArgs {
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

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE, such as optimize=cost")?;
    Ok((name.to_owned(), value.to_owned()))
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

impl FleetArgs {
    fn read(&self) -> Result<Fleet> {
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

impl LoadArgs {
    fn requests(&self, seed: u64) -> Result<Vec<Request>> {
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

fn text(path: &Path, flag: &str) -> Result<String> {
    let size = fs::metadata(path).with_context(|| format!("{flag} {}", path.display()))?.len();
    ensure!(
        size <= LARGEST_FILE,
        "{flag} {} has {size} bytes, at most 1 GiB is read; cut it",
        path.display()
    );
    fs::read_to_string(path).with_context(|| format!("{flag} {}", path.display()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::accelerator::Optimize;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        simulate: Simulate,
    }

    fn simulate(args: &[&str]) -> Result<String> {
        let args = ["simulate"].iter().chain(args);
        Cli::try_parse_from(args)?.simulate.run()
    }

    const SMALL: [&str; 8] = [
        "--endpoints",
        "nvidia-h100-80gb=1,nvidia-l4=2",
        "--shape",
        "azure-conversation",
        "--rate",
        "3",
        "--duration",
        "20s",
    ];

    #[test]
    fn the_same_arguments_give_the_same_text() {
        let two = ["--pickers", "2", "--exchange", "20ms"];
        for more in [&["-o", "json"][..], &["--policy", "random,oracle"], &["--seed", "7"], &two] {
            let play = || simulate(&[&SMALL[..], more].concat()).unwrap();
            assert_eq!(play(), play());
        }
        let seed = |seed| simulate(&[&SMALL[..], &["--seed", seed]].concat()).unwrap();
        assert_ne!(seed("1"), seed("2"));
    }

    #[test]
    fn files_are_played_and_compared() {
        let directory = tempfile::tempdir().unwrap();
        let (pool, trace) = (directory.path().join("pools.yaml"), directory.path().join("trace.jsonl"));
        let endpoint = "{address: '10.0.0.1:8000', accelerator: {class: nvidia-l4, count: 1}}";
        fs::write(&pool, format!("pools: [{{name: a/b, endpoints: [{endpoint}]}}]")).unwrap();
        let line =
            |at: u32| format!("{{\"timestamp\": {at}, \"input_length\": 600, \"output_length\": 20}}\n");
        fs::write(&trace, (0..50).map(|i| line(i * 300)).collect::<String>()).unwrap();
        let (pool, trace) = (pool.to_str().unwrap(), trace.to_str().unwrap());
        let args =
            ["--pool", pool, "--trace", trace, "--annotation", "accelerator-prices=l4=0.8", "-o", "json"];
        let out: serde_json::Value = serde_json::from_str(&simulate(&args).unwrap()).unwrap();
        let ours = &out["policies"][0];
        assert_eq!((&ours["policy"], &ours["requests"]), (&"ours".into(), &50.into()), "{out}");
        assert!(ours["dollarsPerMillionTokens"].as_f64().unwrap() > 0.0, "{out}");
        assert_eq!(out["policies"].as_array().unwrap().len(), 3);

        fs::write(trace, format!("{}{{\"timestamp\": 1}}", line(0))).unwrap();
        let error = simulate(&args).unwrap_err().to_string();
        assert!(error.contains("trace.jsonl: line 2: ") && error.contains("input_length"), "{error}");
    }

    #[test]
    fn mistakes_name_the_flag_and_the_remedy() {
        for (args, words) in [
            (&[][..], ["--pool", "required"]),
            (&["--pool", "/nowhere", "--shape", "uniform", "--rate", "1"], ["--pool", "/nowhere"]),
            (&["--endpoints", "l4=1", "--shape", "uniform"], ["--rate", "required"]),
            (&["--endpoints", "l4=1", "--shape", "uniform", "--rate", "0"], ["--rate is 0", "give"]),
            (&["--endpoints", "l4=1", "--shape", "uniform", "--rate", "NaN"], ["--rate is NaN", "give"]),
            (&["--endpoints", "l4=1", "--shape", "uniform", "--rate", "99999"], ["--duration", "give"]),
            (&[&SMALL[..], &["--scale", "0"]].concat(), ["--scale is 0", "give"]),
            (&[&SMALL[..], &["--warm-up", "60s"]].concat(), ["--warm-up", "lower"]),
            (&[&SMALL[..], &["--slots", "0"]].concat(), ["--slots", "give"]),
            (&[&SMALL[..], &["--pickers", "0"]].concat(), ["--pickers is not", "16"]),
            (&[&SMALL[..], &["--exchange", "0ms"]].concat(), ["--exchange", "off"]),
            (&[&SMALL[..], &["--model-billions", "1e9"]].concat(), ["--model-billions", "give"]),
            (&[&SMALL[..], &["--annotation", "optimize"]].concat(), ["--annotation", "NAME=VALUE"]),
            (&[&SMALL[..], &["--policy", "best"]].concat(), ["best", "round-robin"]),
        ] {
            let error = format!("{:#}", simulate(args).unwrap_err());
            assert!(words.iter().all(|word| error.contains(word)), "{args:?}: {error}");
        }
    }

    #[test]
    fn optimizing_for_cost_is_an_annotation() {
        assert_eq!(pair("optimize=cost").unwrap().1, "cost");
        let args = [&SMALL[..], &["--annotation", "optimize=cost"]].concat();
        let parsed = Cli::try_parse_from(["simulate"].iter().chain(&args)).unwrap().simulate;
        assert_eq!(parsed.fleet.read().unwrap().policy().optimize, Some(Optimize::Cost));
    }
}
