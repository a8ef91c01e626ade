//! The objects that stand for a managed picker: what a cluster would hold for its Service.

use std::{collections::BTreeMap, net::SocketAddr};

use crate::{
    api::{
        EndpointSlice, NamespacedName, ObjectMeta, Service, ServicePort, ServiceSpec, SliceConditions,
        SliceEndpoint, SlicePort,
    },
    world::World,
};

/// The Service that a managed picker has (the manifests' own where it exists) and a slice with the picker's address.
pub fn picker_objects(
    world: &World,
    service: &NamespacedName,
    port: u16,
    picker: SocketAddr,
) -> (Option<Service>, EndpointSlice) {
    let held = world.services.get(service);
    let port_name =
        held.and_then(|s| s.spec.ports.iter().find(|p| p.port == port)).map_or("", |p| p.name.as_str());
    let slice = EndpointSlice {
        metadata: ObjectMeta {
            name: format!("{}-signalbox", service.name),
            namespace: service.namespace.clone(),
            labels: BTreeMap::from([("kubernetes.io/service-name".to_owned(), service.name.clone())]),
            generation: 1,
            ..ObjectMeta::default()
        },
        address_type: if picker.is_ipv4() { "IPv4" } else { "IPv6" }.into(),
        endpoints: vec![SliceEndpoint {
            addresses: vec![picker.ip().to_string()],
            conditions: SliceConditions { ready: Some(true), ..SliceConditions::default() },
        }],
        ports: vec![SlicePort {
            name: Some(port_name.to_owned()),
            port: Some(picker.port()),
            ..SlicePort::default()
        }],
    };
    let own = held.is_none().then(|| Service {
        metadata: ObjectMeta {
            name: service.name.clone(),
            namespace: service.namespace.clone(),
            generation: 1,
            ..ObjectMeta::default()
        },
        spec: ServiceSpec {
            ports: vec![ServicePort {
                name: String::new(),
                port,
                target_port: None,
                protocol: None,
                app_protocol: None,
            }],
            ..ServiceSpec::default()
        },
    });
    (own, slice)
}
