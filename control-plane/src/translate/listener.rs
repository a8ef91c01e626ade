//! Listeners: LDS.

use std::net::{IpAddr, Ipv4Addr};

use envoy_types::pb::envoy::config::{
    core::v3::{Address, SocketAddress, TrafficDirection, address, socket_address::PortSpecifier},
    listener::v3::{AdditionalAddress, Filter, FilterChain, Listener as PbListener, filter::ConfigType},
};

use super::{
    hcm, names,
    settings::Settings,
    value::{any, uint32},
};
use crate::gateway::ir::{HttpListener, Listener, ListenerProtocol};

/// The resource. Names depend on the port alone, so that edits update the listener in place instead of draining it.
pub(super) fn listener(listener: &Listener, settings: &Settings) -> PbListener {
    let mut addresses = bind(listener).into_iter();
    let address = addresses.next();
    let ListenerProtocol::Http(http) = &listener.protocol;
    PbListener {
        name: names::listener(listener.port),
        address,
        additional_addresses: addresses
            .map(|address| AdditionalAddress { address: Some(address), ..Default::default() })
            .collect(),
        default_filter_chain: Some(chain(listener.port, http, settings)),
        // What a draining proxy closes; its status listener stays open (bootstrap).
        traffic_direction: TrafficDirection::Inbound.into(),
        per_connection_buffer_limit_bytes: uint32(32 << 10),
        max_connections_to_accept_per_socket_event: uint32(1),
        tcp_backlog_size: uint32(4096),
        ..Default::default()
    }
}

/// What of a listener its LDS resource is made from.
pub(super) fn source(listener: &Listener) -> impl std::hash::Hash {
    let ListenerProtocol::Http(http) = &listener.protocol;
    (
        listener.port,
        listener.bind_port,
        listener.addresses.clone(),
        http.uses_pickers,
        !http.model_headers.is_empty(),
        hcm::scripts(),
    )
}

/// All IPv4 addresses when none is given: an IPv6 socket cannot be bound on every node, so fleets that have IPv6 say
/// so (`::` then takes IPv4 as well).
fn bind(listener: &Listener) -> Vec<Address> {
    if listener.addresses.is_empty() {
        return vec![socket(IpAddr::V4(Ipv4Addr::UNSPECIFIED), listener.bind_port)];
    }
    listener.addresses.iter().map(|&address| socket(address, listener.bind_port)).collect()
}

/// A TCP socket.
pub(super) fn socket(ip: IpAddr, port: u16) -> Address {
    Address {
        address: Some(address::Address::SocketAddress(SocketAddress {
            address: ip.to_string(),
            ipv4_compat: ip.is_ipv6() && ip.is_unspecified(),
            port_specifier: Some(PortSpecifier::PortValue(port.into())),
            ..Default::default()
        })),
    }
}

fn chain(port: u16, http: &HttpListener, settings: &Settings) -> FilterChain {
    FilterChain {
        name: names::routes(port),
        filters: vec![Filter {
            name: "envoy.filters.network.http_connection_manager".to_owned(),
            config_type: Some(ConfigType::TypedConfig(any(&hcm::manager(port, http, settings)))),
        }],
        ..Default::default()
    }
}
