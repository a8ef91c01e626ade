//! The loop of standalone mode: reloads and acknowledgements in, configuration and status out.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use anyhow::Result;
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use super::{ready::Expected, run_dir::RunDir, tell::tell, tiers::Tiers};
use crate::{
    api::NamespacedName,
    infra::{desired, local::Local, services::add_managed_pickers, supervisor::ChildState},
    replicas::Known,
    source::{Batch, Reload},
    status::{
        self, Facts, FleetProblem, Inputs,
        files::{StatusFiles, replace_file},
        overview::{ChildOverview, Overview},
    },
    tasks::TaskSet,
};

/// Everything that the loop moves.
pub(super) struct Engine {
    pub(super) tiers: Tiers,
    pub(super) local: Local,
    pub(super) planner: status::Planner,
    pub(super) statuses: StatusFiles,
    pub(super) run_dir: RunDir,
    pub(super) source: String,
    /// Where the admin port is.
    pub(super) admin: String,
    pub(super) overview: watch::Sender<String>,
    pub(super) expected: watch::Sender<BTreeSet<Expected>>,
    pub(super) tasks: TaskSet,
    pub(super) addresses: BTreeMap<NamespacedName, Vec<IpAddr>>,
    pub(super) refused: Vec<String>,
    pub(super) shown: Overview,
}

impl Engine {
    /// Runs until the process ends, then ends the children.
    pub(super) async fn run(mut self, mut reloads: mpsc::Receiver<Reload>) -> Result<()> {
        let mut acknowledged = self.tiers.nodes.subscribe_changes();
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
        let (preview, _) = self.tiers.pipeline.world().apply(&batch);
        let desired = desired::desired(&preview, self.tiers.pipeline.options());
        self.addresses = self.local.place(&desired);
        let picker = self.local.picker_address()?;
        add_managed_pickers(&mut batch, &preview, &desired, picker);
        let mut options = self.tiers.pipeline.options().clone();
        options.addresses = self.addresses.clone();
        let first = self.tiers.pipeline.set_options(options);
        let second = self.tiers.pipeline.apply(&batch);
        self.tiers.publish(first);
        self.tiers.publish(second);
        self.local.reconcile(&desired, &self.tasks)
    }

    /// Writes statuses and the overview, and says which listeners should be ready.
    fn show(&mut self) {
        let facts: BTreeMap<_, _> =
            self.tiers.pipeline.gateways().map(|(name, ..)| (name.clone(), self.facts(name))).collect();
        let entries =
            self.tiers.pipeline.gateways().map(|(name, reports, _)| (name, reports, facts[name].clone()));
        let inputs = Inputs {
            controller: &self.tiers.pipeline.options().controller_name,
            classes: self.tiers.pipeline.classes(),
            cluster: None,
            pickers: &BTreeMap::new(),
        };
        let plan = self.planner.plan(inputs, entries);
        if let Err(error) =
            self.statuses.write(&plan, &Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
        {
            tracing::error!(%error, "status files cannot be written");
        }
        tell(&self.expected, self.expected_listeners());
        let overview = self.overview(&facts);
        if overview != self.shown {
            let text = serde_json::to_string_pretty(&overview).unwrap_or_default();
            self.overview.send_replace(text.clone());
            match replace_file(&self.run_dir.path().join("overview.json"), text.as_bytes()) {
                Ok(()) => self.shown = overview,
                Err(error) => tracing::error!(%error, "the overview cannot be written"),
            }
        }
    }

    fn facts(&self, gateway: &NamespacedName) -> Facts {
        let addresses = self.addresses.get(gateway).into_iter().flatten();
        let addresses: Vec<_> = addresses.map(ToString::to_string).collect();
        let problem = addresses.is_empty().then(|| FleetProblem {
            reason: "AddressNotUsable",
            message: "all of 127.0.0.2 to 127.0.0.254 are taken by other Gateways: name an address in spec.addresses".into(),
        });
        Facts { addresses, problem, ..self.tiers.facts(gateway, &Known::default()) }
    }

    fn expected_listeners(&self) -> BTreeSet<Expected> {
        let listeners = self.tiers.pipeline.gateways().flat_map(|(name, _, ir)| {
            ir.listeners.iter().filter_map(|listener| {
                let address = SocketAddr::new(*listener.addresses.first()?, listener.bind_port);
                Some(Expected { gateway: name.clone(), address, admin_file: self.local.admin_file(name) })
            })
        });
        listeners.collect()
    }

    fn overview(&self, facts: &BTreeMap<NamespacedName, Facts>) -> Overview {
        let children = self.local.children().map(|(name, state, log)| ChildOverview {
            name: name.to_owned(),
            state: child_state(&state),
            log: log.display().to_string(),
        });
        Overview {
            source: self.source.clone(),
            admin: self.admin.clone(),
            refused: self.refused.clone(),
            children: children.collect(),
            ..self.tiers.overview(facts, |_, listener| {
                let ip = listener.addresses.first()?;
                Some(format!("http://{}", SocketAddr::new(*ip, listener.bind_port)))
            })
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
