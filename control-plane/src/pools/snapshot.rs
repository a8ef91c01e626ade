//! One pool's snapshot, from what was resolved.

use std::{collections::BTreeMap, hash::Hash};

use proto::tier::v1;

use crate::{
    api::{FailureMode, InferencePool, NamespacedName, PoolAppProtocol},
    gateway::{self, ir},
    world::World,
    xds::Version,
};

/// Changes whenever the form of snapshots does, so that pickers of every version hear of it.
const SALT: u64 = 1;

/// Annotations with this prefix are policy for the picker.
const PREFIX: &str = "signalbox.dev/";

/// What a snapshot is made from; its hash is the revision.
#[derive(Hash)]
struct Content<'a> {
    endpoints: &'a ir::EndpointSet,
    h2c: bool,
    open: bool,
    objectives: &'a [gateway::Objective],
    rewrites: &'a [gateway::Rewrite],
    annotations: &'a BTreeMap<&'a String, &'a String>,
}

/// The snapshot of `pool` with these endpoints. `endpoints_revision` is the version of Envoy's EDS resource made from the
/// same set.
pub fn snapshot(
    world: &World,
    pool: &InferencePool,
    endpoints: &ir::EndpointSet,
    endpoints_revision: Version,
) -> v1::PoolSnapshot {
    let key = pool.metadata.key();
    let (objectives, rewrites) = gateway::pool_objects(world, &key);
    let annotations: BTreeMap<_, _> =
        pool.metadata.annotations.iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    let h2c = pool.spec.app_protocol == PoolAppProtocol::H2c;
    let open =
        pool.spec.endpoint_picker_ref.as_ref().is_some_and(|r| r.failure_mode == FailureMode::FailOpen);
    let content = Content {
        endpoints,
        h2c,
        open,
        objectives: &objectives,
        rewrites: &rewrites,
        annotations: &annotations,
    };
    v1::PoolSnapshot {
        revision: Version::of(SALT, &content).0,
        name: Some(pool_name(&key)),
        endpoints_revision: endpoints_revision.0,
        endpoints: endpoints.endpoints.iter().map(|one| endpoint(one)).collect(),
        app_protocol: if h2c { v1::AppProtocol::H2c } else { v1::AppProtocol::Http }.into(),
        failure_mode: if open { v1::FailureMode::Open } else { v1::FailureMode::Close }.into(),
        objectives: objectives.into_iter().map(objective).collect(),
        rewrites: rewrites.into_iter().map(rewrite).collect(),
        annotations: annotations.into_iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
    }
}

/// A pool's name on the wire.
pub(super) fn pool_name(key: &NamespacedName) -> v1::PoolName {
    v1::PoolName { namespace: key.namespace.clone(), name: key.name.clone() }
}

fn endpoint(endpoint: &ir::Endpoint) -> v1::Endpoint {
    let state = match endpoint.state {
        ir::EndpointState::Ready => v1::EndpointState::Ready,
        ir::EndpointState::Draining => v1::EndpointState::Draining,
    };
    v1::Endpoint {
        address: endpoint.address.to_string(),
        port: endpoint.port.into(),
        pod: endpoint.pod.clone(),
        node: endpoint.node.clone(),
        rank: endpoint.rank,
        state: state.into(),
        engine: endpoint.engine.clone(),
        accelerator: Some(v1::Accelerator {
            class: endpoint.accelerator.class.clone(),
            count: endpoint.accelerator.count,
            memory_bytes: endpoint.accelerator.memory_bytes,
        }),
        labels: endpoint.labels.clone().into_iter().collect(),
    }
}

fn objective(objective: gateway::Objective) -> v1::Objective {
    v1::Objective {
        name: objective.name,
        priority: objective.priority,
        annotations: objective.annotations.into_iter().collect(),
        models: objective.models,
    }
}

fn rewrite(rule: gateway::Rewrite) -> v1::RewriteRule {
    v1::RewriteRule {
        source: rule.source,
        models: rule.models,
        targets: rule
            .targets
            .into_iter()
            .map(|(model, weight)| v1::RewriteTarget { model, weight })
            .collect(),
    }
}
