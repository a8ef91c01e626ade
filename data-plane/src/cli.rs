//! The command line of `signalbox-picker`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgAction, Parser};

use crate::pool::PoolKey;
use crate::telemetry::LogFormat;

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
    /// Address of /metrics, /healthz, /readyz and /debug/pools.
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
    /// Longest time from the end of a request to its decision, such as 2s or 500ms.
    #[arg(long, default_value = "2s", value_parser = duration, value_name = "TIME")]
    pub decision_deadline: std::time::Duration,
    /// Requests in flight per pool above which every further one gets 429.
    #[arg(long, default_value_t = 20_000)]
    pub max_in_flight: usize,
    /// Requests in flight per pool above which those of a priority below 0 get 429; --max-in-flight when absent.
    #[arg(long)]
    pub sheddable_in_flight: Option<usize>,
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

/// A size in bytes: a number with an optional unit B, KiB, MiB or GiB.
fn bytes(text: &str) -> Result<usize, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit: usize = match text[digits..].trim() {
        "" | "B" => 1,
        "KiB" | "Ki" => 1 << 10,
        "MiB" | "Mi" => 1 << 20,
        "GiB" | "Gi" => 1 << 30,
        other => return Err(format!("unit {other:?} is not one of B, KiB, MiB, GiB")),
    };
    let number: usize =
        text[..digits].parse().map_err(|_| "a number is missing, write for example 32MiB".to_owned())?;
    number.checked_mul(unit).ok_or_else(|| "too large".to_owned())
}

/// A time: a number with the unit ms, s or m.
fn duration(text: &str) -> Result<std::time::Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 =
        text[..digits].parse().map_err(|_| "a number is missing, write for example 2s".to_owned())?;
    let millis = match &text[digits..] {
        "ms" => Some(number),
        "s" => number.checked_mul(1000),
        "m" => number.checked_mul(60_000),
        other => return Err(format!("unit {other:?} is not one of ms, s, m")),
    };
    millis.map(std::time::Duration::from_millis).ok_or_else(|| "too large".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_have_units() {
        assert_eq!(bytes("32MiB"), Ok(33_554_432));
        assert_eq!(bytes("17"), Ok(17));
        assert!(bytes("32MB").unwrap_err().contains("MiB"));
        assert!(bytes("MiB").unwrap_err().contains("number"));
        assert_eq!(duration("1500ms").unwrap().as_millis(), 1500);
        assert_eq!(duration("2m").unwrap().as_secs(), 120);
        assert!(duration("2").unwrap_err().contains("ms, s, m"));
    }

    #[test]
    fn defaults_are_those_of_other_pickers() {
        let args = Args::parse_from(["signalbox-picker", "--control-plane", "http://127.0.0.1:1"]);
        assert_eq!(args.listen, "0.0.0.0:9002".parse().unwrap());
        assert!(args.secure_serving);
        assert!(!Args::parse_from(["p", "--secure-serving=false"]).secure_serving);
    }
}
