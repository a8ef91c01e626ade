//! A pool as the control plane resolved it, with each endpoint's slot and profile beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use crate::accelerator::{Calibration, Policy, Profile, Usual};

use super::publisher::{InvalidPort, Publisher};
use super::reading::Adapters;
use super::role::Role;
use super::slot::Slot;

/// Position of an endpoint in [`Snapshot::endpoints`]; valid for that snapshot only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointIx(pub u32);

/// One pool at one revision. Never changes.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Hash of the content, from the control plane; 0 before the first snapshot.
    pub revision: u64,
    /// Objectives by name.
    pub objectives: BTreeMap<String, Objective>,
    /// Rewrite rules in order of precedence.
    pub rewrites: Vec<RewriteRule>,
    /// The pool's `signalbox.dev/…` annotations.
    pub annotations: BTreeMap<String, String>,
    /// What the annotations want of accelerators.
    pub policy: Policy,
    /// Names of objectives by the model whose requests use them without naming them.
    pub model_objectives: BTreeMap<String, String>,
    /// Names of models in objects of the cluster: rewrites, objectives, Pods.
    pub models: BTreeSet<String>,
    /// How long answers usually are.
    pub usual: Arc<Usual>,
    /// Sorted by address, then port; no address twice.
    pub endpoints: Vec<Endpoint>,
    /// What each of `endpoints` does; empty when all of them serve.
    pub roles: Vec<Role>,
    /// Where those of `endpoints` that tell what they hold publish it.
    pub publishers: BTreeMap<SocketAddr, Publisher>,
    /// Labels that should have told where, and cannot be used.
    pub invalid_ports: Vec<InvalidPort>,
}

impl Snapshot {
    /// The endpoint at `address`.
    #[must_use]
    pub fn find(&self, address: SocketAddr) -> Option<EndpointIx> {
        let index = self.endpoints.binary_search_by_key(&address, Endpoint::address).ok()?;
        u32::try_from(index).ok().map(EndpointIx)
    }

    /// Whether `model` is a name that objects of the cluster or model servers have told, not just a client.
    #[must_use]
    pub fn has_model(&self, model: &str) -> bool {
        let hash = Adapters::hash(model.as_bytes());
        self.models.contains(model) || self.endpoints.iter().any(|endpoint| endpoint.slot.has_reported(hash))
    }

    /// What the endpoint at `index` does.
    #[must_use]
    pub fn role(&self, index: usize) -> Role {
        self.roles.get(index).copied().unwrap_or_default()
    }

    /// Whether the endpoint at `index` takes requests: it is ready, and its part of the work is to answer.
    #[must_use]
    pub fn serves(&self, index: usize) -> bool {
        self.endpoints[index].ready && self.role(index) == Role::Serve
    }

    /// The endpoint at `index` of this snapshot.
    #[must_use]
    pub fn endpoint(&self, index: EndpointIx) -> &Endpoint {
        &self.endpoints[index.0 as usize]
    }
}

/// What requests of an InferenceObjective are worth.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Objective {
    /// Higher is more important.
    pub priority: i32,
    /// The object's `signalbox.dev/…` annotations.
    pub annotations: BTreeMap<String, String>,
    /// What the annotations want of accelerators; the pool's policy where they say nothing.
    pub policy: Policy,
}

/// Which model names become which.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RewriteRule {
    /// Name of the object it comes from.
    pub source: String,
    /// Exact model names that the rule applies to; empty: every request.
    pub models: Vec<String>,
    /// Model names and their relative shares; the sum of shares is positive.
    pub targets: Vec<(String, u32)>,
}

/// One (Pod, port) of a pool.
#[derive(Debug)]
pub struct Endpoint {
    /// Its live numbers.
    pub slot: Arc<Slot>,
    /// What is known of its speeds.
    pub calibration: Arc<Calibration>,
    /// May be picked; otherwise it finishes what it has.
    pub ready: bool,
    /// Model server kind, lower case; empty when the Pod does not say.
    pub engine: String,
    /// Name of the Pod.
    pub pod: String,
    /// Canonical accelerator class; empty when unknown.
    pub accelerator: String,
    /// Tokens of prompt and answer that it takes together, from the label `signalbox.dev/context-length`; 0
    /// without it, what its server says counts then.
    pub context_tokens: u32,
    /// The Pod's labels.
    pub labels: BTreeMap<String, String>,
}

impl Endpoint {
    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.slot.address()
    }

    /// Prompt tokens that it can take beside `answer` tokens that are asked for (one at least), as far as its size is known:
    /// the KV cache of its largest rank, and its context, by its label or else by what its server says. Engines refuse
    /// requests whose prompt and `max_tokens` together are longer than the context.
    #[must_use]
    pub fn room(&self, answer: u32) -> u64 {
        let label = Some(self.context_tokens).filter(|tokens| *tokens > 0);
        let beside = |context: u32| u64::from(context.saturating_sub(answer.max(1)));
        let context = label.or_else(|| self.slot.context_tokens()).map_or(u64::MAX, beside);
        self.slot.kv_largest().unwrap_or(u64::MAX).min(context)
    }

    /// Its expected speeds: the one place from which estimates take them.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.calibration.profile()
    }
}
