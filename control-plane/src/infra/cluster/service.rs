//! The Service in front of a Gateway's Envoys.

use std::net::IpAddr;

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{
    envoy::{port_name, transport},
    metadata::Shared,
};
use crate::{
    api::{FleetServiceType, ServiceParameters},
    gateway::FleetPort,
};

/// The Service. Addresses that are asked for become `loadBalancerIP` (the first; load balancers that take more have
/// annotations for it) or, where there is no load balancer, `externalIPs`.
pub(super) fn service(
    shared: &Shared,
    parameters: &ServiceParameters,
    ports: &[FleetPort],
    asked: &[IpAddr],
) -> Service {
    let kind = parameters.kind.unwrap_or_default();
    let balanced = kind == FleetServiceType::LoadBalancer;
    let mut metadata = shared.meta();
    let labels = metadata.labels.get_or_insert_default();
    for (key, value) in parameters.labels.iter().flatten() {
        labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
    let annotations = metadata.annotations.get_or_insert_default();
    for (key, value) in parameters.annotations.iter().flatten() {
        annotations.entry(key.clone()).or_insert_with(|| value.clone());
    }
    let external = || asked.iter().map(ToString::to_string).collect::<Vec<_>>();
    Service {
        metadata,
        spec: Some(ServiceSpec {
            type_: Some(kind.as_str().to_owned()),
            selector: Some(shared.selector.clone()),
            ports: Some(ports.iter().map(port).collect()),
            external_traffic_policy: parameters.external_traffic_policy.map(|p| p.as_str().to_owned()),
            load_balancer_class: parameters.load_balancer_class.clone(),
            load_balancer_source_ranges: parameters.load_balancer_source_ranges.clone(),
            load_balancer_ip: asked.first().filter(|_| balanced).map(ToString::to_string),
            external_ips: (!balanced && !asked.is_empty()).then(external),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

fn port(port: &FleetPort) -> ServicePort {
    ServicePort {
        name: Some(port_name(port)),
        port: port.port.into(),
        target_port: Some(IntOrString::Int(port.bind_port.into())),
        protocol: Some(transport(port).to_owned()),
        ..ServicePort::default()
    }
}
