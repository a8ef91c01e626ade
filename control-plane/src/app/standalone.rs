//! Wires standalone mode together.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Result, bail};
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{
    binaries,
    engine::Engine,
    process::{bind, stop_on_signal},
    ready,
    run_dir::RunDir,
    tiers::Tiers,
};
use crate::{
    admin::{self, Admin},
    config::CONTROLLER_NAME,
    gateway::{self, PortMap},
    infra::{
        addresses,
        local::{Local, LocalConfig},
    },
    pipeline::Pipeline,
    pools::{self, PoolPublisher},
    process_metrics,
    source::{FileSource, Reload},
    status::{Planner, files::StatusFiles, overview::Overview},
    tasks::TaskSet,
    translate,
    xds::{self, Nodes, Publisher},
};

/// What `signalbox standalone` was asked for.
#[derive(Clone, Debug)]
pub struct StandaloneConfig {
    /// Directory of manifests.
    pub dir: PathBuf,
    /// Directory for everything that is written.
    pub run_dir: PathBuf,
    /// The Envoy binary, when named.
    pub envoy: Option<PathBuf>,
    /// The picker binary, when named.
    pub picker: Option<PathBuf>,
    /// Where the picker listens when somebody else runs Envoys and picker.
    pub external_picker: Option<SocketAddr>,
    /// Where ADS is served.
    pub xds_listen: SocketAddr,
    /// Where the tier API is served.
    pub pools_listen: SocketAddr,
    /// Where health, readiness, metrics and status are served.
    pub admin_listen: SocketAddr,
    /// Time for running requests to end.
    pub drain: Duration,
}

/// Runs until Ctrl-C or SIGTERM.
///
/// # Errors
/// When the directory cannot be read the first time, or a part that must not end does.
pub fn standalone(config: StandaloneConfig) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build()?;
    runtime.block_on(run(config))
}

async fn run(config: StandaloneConfig) -> Result<ExitCode> {
    let first = match FileSource::load(&config.dir) {
        Ok(loaded) => loaded,
        Err(diagnostics) => {
            let lines: Vec<_> = diagnostics.iter().map(ToString::to_string).collect();
            bail!("{} cannot be used:\n{}", config.dir.display(), lines.join("\n"));
        }
    };
    let run_dir = RunDir::claim(&config.run_dir)?;
    let cancel = CancellationToken::new();
    let tasks = TaskSet::under(&cancel);
    let xds_listener = bind("--xds-listen", config.xds_listen).await?;
    let pools_listener = bind("--pools-listen", config.pools_listen).await?;
    let admin_listener = bind("--admin-listen", config.admin_listen).await?;
    let external = config.external_picker;
    let local = LocalConfig {
        run_dir: run_dir.path().to_owned(),
        envoy: if external.is_some() { PathBuf::new() } else { binaries::envoy(config.envoy)? },
        picker: if external.is_some() { PathBuf::new() } else { binaries::picker(config.picker)? },
        xds: xds_listener.local_addr()?,
        pools: pools_listener.local_addr()?,
        drain: config.drain,
    };
    let bind = PortMap { privileged_offset: addresses::privileged_offset(), ..PortMap::default() };
    let options = gateway::Options { bind, ..gateway::Options::new(CONTROLLER_NAME) };
    let publisher = Publisher::default();
    let nodes = Nodes::new(publisher.clone());
    let pools = PoolPublisher::default();
    let mut registry = Registry::default();
    process_metrics::register(&mut registry);
    nodes.metrics().register(&mut registry);
    let (overview, overview_heard) = watch::channel(String::from("{}"));
    let (expected, expected_heard) = watch::channel(BTreeSet::new());
    let mut engine = Engine {
        planner: Planner::default(),
        tiers: Tiers {
            pipeline: Pipeline::new(options, translate::Settings::default()),
            publisher: publisher.clone(),
            pools: pools.clone(),
            nodes: nodes.clone(),
        },
        local: Local::new(local, external),
        statuses: StatusFiles::new(run_dir.path().join("status"))?,
        run_dir,
        source: config.dir.display().to_string(),
        admin: format!("http://{}", admin_listener.local_addr()?),
        overview,
        expected,
        tasks: tasks.clone(),
        addresses: BTreeMap::new(),
        refused: Vec::new(),
        shown: Overview::default(),
    };
    engine.reload(Reload::Loaded(first));
    // One reload at a time: a slow loop makes the source wait, which then reads the newest state of the files.
    let (reloads, reloads_heard) = mpsc::channel(1);
    tasks.spawn("manifests", {
        let follow = FileSource::run(config.dir, reloads, cancel.clone());
        async {
            follow.await;
            Ok(())
        }
    });
    tasks.spawn(
        "xds",
        xds::serve(xds_listener, publisher, nodes.clone(), xds::Limits::default(), cancel.clone()),
    );
    tasks.spawn("pools", {
        let serve = pools::serve(pools_listener, pools, cancel.clone());
        async { Ok(serve.await?) }
    });
    // The first reading of the directory has succeeded, so there is nothing left to wait for.
    let admin = Admin::new(registry, Vec::new, overview_heard);
    tasks.spawn("admin", admin::serve(admin_listener, admin, cancel.clone()));
    tasks.spawn_brief("ready", ready::announce(expected_heard, nodes));
    tasks.spawn_brief("signals", stop_on_signal(cancel.clone()));
    let ended = engine.run(reloads_heard).await;
    cancel.cancel();
    ended?;
    tasks.wait(Duration::from_secs(2)).await?;
    Ok(ExitCode::SUCCESS)
}
