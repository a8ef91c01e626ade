//! The loop of standalone mode: reloads and acknowledgements in, configuration and status out.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use anyhow::Result;
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use super::{ready::Expected, run_dir::RunDir};
use crate::{
    api::NamespacedName,
    cli::problems,
    gateway::ir::ClusterName,
    gateway::ir::EndpointState,
    infra::{desired, local::Local, services::add_managed_pickers, supervisor::ChildState},
    pipeline::{Output, Pipeline},
    pools::PoolPublisher,
    source::{Batch, Reload},
    status::{
        self, Facts, Inputs, Refusal,
        files::{StatusFiles, replace_file},
        overview::{ChildOverview, GatewayOverview, Overview, PoolOverview},
    },
    tasks::TaskSet,
    xds::{Nodes, Publisher},
};

/// Everything that the loop moves.
pub(super) struct Engine {
    pub(super) pipeline: Pipeline,
    pub(super) publisher: Publisher,
    pub(super) pools: PoolPublisher,
    pub(super) nodes: Nodes,
    pub(super) local: Local,
    pub(super) statuses: StatusFiles,
    pub(super) run_dir: RunDir,
    pub(super) source: String,
    pub(super) expected: watch::Sender<BTreeSet<Expected>>,
    pub(super) tasks: TaskSet,
    pub(super) addresses: BTreeMap<NamespacedName, Vec<IpAddr>>,
    pub(super) refused: Vec<String>,
    pub(super) shown: Overview,
}

impl Engine {
    /// Runs until the process ends, then ends the children.
    pub(super) async fn run(mut self, mut reloads: mpsc::Receiver<Reload>) -> Result<()> {
        let mut acknowledged = self.nodes.subscribe_changes();
        let mut children = self.local.changes();
        let cancel = self.tasks.token().clone();
        loop {
            tokio::select! {
                () = cancel.cancelled() => break,
                reload = reloads.recv() => match reload {
                    Some(reload) => self.reload(reload),
                    None => break,
                },
                changed = acknowledged.changed() => changed?,
                changed = children.changed() => changed?,
            }
            self.show();
        }
        self.expected.send_replace(BTreeSet::new());
        self.local.end().await;
        Ok(())
    }

    pub(super) fn reload(&mut self, reload: Reload) {
        match reload {
            Reload::Refused(diagnostics) => {
                self.refused = diagnostics.iter().map(ToString::to_string).collect();
                for diagnostic in &self.refused {
                    tracing::error!(diagnostic, "the change is refused; the configuration before it serves");
                }
            }
            Reload::Loaded(loaded) => {
                self.refused.clear();
                for note in &loaded.notes {
                    tracing::info!(%note, "manifest note");
                }
                if let Err(error) = self.apply(loaded.batch) {
                    tracing::error!(
                        error = format!("{error:#}"),
                        "part of the local infrastructure cannot be set up"
                    );
                }
            }
        }
    }

    fn apply(&mut self, mut batch: Batch) -> Result<()> {
        let (preview, _) = self.pipeline.world().apply(&batch);
        let desired = desired::desired(&preview, self.pipeline.options());
        self.addresses = self.local.place(&desired);
        let picker = self.local.picker_address()?;
        add_managed_pickers(&mut batch, &preview, &desired, picker);
        let mut options = self.pipeline.options().clone();
        options.addresses = self.addresses.clone();
        let first = self.pipeline.set_options(options);
        let second = self.pipeline.apply(&batch);
        self.publish(first);
        self.publish(second);
        self.local.reconcile(&desired, &self.tasks)
    }

    fn publish(&self, output: Output) {
        for (gateway, snapshot) in output.snapshots {
            self.publisher.publish(&gateway, snapshot);
        }
        for gateway in output.removed {
            self.publisher.remove(&gateway);
        }
        self.pools.update(output.pools, &output.removed_pools);
    }

    /// Writes statuses and the overview, and says which listeners should be ready.
    fn show(&mut self) {
        let facts: BTreeMap<_, _> =
            self.pipeline.gateways().map(|(name, ..)| (name.clone(), self.facts(name))).collect();
        let entries = self.pipeline.gateways().map(|(name, reports, _)| (name, reports, facts[name].clone()));
        let inputs = Inputs {
            controller: &self.pipeline.options().controller_name,
            classes: self.pipeline.classes(),
            cluster: None,
            pickers: &BTreeMap::new(),
        };
        let plan = status::plan(inputs, entries);
        if let Err(error) =
            self.statuses.write(&plan, &Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
        {
            tracing::error!(%error, "status files cannot be written");
        }
        let expected = self.expected_listeners();
        self.expected.send_if_modified(|held| {
            let differs = *held != expected;
            *held = expected;
            differs
        });
        let overview = self.overview(&facts);
        if overview != self.shown {
            let text = serde_json::to_string_pretty(&overview).unwrap_or_default();
            match replace_file(&self.run_dir.path().join("overview.json"), text.as_bytes()) {
                Ok(()) => self.shown = overview,
                Err(error) => tracing::error!(%error, "the overview cannot be written"),
            }
        }
    }

    fn facts(&self, gateway: &NamespacedName) -> Facts {
        let state = self.nodes.gateway_state(gateway);
        let addresses = self.addresses.get(gateway).into_iter().flatten();
        let addresses: Vec<_> = addresses.map(ToString::to_string).collect();
        let address_error = addresses.is_empty().then(|| {
            "all of 127.0.0.2 to 127.0.0.254 are taken by other Gateways: name an address in spec.addresses".to_owned()
        });
        Facts {
            addresses,
            address_error,
            connected: state.connected,
            acknowledged: self.nodes.is_current(gateway),
            refusals: state
                .nacks
                .iter()
                .map(|nack| Refusal { resources: nack.resources.clone(), message: nack.message.clone() })
                .collect(),
        }
    }

    fn expected_listeners(&self) -> BTreeSet<Expected> {
        let listeners = self.pipeline.gateways().flat_map(|(name, _, ir)| {
            ir.listeners.iter().filter_map(|listener| {
                let address = SocketAddr::new(*listener.addresses.first()?, listener.bind_port);
                Some(Expected { gateway: name.clone(), address, admin_file: self.local.admin_file(name) })
            })
        });
        listeners.collect()
    }

    fn overview(&self, facts: &BTreeMap<NamespacedName, Facts>) -> Overview {
        let gateways = self.pipeline.gateways().map(|(name, reports, ir)| {
            let facts = &facts[name];
            let address = |l: &std::sync::Arc<crate::gateway::ir::Listener>| {
                l.addresses.first().map(|ip| format!("http://{}", SocketAddr::new(*ip, l.bind_port)))
            };
            GatewayOverview {
                name: name.to_string(),
                addresses: ir.listeners.iter().filter_map(address).collect(),
                programmed: facts.acknowledged && facts.refusals.is_empty(),
                attached_routes: reports.gateway.listeners.iter().map(|l| l.attached_routes).sum(),
                envoys: facts.connected,
                refusals: facts.refusals.iter().map(ToString::to_string).collect(),
            }
        });
        let children = self.local.children().map(|(name, state, log)| ChildOverview {
            name: name.to_owned(),
            state: child_state(&state),
            log: log.display().to_string(),
        });
        Overview {
            pid: std::process::id(),
            source: self.source.clone(),
            refused: self.refused.clone(),
            gateways: gateways.collect(),
            pools: self.pipeline.world().pools.keys().map(|pool| self.pool_overview(pool)).collect(),
            children: children.collect(),
            problems: problems(&self.pipeline),
        }
    }

    fn pool_overview(&self, pool: &NamespacedName) -> PoolOverview {
        let set = self.pipeline.endpoints_of(&ClusterName::pool(pool));
        let endpoints = set.map(|set| set.endpoints.as_slice()).unwrap_or_default();
        let mut classes: BTreeMap<&str, usize> = BTreeMap::new();
        for endpoint in endpoints.iter().filter(|e| e.state == EndpointState::Ready) {
            let class = endpoint.accelerator.class.as_str();
            *classes.entry(if class.is_empty() { "unknown" } else { class }).or_default() += 1;
        }
        PoolOverview {
            name: pool.to_string(),
            ready: classes.values().sum(),
            endpoints: endpoints.len(),
            accelerators: classes.iter().map(|(class, count)| format!("{count} × {class}")).collect(),
        }
    }
}

fn child_state(state: &ChildState) -> String {
    match state {
        ChildState::Starting => "starting".into(),
        ChildState::Running { pid, restarts: 0 } => format!("running (pid {pid})"),
        ChildState::Running { pid, restarts } => format!("running (pid {pid}, restarted {restarts} times)"),
        ChildState::Restarting { why, .. } => format!("ended ({why}), restarts"),
        ChildState::Ended => "ended".into(),
    }
}
