//! Pool snapshots of the tier API → dense snapshots. What cannot be used is left out and told.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use proto::tier::v1::{self, EndpointState};

use crate::accelerator::{Book, GroupKey, Hardware, policy_from, profile_of};

use super::board::Board;
use super::key::PoolKey;
use super::publisher::Ports;
use super::role::{self, Role};
use super::snapshot::{Endpoint, Objective, RewriteRule, Snapshot};

/// Labels that tell the model and the longest context of a Pod.
const MODEL_LABEL: &str = "llm-d.ai/model";
const CONTEXT_LABEL: &str = "signalbox.dev/context-length";

/// The key of a pool's name, or what is wrong with it.
pub(super) fn key(name: Option<&v1::PoolName>) -> Result<PoolKey, String> {
    let Some(v1::PoolName { namespace, name }) = name else {
        return Err("a pool without a name was ignored".to_owned());
    };
    format!("{namespace}/{name}").parse().map_err(|error| format!("{error}; it was ignored"))
}

/// Decodes one pool. Slots come from `board`, or stay those of `previous`.
pub(super) fn snapshot(
    key: &PoolKey,
    pool: v1::PoolSnapshot,
    (board, book): (&Board, &Book),
    previous: &Snapshot,
    problems: &mut Vec<String>,
) -> Snapshot {
    let annotations = pool.annotations.into_iter().collect();
    let mut wrong = Vec::new();
    let ports = Ports::of(&annotations, &mut wrong);
    problems.extend(wrong.into_iter().map(|problem| format!("pool {key}: {problem}")));
    let (mut publishers, mut invalid_ports) = (BTreeMap::new(), Vec::new());
    let mut endpoints: Vec<Endpoint> = Vec::with_capacity(pool.endpoints.len());
    for wanted in pool.endpoints {
        let ip = wanted.address.parse().map(|ip: IpAddr| ip.to_canonical());
        let publisher = ip.ok().and_then(|ip| ports.publisher(&wanted, ip, &mut invalid_ports));
        match endpoint(key, wanted, (board, book), previous) {
            Ok(endpoint) => {
                publishers.extend(publisher.map(|publisher| (endpoint.address(), publisher)));
                endpoints.push(endpoint);
            }
            Err(problem) => problems.push(format!("pool {key}: {problem}; the endpoint is not used")),
        }
    }
    // Endpoints of one Pod have its labels in common.
    invalid_ports.sort();
    invalid_ports.dedup();
    problems.extend(invalid_ports.iter().map(|invalid| format!("pool {key}: {invalid}")));
    endpoints.sort_by_key(Endpoint::address);
    endpoints.dedup_by(|later, first| {
        let same = later.address() == first.address();
        if same {
            let (address, first, later) = (first.address(), &first.pod, &later.pod);
            problems
                .push(format!("pool {key}: {address} belongs to {first:?} and {later:?}; the first is used"));
        }
        same
    });
    let mut roles: Vec<Role> = endpoints.iter().map(|endpoint| Role::of(&endpoint.labels)).collect();
    if roles.iter().all(|role| *role == Role::Serve) {
        roles = Vec::new();
    }
    let mut snapshot = Snapshot {
        revision: pool.revision,
        annotations,
        publishers,
        invalid_ports,
        endpoints,
        usual: book.usual(key.as_str()),
        roles,
        ..Snapshot::default()
    };
    let (policy, wrong) = policy_from(&snapshot.annotations);
    problems.extend(wrong.into_iter().map(|problem| format!("pool {key}: {problem}")));
    snapshot.policy = policy;
    for wanted in pool.objectives {
        for model in wanted.models {
            snapshot.model_objectives.entry(model).or_insert_with(|| wanted.name.clone());
        }
        let annotations = wanted.annotations.into_iter().collect();
        let (own, wrong) = policy_from(&annotations);
        let of = |problem| format!("pool {key}: objective {}: {problem}", wanted.name);
        problems.extend(wrong.into_iter().map(of));
        let policy = own.over(&snapshot.policy);
        snapshot.objectives.insert(wanted.name, Objective { priority: wanted.priority, annotations, policy });
    }
    for wanted in pool.rewrites {
        match rewrite(wanted) {
            Ok(rule) => snapshot.rewrites.push(rule),
            Err(problem) => problems.push(format!("pool {key}: {problem}; the rule is not used")),
        }
    }
    snapshot.models = models(&snapshot);
    snapshot
}

/// Names of models that the pool's objects tell.
fn models(snapshot: &Snapshot) -> BTreeSet<String> {
    let rewrites = snapshot
        .rewrites
        .iter()
        .flat_map(|rule| rule.models.iter().chain(rule.targets.iter().map(|(model, _)| model)));
    let labels = snapshot.endpoints.iter().filter_map(|endpoint| endpoint.labels.get(MODEL_LABEL));
    rewrites.chain(snapshot.model_objectives.keys()).chain(labels).cloned().collect()
}

fn endpoint(
    pool: &PoolKey,
    wanted: v1::Endpoint,
    (board, book): (&Board, &Book),
    previous: &Snapshot,
) -> Result<Endpoint, String> {
    let ip: IpAddr =
        wanted.address.parse().map_err(|_| format!("address {:?} is not an IP address", wanted.address))?;
    let port = u16::try_from(wanted.port)
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| format!("port {} of {ip} is not between 1 and 65535", wanted.port))?;
    let ready = match EndpointState::try_from(wanted.state) {
        Ok(EndpointState::Ready | EndpointState::Unspecified) => true,
        Ok(EndpointState::Draining) | Err(_) => false,
    };
    let address = SocketAddr::new(ip.to_canonical(), port);
    let slot = board.slot(address);
    let held = previous.find(address).map(|index| previous.endpoint(index));
    if held.is_none_or(|held| held.pod != wanted.pod) {
        slot.forget();
    }
    let device = wanted.accelerator.unwrap_or_default();
    let hardware = Hardware { class: &device.class, count: device.count, memory_bytes: device.memory_bytes };
    let label = |name: &str| wanted.labels.get(name).cloned();
    let group = GroupKey {
        class: device.class.clone(),
        count: device.count,
        model: label(MODEL_LABEL).unwrap_or_else(|| pool.to_string()),
        engine: wanted.engine.clone(),
        role: label(role::LABEL).unwrap_or_default(),
    };
    let known = slot.calibration().clone().filter(|known| *known.key() == group);
    let calibration = known.unwrap_or_else(|| book.calibration(&group, profile_of(hardware)));
    slot.calibrate(Some(Arc::clone(&calibration)));
    let context_tokens = label(CONTEXT_LABEL).and_then(|tokens| tokens.parse().ok()).unwrap_or(0);
    Ok(Endpoint {
        slot,
        context_tokens,
        calibration,
        ready,
        engine: wanted.engine,
        pod: wanted.pod,
        accelerator: device.class,
        labels: wanted.labels.into_iter().collect::<BTreeMap<_, _>>(),
    })
}

fn rewrite(wanted: v1::RewriteRule) -> Result<RewriteRule, String> {
    let targets: Vec<(String, u32)> =
        wanted.targets.into_iter().filter(|target| target.weight > 0).map(|t| (t.model, t.weight)).collect();
    if targets.is_empty() {
        return Err(format!("rewrite rule of {:?} has no target with a weight", wanted.source));
    }
    Ok(RewriteRule { source: wanted.source, models: wanted.models, targets })
}
