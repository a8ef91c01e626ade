//! Wires cluster mode together.

use std::{
    collections::BTreeSet, net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration,
};

use anyhow::Result;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{
    cluster_engine::{ClusterEngine, Others},
    issued::Issued,
    process::{bind, stop_on_signal},
    steady::Steady,
    tiers::Tiers,
    write_gate,
};
use crate::{
    admin::{self, Admin},
    api::NamespacedName,
    config::CONTROLLER_NAME,
    gateway,
    identity::{self, ServerTls, secrets, secrets::Secrets},
    infra::cluster::{Applier, HostPort, IDENTITY_DIR, IdentityConfig, InfraConfig, Inputs},
    leader,
    pipeline::Pipeline,
    pools::{self, PoolPublisher},
    process_metrics,
    replicas::{self, Known, Reports},
    source::cluster::{self, ClusterConfig, SourceState},
    status,
    tasks::TaskSet,
    translate,
    xds::{self, Nodes, Publisher},
};

/// What `signalbox controller` was asked for.
#[derive(Clone, Debug)]
pub struct ControllerConfig {
    /// Namespace of this installation.
    pub namespace: String,
    /// Name of this replica: its Pod's.
    pub replica: String,
    /// Name of the Service that Envoys and pickers reach the control plane by.
    pub service: String,
    /// DNS domain of the cluster.
    pub cluster_domain: String,
    /// Where ADS is served.
    pub xds_listen: SocketAddr,
    /// Where the tier API is served.
    pub pools_listen: SocketAddr,
    /// Where health, readiness, metrics and status are served.
    pub admin_listen: SocketAddr,
    /// Image of the Envoys.
    pub envoy_image: String,
    /// Image of the pickers.
    pub picker_image: String,
    /// Seconds for load balancers to forget a Pod that ends.
    pub endpoint_removal_seconds: u32,
    /// Gateways are somebody else's: only pickers are served.
    pub pools_only: bool,
    /// A directory with tls.crt, tls.key and ca.crt of somebody else's making for our servers.
    pub tls_dir: Option<PathBuf>,
}

impl ControllerConfig {
    /// Names in our certificate, the first of which Envoys and pickers verify.
    fn dns_names(&self) -> Vec<String> {
        let (service, namespace) = (&self.service, &self.namespace);
        vec![
            self.own().service_host(),
            format!("{service}.{namespace}.svc.{}", self.cluster_domain),
            format!("{service}.{namespace}"),
        ]
    }

    /// The Service of the control plane: who it is, whatever the replica.
    fn own(&self) -> NamespacedName {
        NamespacedName::new(&self.namespace, &self.service)
    }

    fn infra(&self) -> InfraConfig {
        let host = format!("{}.{}.svc.{}", self.service, self.namespace, self.cluster_domain);
        let at = |port| HostPort { host: host.clone(), port };
        InfraConfig {
            installation: self.namespace.clone(),
            envoy_image: self.envoy_image.clone(),
            picker_image: self.picker_image.clone(),
            ads: at(self.xds_listen.port()),
            tier_api: at(self.pools_listen.port()),
            endpoint_removal_seconds: self.endpoint_removal_seconds,
            identity: Some(IdentityConfig {
                server_name: self.dns_names().swap_remove(0),
                gateway_secret: |gateway| identity::secret_name(&identity::Holder::Gateway(gateway.clone())),
                picker_secret: |service| identity::secret_name(&identity::Holder::Picker(service.clone())),
                picker_args: vec![
                    format!("--control-plane-tls-dir={IDENTITY_DIR}"),
                    format!("--tls-dir={IDENTITY_DIR}"),
                ],
            }),
        }
    }
}

/// Runs until SIGTERM or Ctrl-C.
///
/// # Errors
/// When there is no cluster to speak to, or a part that must not end does.
pub fn controller(config: ControllerConfig) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(config))
}

async fn run(config: ControllerConfig) -> Result<ExitCode> {
    let source_config = ClusterConfig::default();
    let client = source_config.connect().await?;
    let [xds_listener, pools_listener, admin_listener] = [
        bind("--xds-listen", config.xds_listen).await?,
        bind("--pools-listen", config.pools_listen).await?,
        bind("--admin-listen", config.admin_listen).await?,
    ];
    let cancel = CancellationToken::new();
    let tasks = TaskSet::under(&cancel);
    let mut registry = Registry::default();
    process_metrics::register(&mut registry);
    let source = SourceState::new(&mut registry);
    let publisher = Publisher::default();
    let nodes = Nodes::new(publisher.clone());
    nodes.metrics().register(&mut registry);
    let status_metrics = status::cluster::Metrics::default();
    status_metrics.register(&mut registry);
    let tls = ServerTls::default();
    tls.metrics().register(&mut registry);
    let pools = PoolPublisher::default();

    let (candidate, leader) = leader::candidate(client.clone(), &config.namespace, &config.replica);
    let (desired, desired_heard) = watch::channel(None);
    let (wanted, wanted_heard) = watch::channel(None);
    let (missing, missing_heard) = watch::channel(BTreeSet::new());
    let (trust, trust_heard) = watch::channel(None);
    let (overview, overview_heard) = watch::channel(String::from("{}"));
    let (applier, states) =
        Applier::new(client.clone(), Inputs { desired: desired_heard, leader: leader.clone() });
    let replicas_metrics = replicas::Metrics::default();
    replicas_metrics.register(&mut registry);
    let (others, writes) = hear_others(&config, &tls, &replicas_metrics, &leader, &tasks);
    let writer = (!config.pools_only)
        .then(|| status::cluster::writer(client.clone(), CONTROLLER_NAME, writes, status_metrics));
    let (writer, status_task) = writer.unzip();
    let controller_name = if config.pools_only { "" } else { CONTROLLER_NAME };
    let engine = ClusterEngine {
        planner: status::Planner::default(),
        tiers: Tiers {
            pipeline: Pipeline::new(gateway::Options::new(controller_name), translate::Settings::default()),
            publisher: publisher.clone(),
            pools: pools.clone(),
            nodes: nodes.clone(),
        },
        infra: config.infra(),
        source: source.clone(),
        desired,
        wanted,
        missing,
        issued: config.tls_dir.is_none().then(Issued::default),
        trust: trust_heard,
        states,
        writer,
        overview,
        others,
        steady: Steady::default(),
    };

    let admin = Admin::new(registry, waits_for(source.clone(), tls.clone()), overview_heard);
    tasks.spawn("admin", admin::serve(admin_listener, admin, cancel.clone()));
    tasks.spawn("leader", candidate.run(cancel.clone()));
    let (batches, batches_heard) = mpsc::channel(1);
    tasks.spawn(
        "cluster source",
        cluster::run(client.clone(), source_config, batches, source, cancel.clone()),
    );
    let certificates = secrets::Config {
        secrets: Secrets::new(client, &config.namespace),
        own: config.own(),
        dns_names: config.dns_names(),
        tls: tls.clone(),
        trust,
        wanted: wanted_heard,
        missing: missing_heard,
        leader,
    };
    let reports = Reports {
        nodes: nodes.clone(),
        own: config.own(),
        replica: config.replica.clone(),
        metrics: replicas_metrics,
    };
    tasks.spawn("certificates", certificates_from(config.tls_dir, certificates, cancel.clone()));
    tasks.spawn("infrastructure", applier.run(cancel.clone()));
    if let Some(status_task) = status_task {
        tasks.spawn("status", status_task.run(cancel.clone()));
        let limits = xds::Limits::default();
        let serve = xds::serve_tls(xds_listener, tls.clone(), publisher, nodes, limits, cancel.clone());
        tasks.spawn("xds", serve);
    }
    tasks.spawn("pools", pools::serve_tls(pools_listener, tls, pools, reports, cancel.clone()));
    tasks.spawn("engine", engine.run(batches_heard, cancel.clone()));
    tasks.spawn_brief("signals", stop_on_signal(cancel.clone()));
    tasks.wait(Duration::from_secs(10)).await?;
    Ok(ExitCode::SUCCESS)
}

/// What readiness waits for; other replicas are none of it.
fn waits_for(source: SourceState, tls: ServerTls) -> impl Fn() -> Vec<String> + Send + Sync + 'static {
    move || {
        let mut lines = source.readiness().waiting_for();
        if !tls.is_ready() {
            lines.push("the certificate of this replica".to_owned());
        }
        lines
    }
}

/// Follows the other replicas while this one leads, and says when statuses may be written.
fn hear_others(
    config: &ControllerConfig,
    tls: &ServerTls,
    metrics: &replicas::Metrics,
    leader: &watch::Receiver<bool>,
    tasks: &TaskSet,
) -> (Others, watch::Receiver<bool>) {
    let (addresses, addresses_heard) = watch::channel(None);
    let (known, known_heard) = watch::channel(Arc::new(Known::default()));
    let (informed, informed_heard) = watch::channel(false);
    let (writes, writes_heard) = watch::channel(false);
    let following = replicas::Config {
        own: config.own(),
        replica: config.replica.clone(),
        tls: tls.clone(),
        metrics: metrics.clone(),
        leader: leader.clone(),
        addresses: addresses_heard,
        known,
    };
    let cancel = tasks.token();
    tasks.spawn("replicas", replicas::run(following, cancel.clone()));
    tasks.spawn("write gate", write_gate::run(leader.clone(), informed_heard, writes, cancel.clone()));
    let others = Others {
        service: config.own(),
        pod: NamespacedName::new(&config.namespace, &config.replica),
        addresses,
        known: known_heard,
        informed,
    };
    (others, writes_heard)
}

/// Keeps the servers' certificate, and issues those of Envoys and pickers, unless somebody else does.
async fn certificates_from(
    directory: Option<PathBuf>,
    config: secrets::Config,
    cancel: CancellationToken,
) -> Result<()> {
    let Some(directory) = directory else { return secrets::run(config, cancel).await };
    let credentials = identity::read_directory(&directory)
        .map_err(|error| anyhow::anyhow!("--tls-dir {}: {error}", directory.display()))?;
    let trust = String::from_utf8_lossy(&credentials.trust).into_owned();
    config.trust.send_replace(Some(Arc::from(trust)));
    identity::follow_directory(&directory, &config.tls, &cancel).await;
    Ok(())
}
