//! Decides what a reference to a port of a Service means.

use super::{
    backend_tls,
    fault::Fault,
    ir::{Cluster, ClusterName, Protocol, Upstream},
};
use crate::{
    api::{AppProtocol, NamespacedName, Service, ServicePort, ServiceType},
    world::World,
};

/// The cluster of a Service's port.
pub(super) fn cluster(world: &World, key: &NamespacedName, port: Option<u16>) -> Result<Cluster, Fault> {
    let Some(service) = world.services.get(key) else {
        return Err(Fault::backend_not_found(format!(
            "Service {key} does not exist; create it or correct the name"
        )));
    };
    if service.spec.kind == ServiceType::ExternalName {
        return Err(Fault::invalid_kind(format!(
            "Service {key} is of type ExternalName, which may point anywhere (CVE-2021-25740); use a Service with endpoints"
        )));
    }
    let Some(port) = port else {
        return Err(Fault::backend_not_found(format!(
            "port is required for Service {key}; {}",
            offered(service)
        )));
    };
    let Some(found) = tcp_port(service, port) else {
        return Err(Fault::backend_not_found(format!(
            "Service {key} has no TCP port {port}; {}",
            offered(service)
        )));
    };
    let tls = backend_tls::of_port(world, key, found).transpose().map_err(Fault::unverifiable)?;
    let protocol = protocol(found, tls.is_some()).map_err(|word| {
        Fault::unsupported_protocol(format!(
            "Service {key} port {port} has appProtocol {word}, which is not spoken to backends; use \
             kubernetes.io/h2c, kubernetes.io/ws or http, or add a BackendTLSPolicy for the Service"
        ))
    })?;
    Ok(Cluster {
        name: ClusterName::service(key, port),
        upstream: Upstream::Service(key.clone(), port),
        protocol,
        tls,
    })
}

/// The Service's port with this number, for TCP.
pub(super) fn tcp_port(service: &Service, port: u16) -> Option<&ServicePort> {
    service.spec.ports.iter().find(|p| p.port == port && p.protocol.as_deref().unwrap_or("TCP") == "TCP")
}

/// What a Service's port speaks (GEP-1911). The error is the word for a protocol that is known and not served;
/// words that nobody specified say nothing against HTTP/1.1. Words for TLS are served where it is known how to verify.
fn protocol(port: &ServicePort, tls: bool) -> Result<Protocol, &str> {
    match &port.app_protocol {
        None => Ok(Protocol::Http1),
        Some(AppProtocol::H2c) => Ok(Protocol::Http2),
        Some(AppProtocol::Ws) => Ok(Protocol::WebSocket),
        Some(AppProtocol::Wss) if tls => Ok(Protocol::WebSocket),
        Some(AppProtocol::Wss) => Err("kubernetes.io/wss"),
        Some(AppProtocol::Other(word)) => match word.to_ascii_lowercase().as_str() {
            "h2c" | "http2" | "grpc" => Ok(Protocol::Http2),
            "https" | "tls" if tls => Ok(Protocol::Http1),
            "grpcs" if tls => Ok(Protocol::Http2),
            "https" | "tls" | "grpcs" | "udp" => Err(word),
            _ => Ok(Protocol::Http1),
        },
    }
}

/// The Service's ports, for a message.
fn offered(service: &Service) -> String {
    let ports: Vec<String> = service.spec.ports.iter().map(|p| p.port.to_string()).collect();
    if ports.is_empty() { "it has no ports".into() } else { format!("it has {}", ports.join(", ")) }
}
