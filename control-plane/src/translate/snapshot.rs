//! All resources of one Gateway.

use std::{collections::BTreeMap, sync::Arc};

use prost::{Message, Name};

use super::{
    TRANSLATION_SALT,
    cache::Cache,
    cluster, endpoint, listener,
    message::start_any,
    names::{self, BASE_MODEL_HEADER},
    route::Context,
    route_configuration, route_parts,
    settings::Settings,
    tls,
    virtual_host::{self, EncodedHost},
};
use crate::{
    gateway::ir::{ClusterName, EndpointSet, Gateway, HttpListener, Listener, ListenerProtocol, VirtualHost},
    kept::Kept,
    xds::{Resource, ResourceType, Snapshot, Version},
};

/// All resources of a Gateway.
///
/// Every cluster of the Gateway gets an endpoint resource, empty where `endpoints` has none: silence would keep the
/// cluster warming. Resources whose version equals the one in `previous` are shared with it. `cache` belongs to this
/// Gateway and goes from call to call; an empty one gives the same snapshot, only slower.
pub fn snapshot(
    ir: &Gateway,
    endpoints: &BTreeMap<ClusterName, Arc<EndpointSet>>,
    settings: &Settings,
    previous: Option<&Snapshot>,
    cache: &mut Cache,
) -> Snapshot {
    let mut snapshot = Snapshot::default();
    let known = |kind, name: &str| previous.and_then(|p| p.get(kind, name));
    let mut versions = Vec::with_capacity(ir.clusters.len());
    for (name, source) in &ir.clusters {
        let cluster = cache.clusters.resource(
            source,
            known(ResourceType::Cluster, name.as_str()),
            |c| Version::of(TRANSLATION_SALT, c),
            |c, version| resource(name.as_str(), version, &cluster::cluster(c)),
        );
        versions.push(cluster.version);
        snapshot.insert(ResourceType::Cluster, cluster);
        let none = || Arc::new(EndpointSet { cluster: name.clone(), endpoints: Vec::new() });
        let set = endpoints.get(name).cloned().unwrap_or_else(none);
        let assignment = cache.endpoints.resource(
            &set,
            known(ResourceType::Endpoint, name.as_str()),
            endpoint::version,
            |s, version| resource(name.as_str(), version, &endpoint::assignment(s)),
        );
        snapshot.insert(ResourceType::Endpoint, assignment);
    }
    if let Some(trust) = &ir.picker_trust {
        let version = Version::of(TRANSLATION_SALT, trust);
        let secret = share(known(ResourceType::Secret, tls::TRUST), version, || {
            resource(tls::TRUST, version, &tls::trust(trust))
        });
        snapshot.insert(ResourceType::Secret, secret);
    }
    for (name, certificate) in &ir.certificates {
        let version = Version::of(TRANSLATION_SALT, certificate);
        let secret = share(known(ResourceType::Secret, name.as_str()), version, || {
            resource(name.as_str(), version, &tls::certificate(name, certificate))
        });
        snapshot.insert(ResourceType::Secret, secret);
    }
    cache.clusters.sweep();
    cache.endpoints.sweep();

    let clusters = Version::of(TRANSLATION_SALT, &versions);
    let mut last = std::mem::take(&mut cache.hosts);
    for source in &ir.listeners {
        for (name, http) in route_sources(source) {
            let encoded = Kept::new(last.remove(&name).unwrap_or_default());
            let hosts = encode_hosts(http, ir, settings, clusters, encoded);
            for (part, hosts) in route_parts::parts(&hosts) {
                let name = part.name(&name);
                let version = route_configuration::version(&name, part, &hosts, settings);
                let routes = share(known(ResourceType::Route, &name), version, || {
                    route_configuration::encode(&name, part, &hosts, version, settings)
                });
                snapshot.insert(ResourceType::Route, routes);
                let version = route_parts::scope_version(&name);
                let scope = share(known(ResourceType::Scope, &name), version, || {
                    resource(&name, version, &route_parts::scope(&name))
                });
                snapshot.insert(ResourceType::Scope, scope);
            }
            cache.hosts.insert(name, hosts);
        }
        let version = Version::of(TRANSLATION_SALT, &(listener::source(source), settings));
        let name = names::listener(source.port);
        let listener = share(known(ResourceType::Listener, &name), version, || {
            resource(&name, version, &listener::listener(source, settings))
        });
        snapshot.insert(ResourceType::Listener, listener);
    }
    snapshot
}

/// The RouteConfigurations of a socket, by name.
fn route_sources(listener: &Listener) -> Vec<(String, &HttpListener)> {
    match &listener.protocol {
        ListenerProtocol::Http(http) => vec![(names::routes(listener.port), http)],
        ListenerProtocol::Https(chains) => chains
            .iter()
            .map(|chain| (names::tls_routes(listener.port, &chain.server_name), &chain.http))
            .collect(),
    }
}

fn encode_hosts(
    http: &HttpListener,
    ir: &Gateway,
    settings: &Settings,
    clusters: Version,
    mut encoded: Kept<EncodedHost>,
) -> Vec<EncodedHost> {
    let base = http.model_headers.iter().any(|h| h == BASE_MODEL_HEADER) || !http.base_models.is_empty();
    let context = Context { clusters: &ir.clusters, settings, base };
    let version = virtual_host::context_version(http, &context, clusters);
    let encode = |host: &Arc<VirtualHost>| {
        let previous = encoded.take(|encoded| encoded.hostname().cmp(&host.hostname));
        virtual_host::encode(host, http, &context, version, previous)
    };
    http.virtual_hosts.iter().map(encode).collect()
}

fn share(
    previous: Option<&Arc<Resource>>,
    version: Version,
    make: impl FnOnce() -> Resource,
) -> Arc<Resource> {
    match previous {
        Some(previous) if previous.version == version => previous.clone(),
        _ => Arc::new(make()),
    }
}

/// A resource from its message.
pub(super) fn resource<T: Message + Name>(name: &str, version: Version, message: &T) -> Resource {
    let value = message.encode_to_vec();
    let mut any = start_any::<T>(value.len());
    any.extend_from_slice(&value);
    Resource { name: name.into(), version, any: any.into() }
}
