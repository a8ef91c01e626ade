//! What both modes have in common: the pipeline, and who is told of what it puts out.

use std::collections::BTreeMap;

use crate::{
    api::NamespacedName,
    cli::problems,
    gateway::ir::{ClusterName, EndpointState, Listener},
    pipeline::{Output, Pipeline},
    pools::PoolPublisher,
    replicas::{self, Known},
    source::Batch,
    status::{
        Facts, Refusal,
        overview::{GatewayOverview, Overview, PoolOverview},
    },
    xds::{Nack, Nodes, Publisher},
};

/// The pipeline between a source and the two servers.
pub(super) struct Tiers {
    pub(super) pipeline: Pipeline,
    pub(super) publisher: Publisher,
    pub(super) pools: PoolPublisher,
    pub(super) nodes: Nodes,
}

impl Tiers {
    /// Takes a batch and publishes what follows from it.
    pub(super) fn apply(&mut self, batch: &Batch) {
        let output = self.pipeline.apply(batch);
        self.publish(output);
    }

    /// Tells Envoys and pickers what is new.
    pub(super) fn publish(&self, output: Output) {
        for (gateway, snapshot) in output.snapshots {
            self.publisher.publish(&gateway, snapshot);
        }
        for gateway in output.removed {
            self.publisher.remove(&gateway);
        }
        self.pools.update(output.pools, &output.removed_pools);
    }

    /// What the Envoys of a Gateway say, those of other replicas included; the addresses are for the mode to fill in.
    pub(super) fn facts(&self, gateway: &NamespacedName, others: &Known) -> Facts {
        let own = self.nodes.gateway_state(gateway);
        let snapshot = self.publisher.current(gateway);
        let merged = replicas::merge(&own, snapshot.as_deref(), others.of(gateway));
        let refusal =
            |nack: &Nack| Refusal { resources: nack.resources.clone(), message: nack.message.clone() };
        Facts {
            connected: merged.connected,
            acknowledged: merged.acknowledged,
            refusals: merged.nacks.iter().map(refusal).collect(),
            ..Facts::default()
        }
    }

    /// The state of both tiers; `address` names where a listener of a Gateway is reached.
    pub(super) fn overview(
        &self,
        facts: &BTreeMap<NamespacedName, Facts>,
        address: impl Fn(&Facts, &Listener) -> Option<String>,
    ) -> Overview {
        let gateways = self.pipeline.gateways().map(|(name, reports, ir)| {
            let facts = &facts[name];
            GatewayOverview {
                name: name.to_string(),
                addresses: ir.listeners.iter().filter_map(|listener| address(facts, listener)).collect(),
                programmed: facts.acknowledged && facts.refusals.is_empty() && facts.problem.is_none(),
                attached_routes: reports.gateway.listeners.iter().map(|l| l.attached_routes).sum(),
                envoys: facts.connected,
                refusals: facts.refusals.iter().map(ToString::to_string).collect(),
            }
        });
        Overview {
            pid: std::process::id(),
            gateways: gateways.collect(),
            pools: self.pipeline.world().pools.keys().map(|pool| self.pool_overview(pool)).collect(),
            problems: problems(&self.pipeline),
            ..Overview::default()
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
