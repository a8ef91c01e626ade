//! All resources of one Gateway.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use prost::{
    Message, Name,
    encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len},
};

use super::{
    TRANSLATION_SALT,
    cache::Cache,
    cluster, endpoint, listener,
    names::{self, BASE_MODEL_HEADER},
    route::Context,
    settings::Settings,
    tls,
    value::{boolean, uint32},
    virtual_host::{self, EncodedHost},
};
use crate::{
    gateway::ir::{ClusterName, EndpointSet, Gateway, HttpListener, Listener, ListenerProtocol, VirtualHost},
    xds::{Resource, ResourceType, Snapshot, Version},
};

/// Field number of `RouteConfiguration.virtual_hosts`.
const VIRTUAL_HOSTS: u32 = 2;
/// Field number of `VirtualHost.routes`.
const ROUTES: u32 = 3;
/// Bytes of a direct response that every RouteConfiguration allows.
const MIN_DIRECT_BODY: usize = 16 << 10;

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
        let version = Version::of(TRANSLATION_SALT, &(listener::source(source), settings));
        let name = names::listener(source.port);
        let listener = share(known(ResourceType::Listener, &name), version, || {
            resource(&name, version, &listener::listener(source, settings))
        });
        snapshot.insert(ResourceType::Listener, listener);
        for (name, http) in route_sources(source) {
            let hosts = encode_hosts(&name, http, ir, settings, clusters, &mut last);
            let of_hosts: Vec<_> = hosts.iter().map(|h| h.version).collect();
            let version = Version::of(TRANSLATION_SALT, &(&name, of_hosts));
            let routes = share(known(ResourceType::Route, &name), version, || Resource {
                name: name.as_str().into(),
                version,
                any: route_configuration(&name, &hosts),
            });
            snapshot.insert(ResourceType::Route, routes);
            let keys = http.virtual_hosts.iter().map(|h| (name.clone(), h.hostname.clone()));
            cache.hosts.extend(keys.zip(hosts));
        }
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
    routes: &str,
    http: &HttpListener,
    ir: &Gateway,
    settings: &Settings,
    clusters: Version,
    last: &mut BTreeMap<(String, String), EncodedHost>,
) -> Vec<EncodedHost> {
    let base = http.model_headers.iter().any(|h| h == BASE_MODEL_HEADER) || !http.base_models.is_empty();
    let context = Context { clusters: &ir.clusters, settings, base };
    let version = virtual_host::context_version(http, &context, clusters);
    let encode = |host: &Arc<VirtualHost>| {
        let previous = last.remove(&(routes.to_owned(), host.hostname.clone()));
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

/// The beginning of an encoded `google.protobuf.Any` whose value of `len` bytes follows.
fn start_any<T: Name>(len: usize) -> Vec<u8> {
    let url = T::type_url();
    let mut any = Vec::with_capacity(len + url.len() + 16);
    prost::encoding::string::encode(1, &url, &mut any);
    start_message(2, len, &mut any);
    any
}

/// A field that holds a message of `len` bytes, which follow.
fn start_message(field: u32, len: usize, buffer: &mut Vec<u8>) {
    encode_key(field, WireType::LengthDelimited, buffer);
    encode_varint(len as u64, buffer);
}

fn field_len(field: u32, len: usize) -> usize {
    key_len(field) + encoded_len_varint(len as u64) + len
}

/// The RouteConfiguration of a port, put together from the bytes of its virtual hosts.
fn route_configuration(name: &str, hosts: &[EncodedHost]) -> Bytes {
    let longest = hosts.iter().map(|h| h.longest_body).fold(MIN_DIRECT_BODY, usize::max);
    let head = RouteConfiguration {
        name: name.to_owned(),
        // Routes may name clusters that never exist: sentinels and refusals.
        validate_clusters: boolean(false),
        max_direct_response_body_size_bytes: uint32(u32::try_from(longest).unwrap_or(u32::MAX)),
        ignore_port_in_host_matching: true,
        ..Default::default()
    }
    .encode_to_vec();
    let lens: Vec<_> = hosts.iter().map(host_len).collect();
    let len = head.len() + lens.iter().map(|&l| field_len(VIRTUAL_HOSTS, l)).sum::<usize>();
    let mut any = start_any::<RouteConfiguration>(len);
    any.extend_from_slice(&head);
    for (host, len) in hosts.iter().zip(lens) {
        start_message(VIRTUAL_HOSTS, len, &mut any);
        any.extend_from_slice(&host.head);
        for route in &host.routes {
            start_message(ROUTES, route.bytes.len(), &mut any);
            any.extend_from_slice(&route.bytes);
        }
        any.extend_from_slice(&host.tail);
    }
    any.into()
}

fn host_len(host: &EncodedHost) -> usize {
    let routes = host.routes.iter().map(|r| field_len(ROUTES, r.bytes.len())).sum::<usize>();
    host.head.len() + routes + host.tail.len()
}
