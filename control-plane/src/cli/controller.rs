//! `signalbox controller`: the control plane in a cluster.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::Args;

use super::standalone::LogArgs;
use crate::{app, telemetry};

/// Runs the control plane in a Kubernetes cluster.
///
/// Follows Gateways, HTTPRoutes and InferencePools, runs an Envoy fleet for each Gateway of class `signalbox` and a
/// picker for each pool annotated `signalbox.dev/picker: managed`, serves them their configuration over mutual TLS, and
/// writes statuses. Several replicas serve at the same time; one of them, the leader, writes. The API server is found
/// as kubectl finds it: in-cluster, or by KUBECONFIG.
#[derive(Debug, Args)]
pub(super) struct Controller {
    /// Namespace of this installation: its certificates and its lease are there.
    #[arg(long, env = "POD_NAMESPACE", default_value = "signalbox-system")]
    namespace: String,
    /// Name of this replica, unique in the installation [default: the host's name].
    #[arg(long, env = "POD_NAME")]
    replica: Option<String>,
    /// The Service by which Envoys and pickers reach the control plane.
    #[arg(long, default_value = "signalbox")]
    service: String,
    /// DNS domain of the cluster.
    #[arg(long, default_value = "cluster.local")]
    cluster_domain: String,
    /// Where Envoys connect for their configuration (ADS, mutual TLS).
    #[arg(long, default_value = "[::]:18000")]
    xds_listen: SocketAddr,
    /// Where pickers connect for their pools (mutual TLS).
    #[arg(long, default_value = "[::]:18001")]
    pools_listen: SocketAddr,
    /// Where /healthz, /readyz, /metrics and /status are served.
    #[arg(long, default_value = "[::]:18080")]
    admin_listen: SocketAddr,
    /// Image of the Envoys that are run for Gateways.
    #[arg(long, env = "ENVOY_IMAGE", default_value = "docker.io/envoyproxy/envoy:distroless-v1.40.0")]
    envoy_image: String,
    /// Image of the pickers that are run for pools.
    #[arg(long, env = "PICKER_IMAGE", default_value = concat!("ghcr.io/signalbox/picker:", env!("CARGO_PKG_VERSION")))]
    picker_image: String,
    /// Seconds that load balancers need to forget a Pod that ends; it serves as long.
    #[arg(long, default_value_t = 5)]
    endpoint_removal_seconds: u32,
    /// Serve pickers only: Gateways are another controller's, one that speaks the endpoint-picker protocol.
    #[arg(long)]
    pools_only: bool,
    /// Directory with tls.crt, tls.key and ca.crt for our servers, cert-manager's say; then no certificates are issued,
    /// and the Secrets of Envoys and pickers are yours to make. With several replicas it has to be good for clients, too
    /// (no extended key usage, or client auth beside server auth): they hear of each other's Envoys with it.
    #[arg(long)]
    tls_dir: Option<PathBuf>,
    #[command(flatten)]
    log: LogArgs,
}

impl Controller {
    /// Runs until SIGTERM or Ctrl-C.
    ///
    /// # Errors
    /// When there is no cluster to speak to, or a part that must not end does.
    pub(super) fn run(self) -> Result<ExitCode> {
        telemetry::init(&self.log.log, self.log.log_format)?;
        let host = || {
            nix::unistd::gethostname()
                .map_or_else(|_| "signalbox".into(), |name| name.to_string_lossy().into_owned())
        };
        app::controller(app::ControllerConfig {
            namespace: self.namespace,
            replica: self.replica.unwrap_or_else(host),
            service: self.service,
            cluster_domain: self.cluster_domain,
            xds_listen: self.xds_listen,
            pools_listen: self.pools_listen,
            admin_listen: self.admin_listen,
            envoy_image: self.envoy_image,
            picker_image: self.picker_image,
            endpoint_removal_seconds: self.endpoint_removal_seconds,
            pools_only: self.pools_only,
            tls_dir: self.tls_dir,
        })
    }
}
