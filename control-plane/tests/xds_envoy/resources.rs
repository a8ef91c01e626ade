//! A small hand-made configuration: one listener, one route, clusters whose endpoints come by EDS.

use std::{sync::Arc, time::Duration};

use control_plane::xds::{Resource, ResourceType, Snapshot, Version};
use envoy_types::{
    pb::{
        envoy::{
            config::{
                cluster::v3::{
                    Cluster, cluster,
                    cluster::{ClusterDiscoveryType, EdsClusterConfig},
                },
                core::v3::{
                    Address, AggregatedConfigSource, ApiVersion, ConfigSource, SocketAddress, address,
                    config_source::ConfigSourceSpecifier, socket_address::PortSpecifier,
                },
                endpoint::v3::{
                    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints,
                    lb_endpoint::HostIdentifier,
                },
                listener::v3::{Filter, FilterChain, Listener, filter::ConfigType},
                route::v3::{
                    Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost, route::Action,
                    route_action::ClusterSpecifier, route_match::PathSpecifier,
                },
            },
            extensions::filters::{
                http::router::v3::Router,
                network::http_connection_manager::v3::{
                    HttpConnectionManager, HttpFilter, Rds, http_connection_manager::RouteSpecifier,
                    http_filter,
                },
            },
            r#type::matcher::v3::RegexMatcher,
        },
        google::protobuf::Any,
    },
    util::pack_any,
};
use prost::Message as _;

/// What the snapshot is made of.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Config {
    /// Port of the listener.
    pub(crate) port: u16,
    /// Clusters: name, connect timeout in milliseconds (to have something to change), ports of the endpoints.
    pub(crate) clusters: Vec<(&'static str, u64, Vec<u16>)>,
    /// The cluster of the route.
    pub(crate) target: &'static str,
    /// Regular expression of the route's path; empty for any path.
    pub(crate) regex: &'static str,
}

impl Config {
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        let mut snapshot = Snapshot::default();
        for (name, timeout, ports) in &self.clusters {
            let any = pack_any(cluster(name, *timeout));
            snapshot.insert(ResourceType::Cluster, resource(name, &timeout, &any));
            let any = pack_any(endpoints(name, ports));
            snapshot.insert(ResourceType::Endpoint, resource(name, &ports, &any));
        }
        let any = pack_any(listener(self.port));
        snapshot.insert(ResourceType::Listener, resource("http", &self.port, &any));
        let any = pack_any(routes(self.target, self.regex));
        snapshot.insert(ResourceType::Route, resource("routes", &(self.target, self.regex), &any));
        Arc::new(snapshot)
    }
}

fn resource(name: &str, source: &impl std::hash::Hash, any: &Any) -> Arc<Resource> {
    let any = any.encode_to_vec().into();
    Arc::new(Resource { name: name.into(), version: Version::of(1, source), any })
}

fn ads() -> ConfigSource {
    ConfigSource {
        resource_api_version: ApiVersion::V3 as i32,
        config_source_specifier: Some(ConfigSourceSpecifier::Ads(AggregatedConfigSource {})),
        ..ConfigSource::default()
    }
}

fn loopback(port: u16) -> Address {
    let socket = SocketAddress {
        address: "127.0.0.1".into(),
        port_specifier: Some(PortSpecifier::PortValue(port.into())),
        ..SocketAddress::default()
    };
    Address { address: Some(address::Address::SocketAddress(socket)) }
}

fn cluster(name: &str, timeout_ms: u64) -> Cluster {
    let timeout = Duration::from_millis(timeout_ms);
    let connect_timeout = envoy_types::pb::google::protobuf::Duration {
        seconds: i64::try_from(timeout.as_secs()).unwrap(),
        nanos: i32::try_from(timeout.subsec_nanos()).unwrap(),
    };
    Cluster {
        name: name.into(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(cluster::DiscoveryType::Eds as i32)),
        eds_cluster_config: Some(EdsClusterConfig { eds_config: Some(ads()), service_name: String::new() }),
        connect_timeout: Some(connect_timeout),
        ..Cluster::default()
    }
}

fn endpoints(cluster: &str, ports: &[u16]) -> ClusterLoadAssignment {
    let endpoint = |port: &u16| LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
            address: Some(loopback(*port)),
            ..Endpoint::default()
        })),
        ..LbEndpoint::default()
    };
    let lb_endpoints = ports.iter().map(endpoint).collect();
    ClusterLoadAssignment {
        cluster_name: cluster.into(),
        endpoints: vec![LocalityLbEndpoints { lb_endpoints, ..LocalityLbEndpoints::default() }],
        ..ClusterLoadAssignment::default()
    }
}

fn listener(port: u16) -> Listener {
    let router = HttpFilter {
        name: "router".into(),
        config_type: Some(http_filter::ConfigType::TypedConfig(pack_any(Router::default()))),
        ..HttpFilter::default()
    };
    let hcm = HttpConnectionManager {
        stat_prefix: "http".into(),
        http_filters: vec![router],
        route_specifier: Some(RouteSpecifier::Rds(Rds {
            config_source: Some(ads()),
            route_config_name: "routes".into(),
        })),
        ..HttpConnectionManager::default()
    };
    let filter = Filter { name: "hcm".into(), config_type: Some(ConfigType::TypedConfig(pack_any(hcm))) };
    Listener {
        name: "http".into(),
        address: Some(loopback(port)),
        filter_chains: vec![FilterChain { filters: vec![filter], ..FilterChain::default() }],
        ..Listener::default()
    }
}

fn routes(cluster: &str, regex: &str) -> RouteConfiguration {
    let path = match regex {
        "" => PathSpecifier::Prefix("/".into()),
        regex => PathSpecifier::SafeRegex(RegexMatcher { regex: regex.into(), ..RegexMatcher::default() }),
    };
    let action = RouteAction {
        cluster_specifier: Some(ClusterSpecifier::Cluster(cluster.into())),
        ..RouteAction::default()
    };
    let route = Route {
        r#match: Some(RouteMatch { path_specifier: Some(path), ..RouteMatch::default() }),
        action: Some(Action::Route(action)),
        ..Route::default()
    };
    let host = VirtualHost {
        name: "any".into(),
        domains: vec!["*".into()],
        routes: vec![route],
        ..VirtualHost::default()
    };
    RouteConfiguration {
        name: "routes".into(),
        virtual_hosts: vec![host],
        validate_clusters: Some(envoy_types::pb::google::protobuf::BoolValue { value: false }),
        ..RouteConfiguration::default()
    }
}
