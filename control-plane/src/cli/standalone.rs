//! `signalbox standalone DIR`: both tiers on a directory of manifests, without a cluster.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Result;
use clap::Args;

use crate::{app, config::LogFormat, telemetry};

/// Runs the gateway on this machine from a directory of Kubernetes manifests.
///
/// Reads every *.yaml, *.yml and *.json below DIR (Gateways, HTTPRoutes, InferencePools, Services, Pods with their
/// addresses, …), starts one Envoy per Gateway and one endpoint picker, follows every change of the files, and prints
/// `ready http://ADDRESS:PORT` for each listener once requests can be answered. A change with an error is refused as a
/// whole, named with file, line and field, and the configuration before it keeps serving. Ctrl-C ends it cleanly.
#[derive(Debug, Args)]
pub(super) struct Standalone {
    /// Directory of manifests.
    dir: PathBuf,
    /// Where logs, Envoy's bootstrap and status files are kept [default: DIR/.signalbox].
    #[arg(long)]
    run_dir: Option<PathBuf>,
    /// The Envoy binary (1.40 or later) [default: `envoy` on PATH, else the one in the user cache].
    #[arg(long, env = "ENVOY_BIN")]
    envoy: Option<PathBuf>,
    /// The picker binary [default: `signalbox-picker` beside this binary, else on PATH].
    #[arg(long)]
    picker: Option<PathBuf>,
    /// Start no Envoy and no picker: somebody else runs them. Bootstraps are written to the run directory.
    #[arg(long, requires = "picker_address")]
    external: bool,
    /// Where the picker of pools annotated `signalbox.dev/picker: managed` listens, with --external.
    #[arg(long, requires = "external")]
    picker_address: Option<SocketAddr>,
    /// Where Envoys connect for their configuration (ADS).
    #[arg(long, default_value = "127.0.0.1:0")]
    xds_listen: SocketAddr,
    /// Where pickers connect for their pools.
    #[arg(long, default_value = "127.0.0.1:0")]
    pools_listen: SocketAddr,
    /// Where the control plane serves /metrics, /healthz, /readyz and /status.
    #[arg(long, default_value = "127.0.0.1:0")]
    admin_listen: SocketAddr,
    /// Time for running requests to end on Ctrl-C, in seconds.
    #[arg(long, default_value_t = 5)]
    drain_seconds: u64,
    #[command(flatten)]
    log: LogArgs,
}

/// How the process logs to standard error.
#[derive(Debug, Args)]
pub(super) struct LogArgs {
    /// Log filter, for example `info` or `control_plane::xds=debug`.
    #[arg(long, env = "SIGNALBOX_LOG", default_value = "info")]
    pub(super) log: String,
    /// Log format.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(super) log_format: LogFormat,
}

impl Standalone {
    /// Runs until Ctrl-C or SIGTERM.
    ///
    /// # Errors
    /// When the first reading of the directory fails, or a part that must not end does.
    pub(super) fn run(self) -> Result<ExitCode> {
        telemetry::init(&self.log.log, self.log.log_format)?;
        let external = self.external.then_some(self.picker_address).flatten();
        app::standalone(app::StandaloneConfig {
            run_dir: self.run_dir.unwrap_or_else(|| self.dir.join(".signalbox")),
            dir: self.dir,
            envoy: self.envoy,
            picker: self.picker,
            external_picker: external,
            xds_listen: self.xds_listen,
            pools_listen: self.pools_listen,
            admin_listen: self.admin_listen,
            drain: Duration::from_secs(self.drain_seconds),
        })
    }
}
