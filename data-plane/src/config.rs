//! The checked configuration of a picker: what the command line means, or what is wrong with it and how to mend it.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};

use crate::cli::{Args, QueueArgs};
use crate::decisions;
use crate::extproc::lane::Policy;
use crate::flow::{Bounds, Eviction, Fullness, Limits, Settings, Size, Times};
use crate::peers::PeersConfig;
use crate::peers::tls::Certificates;
use crate::pool::source::tier::TierConfig;
use crate::tls::{self, Acceptor};

/// Where pools come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// The control plane.
    Tier(Box<TierConfig>),
    /// A file.
    File(PathBuf),
}

/// What a picker needs to start.
pub struct Config {
    /// Addresses, times and threads, as they were given.
    pub args: Args,
    /// Where pools come from.
    pub source: Source,
    /// How requests are treated.
    pub policy: Policy,
    /// Which decisions are kept.
    pub decisions: decisions::Settings,
    /// The other pickers; None when this one is alone.
    pub peers: Option<Arc<PeersConfig>>,
    /// TLS of the ext_proc port.
    pub tls: Option<Arc<Acceptor>>,
    /// Threads that serve ext_proc.
    pub workers: usize,
}

impl Config {
    /// Checks `args`.
    ///
    /// # Errors
    /// Names the flag and the remedy.
    pub fn new(args: Args) -> anyhow::Result<Self> {
        ensure!(
            args.secure_serving || args.cert_path.is_none(),
            "--cert-path is given but --secure-serving is false; drop one of them"
        );
        ensure!(
            args.body_limit > 0,
            "--body-limit is 0, every request with a body would be refused; raise it"
        );
        ensure!(
            args.body_limit < 1 << 31,
            "--body-limit is above 2 GiB, which a gRPC message cannot carry; lower it"
        );
        ensure!(
            !args.decision_deadline.is_zero(),
            "--decision-deadline is 0, every request would be refused; raise it"
        );
        ensure!(
            (0.0..=100.0).contains(&args.read_answers),
            "--read-answers is {}, not a percentage; write a number from 0 to 100",
            args.read_answers
        );
        ensure!(args.max_in_flight > 0, "--max-in-flight is 0, every request would be refused; raise it");
        let source = source(&args)?;
        let peers = peers(&args)?.map(Arc::new);
        let acceptor = || Acceptor::new(args.cert_path.as_deref()).context("--cert-path").map(Arc::new);
        let tls = args.secure_serving.then(acceptor).transpose()?;
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let limits = Limits {
            max_in_flight: args.max_in_flight,
            sheddable_in_flight: args.sheddable_in_flight.unwrap_or(args.max_in_flight),
        };
        let policy = Policy {
            body_limit: args.body_limit,
            decision_deadline: args.decision_deadline,
            read_answers: args.read_answers / 100.0,
            fairness_header: args.queue.fairness_header.clone(),
            admission: admission(&args.queue, limits)?,
        };
        ensure!(
            args.explain_decisions <= 100_000,
            "--explain-decisions is above 100000, more than 8 MiB hold; lower it"
        );
        Ok(Self {
            policy,
            decisions: decisions::Settings { decisions: args.explain_decisions, header: args.explain_header },
            workers: if args.workers == 0 { cores() } else { args.workers },
            source,
            peers,
            tls,
            args,
        })
    }
}

fn admission(args: &QueueArgs, limits: Limits) -> anyhow::Result<Settings> {
    ensure!(
        !args.queue || !args.queue_ttl.is_zero(),
        "--queue-ttl is 0, so that nothing could wait; raise it, or give --queue=false"
    );
    ensure!(
        args.queue_ttl <= args.queue_longest_wait,
        "--queue-ttl is above --queue-longest-wait; lower it, or raise the other together with the gateway's timeout"
    );
    ensure!(
        args.queue_wait_for_endpoints <= args.queue_longest_wait,
        "--queue-wait-for-endpoints is above --queue-longest-wait; lower it, or raise the other together with the \
         gateway's timeout"
    );
    Ok(Settings {
        queue: args.queue,
        times: Times {
            ttl: args.queue_ttl,
            endpoints: args.queue_wait_for_endpoints,
            longest: args.queue_longest_wait,
        },
        bounds: Bounds {
            band: Size { requests: args.queue_band_requests, bytes: args.queue_band_bytes },
            total: Size { requests: args.queue_requests, bytes: args.queue_bytes },
        },
        limits,
        fullness: Fullness { queue: args.endpoint_queue, kv: args.endpoint_kv_percent },
        eviction: Eviction::Off,
        headroom: false,
    })
}

fn source(args: &Args) -> anyhow::Result<Source> {
    if let Some(file) = &args.pools_file {
        return Ok(Source::File(file.clone()));
    }
    let Some(uri) = args.control_plane.clone() else {
        bail!("no pools: give --control-plane with the URL of the tier API, or --pools-file");
    };
    let directory = args.control_plane_tls_dir.clone();
    match (uri.scheme_str(), &directory) {
        (Some("http"), None) => {}
        (Some("https"), Some(directory)) => {
            tls::client(directory).context("--control-plane-tls-dir")?;
        }
        (Some("http"), Some(_)) => bail!(
            "--control-plane-tls-dir is given, but --control-plane {uri} is not https; write https://HOST:PORT"
        ),
        (Some("https"), None) => {
            bail!("--control-plane {uri} needs a client certificate; give --control-plane-tls-dir")
        }
        _ => bail!("--control-plane {uri} has no scheme; write http://HOST:PORT or https://HOST:PORT"),
    }
    uri.host().with_context(|| format!("--control-plane {uri} names no host; write http://HOST:PORT"))?;
    let config = TierConfig {
        uri,
        tls_directory: directory,
        picker_id: args.picker_id.clone(),
        pools: args.pools.clone(),
    };
    Ok(Source::Tier(Box::new(config)))
}

fn peers(args: &Args) -> anyhow::Result<Option<PeersConfig>> {
    let names = &args.peers.peers;
    for name in names {
        let port = name.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        ensure!(
            port.is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0)),
            "--peers: {name:?} is not written HOST:PORT"
        );
    }
    if names.is_empty() {
        return Ok(None);
    }
    let directory = args.peers.peers_tls_dir.as_ref().or(args.control_plane_tls_dir.as_ref());
    let certificates = directory.map(|directory| Certificates::new(directory));
    let certificates = certificates.transpose().context("--peers: the certificates of pickers")?;
    Ok(Some(PeersConfig {
        instance: fastrand::u64(..),
        picker: args.picker_id.clone(),
        names: names.clone(),
        pools: args.pools.clone(),
        certificates,
    }))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn mistakes_name_the_flag_and_the_remedy() {
        for (args, words) in [
            (&[][..], ["--control-plane", "--pools-file"]),
            (&["--control-plane", "signalbox:9003"], ["--control-plane", "http://HOST:PORT"]),
            (&["--control-plane", "https://a:1"], ["--control-plane-tls-dir", "give"]),
            (
                &["--control-plane", "http://a:1", "--control-plane-tls-dir", "x"],
                ["--control-plane-tls-dir", "https"],
            ),
            (
                &["--control-plane", "https://a:1", "--control-plane-tls-dir", "/nowhere"],
                ["-tls-dir", "tls.crt"],
            ),
            (&["--pools-file", "x", "--secure-serving=false", "--cert-path", "y"], ["--cert-path", "drop"]),
            (&["--pools-file", "x", "--cert-path", "/nowhere"], ["--cert-path", "tls.crt"]),
            (&["--pools-file", "x", "--body-limit", "0"], ["--body-limit", "raise"]),
            (&["--pools-file", "x", "--body-limit", "3GiB"], ["--body-limit", "lower"]),
            (&["--pools-file", "x", "--decision-deadline", "0s"], ["--decision-deadline", "raise"]),
            (&["--pools-file", "x", "--read-answers", "101"], ["--read-answers", "from 0 to 100"]),
            (&["--pools-file", "x", "--read-answers", "NaN"], ["--read-answers", "from 0 to 100"]),
            (&["--pools-file", "x", "--explain-decisions", "100001"], ["--explain-decisions", "lower"]),
            (&["--pools-file", "x", "--max-in-flight", "0"], ["--max-in-flight", "raise"]),
            (&["--pools-file", "x", "--queue-ttl", "0s"], ["--queue-ttl", "--queue=false"]),
            (&["--pools-file", "x", "--queue-ttl", "1m"], ["--queue-ttl", "--queue-longest-wait"]),
            (&["--pools-file", "x", "--queue-wait-for-endpoints", "2m"], ["-for-endpoints", "lower"]),
            (&["--pools-file", "x", "--peers", "a:1,b"], ["--peers", "\"b\" is not written HOST:PORT"]),
            (
                &["--pools-file", "x", "--peers", "a:1", "--peers-tls-dir", "/nowhere"],
                ["--peers", "/nowhere/tls.crt"],
            ),
        ] {
            let args = Args::parse_from([&["picker"], args].concat());
            let error = format!("{:#}", Config::new(args).err().unwrap());
            assert!(words.iter().all(|w| error.contains(w)), "{error}");
        }
    }
}
