//! Resolves one Gateway: brings the decisions of the other modules together.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Memo, Options,
    attach::{Attacher, Attachment},
    backend_tls,
    base_models::base_models,
    certificate,
    class::is_ours,
    ir::{
        self, Action, Cluster, ClusterName, HttpListener, ListenerProtocol, Route, TlsChain, Upstream,
        VirtualHost,
    },
    listener::{Listener, listeners},
    models::{self, Catalogue},
    pool::{self, Referrers},
    report::Reports,
    route::{CompiledRoute, Found},
    status,
    virtual_host::{Chain, Hosts, Ports},
};
use crate::{
    api::{HttpRoute, NamespacedName, Object},
    world::World,
};

/// A Gateway, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// What its proxies serve.
    pub ir: ir::Gateway,
    /// What was found out about its objects.
    pub reports: Reports,
}

/// A route of the Gateway with all that is known about it.
struct RouteOf<'w> {
    route: &'w Arc<HttpRoute>,
    compiled: Arc<CompiledRoute>,
    attachments: Vec<Attachment<'w>>,
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
    let mut attacher = Attacher::new(world, gateway, &listeners);
    let compiled = memo.compile(world, world.routes_of(gateway)).into_iter();
    let routes: Vec<RouteOf<'_>> = compiled
        .map(|(route, compiled)| RouteOf { route, attachments: attacher.attach(route), compiled })
        .collect();
    let found = &memo.found;

    let refusal = status::gateway_refusal(world, object);
    let served = refusal.is_none();
    let mut ports = Ports::new(if served { &listeners } else { &[] });
    if served {
        for route in &routes {
            ports.put(&route.compiled.matches, &route.listeners());
        }
    }
    let ports = ports.into_chains(gateway);
    let clusters = clusters(&ports, found, options);
    let verifies = clusters.values().any(|cluster| pool::needs_trust(cluster));
    let ir = ir::Gateway {
        name: gateway.clone(),
        listeners: Sockets { world, clusters: &clusters, gateway, options, bases: None }
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
        routes: routes.iter().map(RouteOf::reports).collect(),
    };
    Some(Resolved { ir, reports })
}

impl RouteOf<'_> {
    /// Listeners that the route attaches to by any of its parentRefs.
    fn listeners(&self) -> BTreeMap<usize, BTreeSet<super::hostname::Hostname>> {
        let mut listeners: BTreeMap<usize, BTreeSet<_>> = BTreeMap::new();
        for attachment in &self.attachments {
            for (&listener, hosts) in &attachment.listeners {
                listeners.entry(listener).or_default().extend(hosts.iter().cloned());
            }
        }
        listeners
    }

    fn reports(&self) -> (NamespacedName, Vec<super::report::RouteParentReport>) {
        let parents = self.attachments.iter();
        let parents =
            parents.map(|attachment| status::route(self.route, &self.compiled, attachment)).collect();
        (self.route.key(), parents)
    }
}

/// Accepted routes by listener.
fn attached(routes: &[RouteOf<'_>]) -> BTreeMap<usize, u32> {
    let mut counts: BTreeMap<usize, u32> = BTreeMap::new();
    for route in routes {
        let accepted =
            route.attachments.iter().filter(|a| status::route_is_accepted(&route.compiled, a).is_ok());
        let listeners: BTreeSet<usize> = accepted.flat_map(|a| a.listeners.keys().copied()).collect();
        for listener in listeners {
            *counts.entry(listener).or_default() += 1;
        }
    }
    counts
}

/// Reports of the pools that routes refer to.
fn pools(routes: &[RouteOf<'_>], found: &Found) -> BTreeMap<NamespacedName, super::report::PoolReport> {
    let mut referrers: BTreeMap<&NamespacedName, Referrers> = BTreeMap::new();
    for route in routes {
        for pool in &route.compiled.pools {
            let referrers = referrers.entry(pool).or_default();
            for attachment in &route.attachments {
                match status::route_is_accepted(&route.compiled, attachment) {
                    Ok(()) => referrers.accepted = true,
                    Err((_, message)) => {
                        referrers.refused.get_or_insert_with(|| (route.route.key(), message));
                    }
                }
            }
        }
    }
    let reports = referrers.into_iter().filter_map(|(key, referrers)| {
        let (object, resolved) = found.pool(key)?;
        Some((key.clone(), pool::report(object, resolved, &referrers)))
    });
    reports.collect()
}

/// The clusters that the routes name.
fn clusters(ports: &BTreeMap<u16, Vec<Chain>>, found: &Found, options: &Options) -> Clusters {
    let routes = ports.values().flatten().flat_map(|chain| chain.hosts.values()).flatten();
    let names: BTreeSet<&ClusterName> = routes.flat_map(|route| targets(route)).collect();
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
    /// Read only where a route asks for base models, so that ConfigMaps do not touch other Gateways.
    bases: Option<BTreeMap<String, String>>,
}

impl Sockets<'_> {
    fn all(mut self, listeners: &[Listener<'_>], ports: BTreeMap<u16, Vec<Chain>>) -> Vec<Arc<ir::Listener>> {
        let sockets = ports.into_iter().map(|(port, chains)| {
            Arc::new(ir::Listener {
                port,
                bind_port: self.options.bind.bind_port(port),
                addresses: self.options.addresses.get(self.gateway).cloned().unwrap_or_default(),
                protocol: self.protocol(listeners, chains),
            })
        });
        sockets.collect()
    }

    fn protocol(&mut self, listeners: &[Listener<'_>], chains: Vec<Chain>) -> ListenerProtocol {
        let mut tls = Vec::new();
        for chain in chains {
            let listener = &listeners[chain.listener];
            let http = self.http(&chain.hosts);
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

    fn http(&mut self, hosts: &Hosts) -> HttpListener {
        let is_picked = |name: &ClusterName| {
            let cluster = self.clusters.get(name);
            cluster.is_some_and(|cluster| matches!(cluster.upstream, Upstream::Pool(_, Some(_))))
        };
        let all = || hosts.values().flatten().map(|route| &**route);
        let model_headers = models::headers(all());
        let uses_pickers = all().any(|route| targets(route).any(is_picked));
        let base_models = match model_headers.iter().any(|header| header == models::BASE_MODEL_HEADER) {
            true => self.bases.get_or_insert_with(|| base_models(self.world)).clone(),
            false => BTreeMap::new(),
        };
        let mut catalogue = Catalogue::new(self.world, self.clusters, &base_models);
        let mut virtual_hosts = Vec::with_capacity(hosts.len());
        for (hostname, routes) in hosts {
            virtual_hosts.push(Arc::new(VirtualHost {
                hostname: hostname.clone(),
                models: catalogue.models(routes),
                models_path_is_routed: models::models_path_is_routed(routes),
                routes: routes.clone(),
            }));
        }
        HttpListener { virtual_hosts, model_headers, base_models, uses_pickers }
    }
}
