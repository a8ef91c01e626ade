//! The command line of `signalbox-picker`.

mod simulate;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand};

use crate::decisions::Header;
use crate::flow::kv;
use crate::flow::quantity::{bytes, duration};
use crate::pool::PoolKey;
use crate::telemetry::LogFormat;
use crate::tokenizer::Named;

pub use simulate::Simulate;

/// Serves requests with the flags below, or plays them in virtual time with `simulate`.
#[derive(Debug, Clone, Parser)]
#[command(name = "signalbox-picker", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to serve.
    #[command(flatten)]
    pub serve: Args,
}

/// What the picker does besides serving.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Plays a trace against a model of a pool, for planning.
    ///
    /// Tells times to the first token and to the end, which requests met their targets, what tokens cost and how much
    /// accelerators had to do. Every decision is made by the code that serves requests; the same arguments give the same
    /// numbers. Speeds come from the table of accelerator classes, for dense models in 16 bit; a gateway's own queue is
    /// not played.
    Simulate(Box<Simulate>),
}

/// Answers Envoy's question which endpoint of an InferencePool serves a request.
#[derive(Debug, Clone, Parser)]
#[command(name = "signalbox-picker", version)]
pub struct Args {
    /// Address of the ext_proc service (gRPC health answers here too).
    #[arg(long, default_value = "0.0.0.0:9002")]
    pub listen: SocketAddr,
    /// Address of gRPC health in plaintext, for probes.
    #[arg(long, default_value = "0.0.0.0:9003")]
    pub health_listen: SocketAddr,
    /// Address of /metrics, /healthz, /readyz, /explain and /debug/pools.
    #[arg(long, default_value = "0.0.0.0:9090")]
    pub metrics_listen: SocketAddr,
    /// The control plane's tier API, for example `https://signalbox.signalbox-system.svc:9003`.
    #[arg(long, value_name = "URL")]
    pub control_plane: Option<http::Uri>,
    /// Directory with tls.crt and tls.key, shown to the control plane, and ca.crt, which its certificate is verified
    /// with. Read again at each connection.
    #[arg(long, value_name = "DIRECTORY", requires = "control_plane")]
    pub control_plane_tls_dir: Option<PathBuf>,
    /// A file with pools, instead of a control plane.
    #[arg(long, value_name = "FILE", conflicts_with = "control_plane")]
    pub pools_file: Option<PathBuf>,
    /// A file in which learned speeds of accelerators are kept over restarts. On a volume that outlives the Pod.
    #[arg(long, value_name = "FILE")]
    pub learned_file: Option<PathBuf>,
    /// The pools to serve, as namespace/name, separated by commas; all that the control plane offers when absent.
    #[arg(long, value_delimiter = ',', value_name = "NAMESPACE/NAME")]
    pub pools: Vec<PoolKey>,
    /// Names this process to the control plane.
    #[arg(long, env = "HOSTNAME", default_value = "picker")]
    pub picker_id: String,
    /// How it finds the other pickers of its pools.
    #[command(flatten)]
    pub peers: PeerArgs,
    /// Serve ext_proc over TLS.
    #[arg(long, default_value_t = true, action = ArgAction::Set, value_name = "BOOL")]
    pub secure_serving: bool,
    /// Directory with tls.crt and tls.key, followed when they change; a self-signed certificate is made when absent.
    #[arg(long, visible_alias = "tls-dir", value_name = "DIRECTORY")]
    pub cert_path: Option<PathBuf>,
    /// Largest request body, such as 32MiB.
    #[arg(long, default_value = "32MiB", value_parser = bytes, value_name = "SIZE")]
    pub body_limit: usize,
    /// Percent of answers that are read for their usage, from which the bytes of a token and the hits of prefix caches are
    /// learned. Answers that Envoy sends here anyway (full duplex, rewritten models) are always read. Envoy needs
    /// allow_mode_override for it.
    #[arg(long, default_value_t = 0.0, value_name = "PERCENT")]
    pub read_answers: f32,
    /// The tokenizer.json of a model, or the directory that it is in, so that tokens of its prompts are counted instead of
    /// estimated; MODEL is its name in requests, `*` stands for all without one. Repeatable, or separated by commas. Read again when it changes.
    #[arg(long, env = "SIGNALBOX_TOKENIZER", value_delimiter = ',', value_name = "MODEL=PATH")]
    pub tokenizer: Vec<Named>,
    /// A directory with MODEL/tokenizer.json for any number of models (a slash in a name is a subdirectory or `--`), or
    /// a cache of Hugging Face.
    #[arg(long, env = "SIGNALBOX_TOKENIZERS", value_name = "DIRECTORY")]
    pub tokenizers: Option<PathBuf>,
    /// How long a request waits until its prompt is counted, before it is estimated. About 4 KB of new text are counted in a
    /// millisecond.
    #[arg(long, default_value = "5ms", value_parser = duration, value_name = "TIME")]
    pub tokenizer_deadline: std::time::Duration,
    /// Longest time from the end of a request to its decision, such as 2s or 500ms.
    #[arg(long, default_value = "2s", value_parser = duration, value_name = "TIME")]
    pub decision_deadline: std::time::Duration,
    /// Requests in flight per pool above which every further one waits (gets 429 with --queue=false).
    #[arg(long, default_value_t = 20_000)]
    pub max_in_flight: usize,
    /// Requests in flight per pool above which those of a priority below 0 wait (get 429 with --queue=false);
    /// --max-in-flight when absent.
    #[arg(long)]
    pub sheddable_in_flight: Option<usize>,
    /// How requests wait.
    #[command(flatten)]
    pub queue: QueueArgs,
    /// Decisions that are kept to be explained (GET /explain); 0: none. They take 8 MiB at most.
    #[arg(long, default_value_t = 256, value_name = "COUNT")]
    pub explain_decisions: usize,
    /// What the request header x-signalbox-explain: true does. off: nothing; record: the request's decision is kept for
    /// sure; answer: and told in the response header x-signalbox-decision, with names and addresses of Pods. Any client can
    /// send the header. Annotation signalbox.dev/explain-header.
    #[arg(long, value_enum, default_value = "off", value_name = "MODE")]
    pub explain_header: Header,
    /// File in which the address of /metrics and /explain is written once it is known.
    #[arg(long, value_name = "FILE")]
    pub metrics_address_path: Option<PathBuf>,
    /// After SIGTERM: time for gateways to notice that health is NOT_SERVING, while requests are still taken.
    #[arg(long, default_value = "3s", value_parser = duration, value_name = "TIME")]
    pub drain_delay: std::time::Duration,
    /// After the drain delay: time for open streams to end.
    #[arg(long, default_value = "30s", value_parser = duration, value_name = "TIME")]
    pub drain_timeout: std::time::Duration,
    /// Threads that serve ext_proc; one per core when 0.
    #[arg(long, default_value_t = 0)]
    pub workers: usize,
    /// End as after SIGTERM when the parent process ends.
    #[arg(long)]
    pub die_with_parent: bool,
    /// Shape of log lines.
    #[arg(long, value_enum, default_value = "text")]
    pub log_format: LogFormat,
    /// Level, or a filter such as info,data_plane=debug.
    #[arg(long, default_value = "info")]
    pub log_level: String,
}

/// How requests wait. Annotations of an InferencePool change most of this for the pool.
#[derive(Debug, Clone, clap::Args)]
pub struct QueueArgs {
    /// Let requests wait while their pool is full, highest priority first, tenants in turn.
    /// Annotation signalbox.dev/queue: on or off.
    #[arg(long, default_value_t = true, action = ArgAction::Set, value_name = "BOOL")]
    pub queue: bool,
    /// How long a request waits for room. Annotation signalbox.dev/queue-ttl.
    #[arg(long, default_value = "25s", value_parser = duration, value_name = "TIME")]
    pub queue_ttl: std::time::Duration,
    /// How long a request waits for a pool that has no endpoint, such as one scaled to zero; 0s: not at all.
    /// Annotation signalbox.dev/queue-wait-for-endpoints.
    #[arg(long, default_value = "0s", value_parser = duration, value_name = "TIME")]
    pub queue_wait_for_endpoints: std::time::Duration,
    /// Bound on every wait, whatever annotations say; less than the gateway's ext_proc message timeout.
    #[arg(long, default_value = "29s", value_parser = duration, value_name = "TIME")]
    pub queue_longest_wait: std::time::Duration,
    /// Requests that may wait in a pool; beyond, the lowest priority goes first.
    /// Annotation signalbox.dev/queue-requests.
    #[arg(long, default_value_t = 10_000)]
    pub queue_requests: usize,
    /// Bytes of requests that may wait in a pool. Annotation signalbox.dev/queue-bytes.
    #[arg(long, default_value = "384MiB", value_parser = bytes, value_name = "SIZE")]
    pub queue_bytes: usize,
    /// Requests of one priority that may wait in a pool; beyond, the tenant with most goes first.
    /// Annotation signalbox.dev/queue-band-requests.
    #[arg(long, default_value_t = 5_000)]
    pub queue_band_requests: usize,
    /// Bytes of requests of one priority that may wait in a pool. Annotation signalbox.dev/queue-band-bytes.
    #[arg(long, default_value = "256MiB", value_parser = bytes, value_name = "SIZE")]
    pub queue_band_bytes: usize,
    /// Requests that an endpoint takes beyond its batch before it counts as full.
    /// Annotation signalbox.dev/endpoint-queue.
    #[arg(long, default_value_t = 4)]
    pub endpoint_queue: u32,
    /// Use of its KV cache at which an endpoint counts as full, in percent.
    /// Annotation signalbox.dev/endpoint-kv-percent.
    #[arg(long, default_value = "90", value_parser = kv, value_name = "PERCENT")]
    pub endpoint_kv_percent: f32,
    /// Request header that names the tenant; x-gateway-inference-fairness-id or x-llm-d-inference-fairness-id when
    /// absent. Tenants of one priority take turns while requests wait.
    #[arg(long, value_name = "HEADER")]
    pub fairness_header: Option<http::HeaderName>,
}

/// The other pickers of the same pools: what they send to endpoints counts as own requests do, and prompts that went
/// through them are found in caches.
#[derive(Debug, Clone, clap::Args)]
pub struct PeerArgs {
    /// The other pickers of the same pools, separated by commas. A name may stand for all of them, this one included (a
    /// headless Service's); it is resolved again every 2 s. Without it, each picker knows its own requests only, and of
    /// others' what scrapes show.
    #[arg(long, value_delimiter = ',', value_name = "HOST:PORT")]
    pub peers: Vec<String>,
    /// Address on which other pickers are told; opened only with --peers.
    #[arg(long, default_value = "0.0.0.0:9004")]
    pub peers_listen: SocketAddr,
    /// Directory with tls.crt, tls.key and ca.crt, by which pickers know each other; --control-plane-tls-dir when absent,
    /// cleartext without both. Read again at each connection.
    #[arg(long, value_name = "DIRECTORY", requires = "peers")]
    pub peers_tls_dir: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_other_pickers() {
        let args = Args::parse_from(["signalbox-picker", "--control-plane", "http://127.0.0.1:1"]);
        assert_eq!(args.listen, "0.0.0.0:9002".parse().unwrap());
        assert!(args.secure_serving);
        assert!(!Args::parse_from(["p", "--secure-serving=false"]).secure_serving);
    }
}
