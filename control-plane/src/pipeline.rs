//! The core in one place: a batch of objects in, what to publish out. Pure: no clock, no I/O.
//!
//! ```text
//! Batch ─▶ World + Dirty ─▶ per dirty Gateway: resolve ─▶ translate ─┐
//!                       └─▶ per dirty endpoint owner: endpoints ─────┴▶ Output (snapshots, pools, reports)
//! ```
//!
//! Endpoint changes replace EDS resources and pool snapshots only; routes are not looked at.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use proto::tier::v1::PoolSnapshot;

use crate::{
    api::NamespacedName,
    gateway::{
        self,
        ir::{self, ClusterName, EndpointSet},
        report::{ClassReport, Reports},
    },
    pools,
    source::Batch,
    translate,
    world::{Dirty, EndpointOwner, World},
    xds::{ResourceType, Snapshot},
};

/// What one batch changed for the world outside.
#[derive(Debug, Default)]
pub struct Output {
    /// Next snapshots of Gateways, for Envoy.
    pub snapshots: Vec<(NamespacedName, Arc<Snapshot>)>,
    /// Gateways that are gone or no longer ours.
    pub removed: Vec<NamespacedName>,
    /// Next snapshots of pools, for pickers.
    pub pools: Vec<(NamespacedName, PoolSnapshot)>,
    /// Pools that are gone.
    pub removed_pools: Vec<NamespacedName>,
    /// Whether any report differs from before.
    pub reports_changed: bool,
}

/// One Gateway as it was last published.
#[derive(Debug)]
struct Published {
    ir: ir::Gateway,
    reports: Reports,
    snapshot: Arc<Snapshot>,
    /// Compiled routes, for the next resolution.
    memo: gateway::Memo,
    /// Encoded routes, for the next translation.
    encoded: translate::Cache,
}

/// The state between batches.
#[derive(Debug)]
pub struct Pipeline {
    options: gateway::Options,
    settings: translate::Settings,
    world: World,
    classes: BTreeMap<String, ClassReport>,
    gateways: BTreeMap<NamespacedName, Published>,
    /// Endpoints of every cluster that is used, as last published.
    endpoints: BTreeMap<ClusterName, Arc<EndpointSet>>,
    /// What they were made from.
    kept: BTreeMap<ClusterName, gateway::KeptEndpoints>,
    /// Pools that pickers were told of.
    pools: BTreeSet<NamespacedName>,
}

impl Pipeline {
    /// An empty pipeline.
    pub fn new(options: gateway::Options, settings: translate::Settings) -> Self {
        Self {
            options,
            settings,
            world: World::default(),
            classes: BTreeMap::new(),
            gateways: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            kept: BTreeMap::new(),
            pools: BTreeSet::new(),
        }
    }

    /// The objects.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Options of resolving.
    pub fn options(&self) -> &gateway::Options {
        &self.options
    }

    /// What was found out about GatewayClasses.
    pub fn classes(&self) -> &BTreeMap<String, ClassReport> {
        &self.classes
    }

    /// Every Gateway of ours with its reports and representation, by name.
    pub fn gateways(&self) -> impl Iterator<Item = (&NamespacedName, &Reports, &ir::Gateway)> {
        self.gateways.iter().map(|(name, published)| (name, &published.reports, &published.ir))
    }

    /// Endpoints of a cluster as published.
    pub fn endpoints_of(&self, cluster: &ClusterName) -> Option<&Arc<EndpointSet>> {
        self.endpoints.get(cluster)
    }

    /// Takes other options; every Gateway is resolved anew when they differ.
    pub fn set_options(&mut self, options: gateway::Options) -> Output {
        if options == self.options {
            return Output::default();
        }
        self.options = options;
        let dirty = Dirty { gateways: self.world.gateways.keys().cloned().collect(), ..Dirty::default() };
        self.refresh(&dirty)
    }

    /// Takes a batch of changes.
    pub fn apply(&mut self, batch: &Batch) -> Output {
        let (world, dirty) = self.world.apply(batch);
        self.world = world;
        self.refresh(&dirty)
    }

    fn refresh(&mut self, dirty: &Dirty) -> Output {
        let mut output = Output::default();
        let classes = gateway::class_reports(&self.world, &self.options);
        output.reports_changed = classes != self.classes;
        self.classes = classes;
        let changed = self.refresh_endpoints(dirty);
        for name in &dirty.gateways {
            self.refresh_gateway(name, &mut output);
        }
        self.replace_endpoints(&changed, dirty, &mut output);
        self.refresh_pools(dirty, &changed, &mut output);
        self.forget_clusters(dirty);
        output
    }

    /// Recomputes the endpoints of dirty owners; returns the clusters whose endpoints differ.
    fn refresh_endpoints(&mut self, dirty: &Dirty) -> BTreeSet<ClusterName> {
        let mut changed = BTreeSet::new();
        let mut owners = dirty.endpoints.clone();
        owners.extend(dirty.pools.iter().cloned().map(EndpointOwner::Pool));
        for owner in &owners {
            for upstream in self.upstreams_of(owner) {
                if self.refresh_cluster(&upstream) {
                    changed.insert(upstream.cluster_name());
                }
            }
        }
        changed
    }

    fn upstreams_of(&self, owner: &EndpointOwner) -> Vec<ir::Upstream> {
        match owner {
            EndpointOwner::Pool(pool) => match self.world.pools.contains_key(pool) {
                true => vec![ir::Upstream::Pool(pool.clone(), None)],
                false => Vec::new(),
            },
            EndpointOwner::Service(service) => {
                let clusters = self.gateways.values().flat_map(|published| published.ir.clusters.values());
                let mut found: BTreeMap<&ClusterName, &ir::Upstream> = BTreeMap::new();
                for cluster in clusters {
                    if cluster.upstream.service() == Some(service) {
                        found.insert(&cluster.name, &cluster.upstream);
                    }
                }
                found.into_values().cloned().collect()
            }
        }
    }

    /// Recomputes one cluster's endpoints; says whether they differ from before.
    fn refresh_cluster(&mut self, upstream: &ir::Upstream) -> bool {
        let kept = self.kept.entry(upstream.cluster_name()).or_default();
        let set = gateway::endpoints(&self.world, upstream, kept);
        match self.endpoints.get(&set.cluster) {
            Some(held) if **held == set => false,
            _ => {
                self.endpoints.insert(set.cluster.clone(), Arc::new(set));
                true
            }
        }
    }

    fn refresh_gateway(&mut self, name: &NamespacedName, output: &mut Output) {
        let mut held = self.gateways.remove(name);
        let mut memo = held.as_mut().map(|held| std::mem::take(&mut held.memo)).unwrap_or_default();
        let Some(mut resolved) = gateway::resolve_again(&self.world, name, &self.options, &mut memo) else {
            if held.is_some() {
                output.removed.push(name.clone());
                output.reports_changed = true;
            }
            return;
        };
        for cluster in resolved.ir.clusters.values() {
            if !self.endpoints.contains_key(&cluster.name) {
                self.refresh_cluster(&cluster.upstream);
            }
        }
        output.reports_changed |= held.as_ref().is_none_or(|held| held.reports != resolved.reports);
        let mut encoded = translate::Cache::default();
        let snapshot = match held {
            Some(held) if held.ir == resolved.ir => {
                encoded = held.encoded;
                held.snapshot
            }
            held => {
                let previous = held.map(|held| {
                    resolved.ir.share_with(&held.ir);
                    encoded = held.encoded;
                    held.snapshot
                });
                let snapshot = translate::snapshot(
                    &resolved.ir,
                    &self.endpoints,
                    &self.settings,
                    previous.as_deref(),
                    &mut encoded,
                );
                let snapshot = Arc::new(snapshot);
                output.snapshots.push((name.clone(), snapshot.clone()));
                snapshot
            }
        };
        let published = Published { ir: resolved.ir, reports: resolved.reports, snapshot, memo, encoded };
        self.gateways.insert(name.clone(), published);
    }

    /// Puts changed endpoints into the snapshots of Gateways that hold the cluster.
    fn replace_endpoints(&mut self, changed: &BTreeSet<ClusterName>, dirty: &Dirty, output: &mut Output) {
        if changed.is_empty() {
            return;
        }
        let resources: BTreeMap<_, _> = changed
            .iter()
            .filter_map(|cluster| Some((cluster, translate::endpoint_resource(self.endpoints.get(cluster)?))))
            .collect();
        for (name, published) in &mut self.gateways {
            let held: Vec<_> =
                changed.iter().filter(|cluster| published.ir.clusters.contains_key(*cluster)).collect();
            if held.is_empty() {
                continue;
            }
            let mut snapshot = Snapshot::clone(&published.snapshot);
            for cluster in held {
                if let Some(resource) = resources.get(cluster) {
                    snapshot.insert(ResourceType::Endpoint, Arc::clone(resource));
                }
            }
            published.snapshot = Arc::new(snapshot);
            if dirty.gateways.contains(name) {
                output.snapshots.retain(|(other, _)| other != name);
            }
            output.snapshots.push((name.clone(), published.snapshot.clone()));
        }
    }

    fn refresh_pools(&mut self, dirty: &Dirty, changed: &BTreeSet<ClusterName>, output: &mut Output) {
        let mut names = dirty.pools.clone();
        names.extend(dirty.endpoints.iter().filter_map(|owner| match owner {
            EndpointOwner::Pool(pool) if changed.contains(&ClusterName::pool(pool)) => Some(pool.clone()),
            _ => None,
        }));
        for name in names {
            let Some(pool) = self.world.pools.get(&name) else {
                if self.pools.remove(&name) {
                    output.removed_pools.push(name);
                }
                continue;
            };
            let Some(endpoints) = self.endpoints.get(&ClusterName::pool(&name)) else { continue };
            let snapshot =
                pools::snapshot(&self.world, pool, endpoints, translate::endpoint_version(endpoints));
            self.pools.insert(name.clone());
            output.pools.push((name, snapshot));
        }
    }

    /// Drops endpoints of clusters that no Gateway holds and that are no pool's.
    fn forget_clusters(&mut self, dirty: &Dirty) {
        if dirty.gateways.is_empty() && dirty.pools.is_empty() {
            return;
        }
        let mut used: BTreeSet<ClusterName> = self.pools.iter().map(ClusterName::pool).collect();
        used.extend(self.gateways.values().flat_map(|published| published.ir.clusters.keys().cloned()));
        self.endpoints.retain(|cluster, _| used.contains(cluster));
        self.kept.retain(|cluster, _| used.contains(cluster));
    }
}
