//! Decides where the other replicas are: the endpoints of our own Service, without this replica.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use crate::{
    api::{EndpointSlice, NamespacedName},
    world::World,
};

/// Name of the tier API's port in our Service.
const PORT: &str = "grpc-pools";

/// Where the replicas behind `service` serve the tier API, except the Pod `own`. Readiness does not matter: Envoys stay
/// connected to a replica that is not ready, or that ends. Of a Service with two address families, one is taken: that of
/// our own Pod, or IPv4.
pub fn addresses(world: &World, service: &NamespacedName, own: &NamespacedName) -> BTreeSet<SocketAddr> {
    let own: Option<IpAddr> = world.pods.get(own).and_then(|pod| pod.status.pod_ip.as_ref()?.parse().ok());
    let mut found: BTreeSet<_> = world.slices_of(service).flat_map(|slice| of_slice(slice)).collect();
    let four = own.map_or_else(|| found.iter().any(SocketAddr::is_ipv4), |own| own.is_ipv4());
    found.retain(|address| address.is_ipv4() == four && Some(address.ip()) != own);
    found
}

fn of_slice(slice: &EndpointSlice) -> impl Iterator<Item = SocketAddr> {
    let port = slice.ports.iter().find(|port| port.name.as_deref() == Some(PORT)).and_then(|port| port.port);
    let hosts = slice.endpoints.iter().filter_map(|endpoint| endpoint.addresses.first()?.parse().ok());
    hosts.filter_map(move |host: IpAddr| Some(SocketAddr::new(host, port?)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{api::Kind, source::AnyObject};

    fn slice(name: &str, service: &str, port: &str, addresses: &[&str]) -> (Kind, Value) {
        let family = if addresses[0].contains(':') { "IPv6" } else { "IPv4" };
        let endpoints: Vec<_> =
            addresses.iter().map(|a| json!({"addresses": [a], "conditions": {"ready": false}})).collect();
        let object = json!({
            "metadata": {"namespace": "system", "name": name, "labels": {"kubernetes.io/service-name": service}},
            "addressType": family,
            "endpoints": endpoints,
            "ports": [{"name": "grpc-xds", "port": 18000}, {"name": port, "port": 18001}],
        });
        (Kind::EndpointSlice, object)
    }

    fn pod(ip: &str) -> (Kind, Value) {
        let object = json!({"metadata": {"namespace": "system", "name": "me"}, "status": {"podIP": ip}});
        (Kind::Pod, object)
    }

    #[test]
    fn all_of_our_service_but_ourselves() {
        let v4 = || slice("a", "signalbox", PORT, &["10.0.0.1", "10.0.0.2"]);
        let more = || slice("b", "signalbox", PORT, &["10.0.0.3"]);
        let v6 = || slice("c", "signalbox", PORT, &["fd00::1", "fd00::2"]);
        let other = || slice("d", "other", PORT, &["10.0.0.9"]);
        let unnamed = || slice("e", "signalbox", "pools", &["10.0.0.8"]);
        for (objects, expected) in [
            (vec![], &[][..]),
            (vec![v4(), more(), other(), pod("10.0.0.1")], &["10.0.0.2:18001", "10.0.0.3:18001"]),
            // A replica that does not know its own address hears its own name.
            (vec![v4()], &["10.0.0.1:18001", "10.0.0.2:18001"]),
            (vec![v4(), v6(), pod("10.0.0.1")], &["10.0.0.2:18001"]),
            (vec![v4(), v6(), pod("fd00::1")], &["[fd00::2]:18001"]),
            (vec![v4(), v6()], &["10.0.0.1:18001", "10.0.0.2:18001"]),
            (vec![v6()], &["[fd00::1]:18001", "[fd00::2]:18001"]),
            (vec![unnamed()], &[]),
        ] {
            let objects = objects.into_iter().map(|(kind, o)| AnyObject::deserialize(kind, o).unwrap());
            let world = World::from_objects(objects);
            let service = NamespacedName::new("system", "signalbox");
            let found = addresses(&world, &service, &NamespacedName::new("system", "me"));
            let expected: BTreeSet<SocketAddr> = expected.iter().map(|a| a.parse().unwrap()).collect();
            assert_eq!(found, expected);
        }
    }
}
