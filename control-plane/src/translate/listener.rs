//! Listeners: LDS.

use std::net::{IpAddr, Ipv4Addr};

use envoy_types::pb::envoy::config::{
    core::v3::{Address, SocketAddress, TrafficDirection, address, socket_address::PortSpecifier},
    listener::v3::{
        AdditionalAddress, Filter, FilterChain, FilterChainMatch, Listener as PbListener, ListenerFilter,
        filter::ConfigType, listener_filter,
    },
};
use envoy_types::pb::envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector;

use super::{
    hcm, names,
    settings::Settings,
    tls,
    value::{any, seconds, uint32},
};
use crate::gateway::ir::{HttpListener, Listener, ListenerProtocol, TlsChain};

/// The resource. Names depend on the port alone, so that edits update the listener in place instead of draining it.
pub(super) fn listener(listener: &Listener, settings: &Settings) -> PbListener {
    let mut addresses = bind(listener).into_iter();
    let address = addresses.next();
    let (filter_chains, default_filter_chain, listener_filters) = match &listener.protocol {
        ListenerProtocol::Http(http) => {
            (Vec::new(), Some(chain(names::routes(listener.port), http, settings)), Vec::new())
        }
        ListenerProtocol::Https(chains) => {
            let chains = chains.iter().map(|chain| tls_chain(listener.port, chain, settings));
            (chains.collect(), None, vec![server_names()])
        }
    };
    PbListener {
        name: names::listener(listener.port),
        address,
        additional_addresses: addresses
            .map(|address| AdditionalAddress { address: Some(address), ..Default::default() })
            .collect(),
        filter_chains,
        default_filter_chain,
        listener_filters,
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
    let of_http = |http: &HttpListener| (http.uses_pickers, !http.model_headers.is_empty());
    let of_tls = match &listener.protocol {
        ListenerProtocol::Http(_) => None,
        ListenerProtocol::Https(chains) => Some(
            chains
                .iter()
                .map(|chain| (chain.server_name.clone(), chain.certificates.clone()))
                .collect::<Vec<_>>(),
        ),
    };
    (
        listener.port,
        listener.bind_port,
        listener.addresses.clone(),
        listener.protocol.http().map(of_http).collect::<Vec<_>>(),
        of_tls,
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

fn chain(name: String, http: &HttpListener, settings: &Settings) -> FilterChain {
    FilterChain {
        filters: vec![Filter {
            name: "envoy.filters.network.http_connection_manager".to_owned(),
            config_type: Some(ConfigType::TypedConfig(any(&hcm::manager(&name, http, settings)))),
        }],
        name,
        ..Default::default()
    }
}

/// The chain of one server name. `*` takes clients that name none, too.
fn tls_chain(port: u16, tls: &TlsChain, settings: &Settings) -> FilterChain {
    let names = Some(&tls.server_name).filter(|name| *name != "*");
    FilterChain {
        filter_chain_match: Some(FilterChainMatch {
            server_names: names.into_iter().cloned().collect(),
            transport_protocol: "tls".to_owned(),
            ..Default::default()
        }),
        transport_socket: Some(tls::terminates(&tls.certificates)),
        transport_socket_connect_timeout: seconds(10),
        ..chain(names::tls_routes(port, &tls.server_name), &tls.http, settings)
    }
}

/// Reads the server name from a client's first message.
fn server_names() -> ListenerFilter {
    ListenerFilter {
        name: "envoy.filters.listener.tls_inspector".to_owned(),
        config_type: Some(listener_filter::ConfigType::TypedConfig(any(&TlsInspector::default()))),
        ..Default::default()
    }
}
