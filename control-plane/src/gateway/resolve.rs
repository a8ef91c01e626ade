//! Resolves one Gateway: brings the decisions of the other modules together.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use super::{
    Memo, Options, backend_tls,
    base_models::base_models,
    certificate,
    class::is_ours,
    hostname::Hostname,
    ir::{
        self, Action, Cluster, ClusterName, HttpListener, ListenerProtocol, Route, TlsChain, Upstream,
        VirtualHost,
    },
    kept_hosts::{ChainId, KeptHosts},
    listener::{Listener, listeners},
    models::{self, Catalogue},
    placed_route::PlacedRoute,
    pool::{self, Referrers},
    report::Reports,
    route::Found,
    status,
    virtual_host::{Chain, Ports},
};
use crate::{api::NamespacedName, world::World};

/// A Gateway, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// What its proxies serve.
    pub ir: ir::Gateway,
    /// What was found out about its objects.
    pub reports: Reports,
}

type Clusters = BTreeMap<ClusterName, Arc<Cluster>>;

/// Resolves a Gateway; `None` when it does not exist or is not ours.
///
/// The result depends on the objects alone, not on the order in which they were read.
pub fn resolve(world: &World, gateway: &NamespacedName, options: &Options) -> Option<Resolved> {
    resolve_again(world, gateway, options, &mut Memo::default())
}

/// Resolves a Gateway, using what is kept of an earlier time; the result is that of [`resolve`].
pub fn resolve_again(
    world: &World,
    gateway: &NamespacedName,
    options: &Options,
    memo: &mut Memo,
) -> Option<Resolved> {
    if !is_ours(world, gateway, options) {
        return None;
    }
    let object = world.gateways.get(gateway)?;
    let listeners = listeners(world, object, options, &mut memo.certificates);
    let routes = memo.place(world, object, &listeners, world.routes_of(gateway));
    let Memo { found, hosts, .. } = memo;

    let refusal = status::gateway_refusal(world, object);
    let served = refusal.is_none();
    let mut ports = Ports::new(if served { &listeners } else { &[] });
    if served {
        routes.iter().for_each(|route| ports.put(route));
    }
    let ports = ports.into_chains(gateway);
    let clusters = clusters(&ports, found, options);
    let verifies = clusters.values().any(|cluster| pool::needs_trust(cluster));
    let ir = ir::Gateway {
        name: gateway.clone(),
        listeners: Sockets { world, clusters: &clusters, gateway, options, hosts, bases: None }
            .all(&listeners, ports),
        clusters,
        certificates: certificate::resources(
            listeners.iter().filter(|l| l.is_served() && served).map(|l| &l.certificates),
        ),
        picker_trust: options.picker_trust.clone().filter(|_| verifies),
    };
    let reports = Reports {
        gateway: status::gateway(object, refusal, &listeners, &attached(&routes)),
        pools: pools(&routes, found),
        policies: backend_tls::reports(world, gateway),
        routes: routes.iter().map(|route| (Arc::clone(&route.key), Arc::clone(&route.reports))).collect(),
    };
    Some(Resolved { ir, reports })
}

/// Accepted routes by listener.
fn attached(routes: &[Arc<PlacedRoute>]) -> BTreeMap<usize, u32> {
    let mut counts: BTreeMap<usize, u32> = BTreeMap::new();
    for &listener in routes.iter().flat_map(|route| &route.counted_on) {
        *counts.entry(listener).or_default() += 1;
    }
    counts
}

/// Reports of the pools that routes refer to.
fn pools(routes: &[Arc<PlacedRoute>], found: &Found) -> BTreeMap<NamespacedName, super::report::PoolReport> {
    let mut referrers: BTreeMap<&NamespacedName, Referrers<'_>> = BTreeMap::new();
    for route in routes {
        for pool in &route.compiled.pools {
            let referrers = referrers.entry(pool).or_default();
            referrers.accepted |= route.accepted;
            referrers.refused = referrers.refused.or(route.refused.as_deref().map(|why| (&*route.key, why)));
        }
    }
    let reports = referrers.into_iter().filter_map(|(key, referrers)| {
        let (object, resolved) = found.pool(key)?;
        Some((key.clone(), pool::report(object, resolved, &referrers)))
    });
    reports.collect()
}

/// The clusters that the routes name.
fn clusters(ports: &BTreeMap<u16, Vec<Chain<'_>>>, found: &Found, options: &Options) -> Clusters {
    let routes = ports.values().flatten().flat_map(|chain| &chain.hosts).flat_map(|(_, routes)| routes);
    // Equal names are mostly the same allocation, which is quicker to tell than their texts.
    let mut seen = HashSet::new();
    let names = routes.flat_map(|route| targets(route)).filter(|name| seen.insert(name.as_str().as_ptr()));
    let names: BTreeSet<&ClusterName> = names.collect();
    let clusters = found.clusters(names.into_iter()).into_iter();
    let secured = |cluster| match options.picker_trust {
        Some(_) => cluster,
        None => pool::without_trust(cluster),
    };
    clusters.map(|(name, cluster)| (name, Arc::new(secured(cluster)))).collect()
}

fn targets(route: &Route) -> impl Iterator<Item = &ClusterName> {
    let forward = match &route.action {
        Action::Forward(forward) => Some(forward),
        Action::Redirect(_) | Action::Refuse(_) => None,
    };
    forward.into_iter().flat_map(|forward| {
        let backends = forward.backends.iter().filter_map(|backend| backend.target.as_ref().ok());
        backends.chain(forward.mirrors.iter().map(|mirror| &mirror.cluster))
    })
}

/// Makes sockets, with their virtual hosts.
struct Sockets<'a> {
    world: &'a World,
    clusters: &'a Clusters,
    gateway: &'a NamespacedName,
    options: &'a Options,
    hosts: &'a mut KeptHosts,
    /// Read only where a route asks for base models, so that ConfigMaps do not touch other Gateways.
    bases: Option<BTreeMap<String, String>>,
}

impl Sockets<'_> {
    fn all(
        mut self,
        listeners: &[Listener<'_>],
        ports: BTreeMap<u16, Vec<Chain<'_>>>,
    ) -> Vec<Arc<ir::Listener>> {
        self.hosts.begin(self.world);
        let sockets = ports.into_iter().map(|(port, chains)| {
            Arc::new(ir::Listener {
                port,
                bind_port: self.options.bind.bind_port(port),
                addresses: self.options.addresses.get(self.gateway).cloned().unwrap_or_default(),
                protocol: self.protocol(port, listeners, chains),
            })
        });
        sockets.collect()
    }

    fn protocol(
        &mut self,
        port: u16,
        listeners: &[Listener<'_>],
        chains: Vec<Chain<'_>>,
    ) -> ListenerProtocol {
        let mut tls = Vec::new();
        for chain in chains {
            let listener = &listeners[chain.listener];
            let http = self.http((port, chain.listener), chain.hosts);
            if !listener.is_tls() {
                // A port in the clear is one chain.
                return ListenerProtocol::Http(http);
            }
            tls.push(TlsChain {
                server_name: listener.hostname.to_string(),
                certificates: listener
                    .certificates
                    .certificates
                    .iter()
                    .map(|(name, _)| name.clone())
                    .collect(),
                http,
            });
        }
        tls.sort_by(|a, b| a.server_name.cmp(&b.server_name));
        ListenerProtocol::Https(tls)
    }

    fn http(&mut self, chain: ChainId, hosts: Vec<(&Hostname, Vec<Arc<Route>>)>) -> HttpListener {
        let is_picked = |name: &ClusterName| {
            let cluster = self.clusters.get(name);
            cluster.is_some_and(|cluster| matches!(cluster.upstream, Upstream::Pool(_, Some(_))))
        };
        let all = || hosts.iter().flat_map(|(_, routes)| routes).map(|route| &**route);
        let model_headers = models::headers(all());
        let uses_pickers = all().any(|route| targets(route).any(is_picked));
        let base_models = match model_headers.iter().any(|header| header == models::BASE_MODEL_HEADER) {
            true => self.bases.get_or_insert_with(|| base_models(self.world)).clone(),
            false => BTreeMap::new(),
        };
        let mut catalogue = Catalogue::new(self.world, self.clusters, &base_models);
        let make = |hostname: &Hostname, routes: Vec<Arc<Route>>| VirtualHost {
            hostname: hostname.to_string(),
            models: catalogue.models(&routes),
            models_path_is_routed: models::models_path_is_routed(&routes),
            routes,
        };
        let virtual_hosts = self.hosts.hosts(chain, &base_models, hosts.into_iter(), make);
        HttpListener { virtual_hosts, model_headers, base_models, uses_pickers }
    }
}
