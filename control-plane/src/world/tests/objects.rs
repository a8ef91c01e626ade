//! Objects for tests, from `namespace/name` and what matters of them.

use serde_json::{Value, json};

use super::key;
use crate::{
    api::{Kind, ObservedStatus, group},
    source::AnyObject,
    world::World,
};

fn object(kind: Kind, name: &str, labels: &[(&str, &str)], rest: Value) -> AnyObject {
    let key = key(name);
    let labels: Value =
        labels.iter().map(|(k, v)| ((*k).to_owned(), json!(v))).collect::<serde_json::Map<_, _>>().into();
    let Value::Object(mut value) = rest else { panic!("the rest is an object") };
    value.insert("metadata".into(), json!({"name": key.name, "namespace": key.namespace, "labels": labels}));
    AnyObject::deserialize(kind, Value::Object(value)).expect("the object is sound")
}

/// A reference to `name`, or to `namespace/name`.
fn reference(text: &str) -> Value {
    text.split_once('/').map_or_else(
        || json!({"name": text}),
        |(namespace, name)| json!({"namespace": namespace, "name": name}),
    )
}

pub(super) fn gateway_class(name: &str) -> AnyObject {
    object(
        Kind::GatewayClass,
        name,
        &[],
        json!({"spec": {"controllerName": "signalbox.dev/gateway-controller"}}),
    )
}

/// Listeners take routes from namespaces with `team: t2`, in namespace `b` only.
pub(super) fn gateway(name: &str, class: &str, secret: Option<&str>) -> AnyObject {
    let selector = json!({"namespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "t2"}}}});
    let allowed = if name.starts_with("b/") { selector } else { json!({}) };
    let refs: Vec<Value> = secret.iter().map(|name| reference(name)).collect();
    object(
        Kind::Gateway,
        name,
        &[],
        json!({"spec": {"gatewayClassName": class, "listeners": [
            {"name": "l", "port": 80, "protocol": "HTTP", "allowedRoutes": allowed, "tls": {"certificateRefs": refs}},
        ]}}),
    )
}

pub(super) fn route(name: &str, parents: &[&str], backends: &[(&str, &str)]) -> AnyObject {
    let named = |text: &str| {
        let key = key(text);
        json!({"namespace": key.namespace, "name": key.name})
    };
    let parents: Vec<Value> = parents.iter().map(|parent| named(parent)).collect();
    let backends: Vec<Value> = backends
        .iter()
        .map(|(kind, name)| {
            let mut backend = named(name);
            backend["kind"] = json!(kind);
            backend["group"] = json!(if *kind == "Service" { "" } else { group::INFERENCE });
            backend
        })
        .collect();
    object(
        Kind::HTTPRoute,
        name,
        &[],
        json!({"spec": {"parentRefs": parents, "rules": [{"backendRefs": backends}]}}),
    )
}

pub(super) fn pool(name: &str, selector: &[(&str, &str)], picker: Option<&str>) -> AnyObject {
    let labels: serde_json::Map<_, _> = selector.iter().map(|(k, v)| ((*k).to_owned(), json!(v))).collect();
    let mut spec = json!({"selector": {"matchLabels": labels}, "targetPorts": [{"number": 8000}]});
    if let Some(picker) = picker {
        spec["endpointPickerRef"] = json!({"name": picker, "port": {"number": 9002}});
    }
    object(Kind::InferencePool, name, &[], json!({"spec": spec}))
}

pub(super) fn pool_status(gateway: &str) -> ObservedStatus {
    let key = key(gateway);
    json!({"parents": [{"parentRef": {"namespace": key.namespace, "name": key.name}}]}).into()
}

pub(super) fn service(name: &str) -> AnyObject {
    object(Kind::Service, name, &[], json!({"spec": {"ports": [{"port": 80}]}}))
}

pub(super) fn slice(name: &str, service: &str, address: &str) -> AnyObject {
    let rest = json!({"addressType": "IPv4", "endpoints": [{"addresses": [address]}]});
    object(Kind::EndpointSlice, name, &[("kubernetes.io/service-name", service)], rest)
}

pub(super) fn pod(name: &str, labels: &[(&str, &str)], node: &str) -> AnyObject {
    object(Kind::Pod, name, labels, json!({"spec": {"nodeName": node}, "status": {"podIP": "10.0.0.1"}}))
}

pub(super) fn node(name: &str, product: &str) -> AnyObject {
    object(Kind::Node, name, &[("nvidia.com/gpu.product", product)], json!({}))
}

pub(super) fn grant(name: &str, from: &str) -> AnyObject {
    let from = json!([{"group": group::GATEWAY, "kind": "HTTPRoute", "namespace": from}]);
    object(
        Kind::ReferenceGrant,
        name,
        &[],
        json!({"spec": {"from": from, "to": [{"group": "", "kind": "Service"}]}}),
    )
}

/// A policy with authorities in the ConfigMap `bundle`.
pub(super) fn tls_policy(name: &str, service: &str, bundle: &str) -> AnyObject {
    let target = json!({"group": "", "kind": "Service", "name": service});
    let bundle = json!({"group": "", "kind": "ConfigMap", "name": bundle});
    let validation = json!({"hostname": "h", "caCertificateRefs": [bundle]});
    object(
        Kind::BackendTLSPolicy,
        name,
        &[],
        json!({"spec": {"targetRefs": [target], "validation": validation}}),
    )
}

pub(super) fn secret(name: &str, value: &str) -> AnyObject {
    object(Kind::Secret, name, &[], json!({"stringData": {"tls.crt": value}}))
}

pub(super) fn config_map(name: &str, label: Option<&str>) -> AnyObject {
    let labels: Vec<(&str, &str)> = label.iter().map(|label| (*label, "true")).collect();
    object(Kind::ConfigMap, name, &labels, json!({"data": {"baseModel": "m"}}))
}

pub(super) fn objective(name: &str, pool: &str, priority: i32) -> AnyObject {
    object(
        Kind::InferenceObjective,
        name,
        &[],
        json!({"spec": {"priority": priority, "poolRef": {"name": pool}}}),
    )
}

pub(super) fn rewrite(name: &str, pool: &str, target: &str) -> AnyObject {
    let rules = json!([{"targets": [{"modelRewrite": target}]}]);
    object(
        Kind::InferenceModelRewrite,
        name,
        &[],
        json!({"spec": {"poolRef": {"name": pool}, "rules": rules}}),
    )
}

pub(super) fn model(name: &str, pool: &str, model: &str) -> AnyObject {
    let pool = json!({"group": group::INFERENCE_X, "name": pool});
    object(Kind::InferenceModel, name, &[], json!({"spec": {"modelName": model, "poolRef": pool}}))
}

pub(super) fn namespace(name: &str, team: &str) -> AnyObject {
    object(Kind::Namespace, name, &[("team", team)], json!({}))
}

/// All objects of a World.
pub(super) fn all(world: &World) -> Vec<AnyObject> {
    fn add<T>(objects: &crate::world::Objects<T>, all: &mut Vec<AnyObject>)
    where
        T: Clone,
        AnyObject: From<T>,
    {
        all.extend(objects.values().map(|object| AnyObject::from(T::clone(object))));
    }
    let mut objects = Vec::new();
    add(&world.gateway_classes, &mut objects);
    add(&world.gateways, &mut objects);
    add(&world.http_routes, &mut objects);
    add(&world.reference_grants, &mut objects);
    add(&world.backend_tls_policies, &mut objects);
    add(&world.namespaces, &mut objects);
    add(&world.services, &mut objects);
    add(&world.endpoint_slices, &mut objects);
    add(&world.pods, &mut objects);
    add(&world.nodes, &mut objects);
    add(&world.secrets, &mut objects);
    add(&world.config_maps, &mut objects);
    add(&world.pools, &mut objects);
    add(&world.objectives, &mut objects);
    add(&world.rewrites, &mut objects);
    add(&world.models, &mut objects);
    objects
}
