//! Parameters of infrastructure: where they come from, what wins, what is refused.

use super::*;
use crate::{
    api::{FleetServiceType, InfrastructureMode},
    gateway::{Fleet, class_reports, fleet},
    world::Dirty,
};

/// A class with defaults and a Gateway with parameters of its own.
fn manifests(class: &str, own: &str) -> String {
    format!(
        "
kind: GatewayClass
metadata: {{name: p}}
spec:
  controllerName: test/us
  parametersRef: {{group: signalbox.dev, kind: GatewayParameters, name: defaults, namespace: system}}
---
kind: GatewayParameters
metadata: {{name: defaults, namespace: system}}
spec: {class}
---
kind: GatewayParameters
metadata: {{name: own}}
spec: {own}
---
kind: Gateway
metadata: {{name: gw}}
spec:
  gatewayClassName: p
  infrastructure: {{parametersRef: {{group: signalbox.dev, kind: GatewayParameters, name: own}}}}
  listeners:
  - {{name: a, port: 8080, protocol: HTTP}}
  - {{name: b, port: 80, protocol: HTTP, hostname: b.com}}
  - {{name: c, port: 80, protocol: HTTP}}
  - {{name: d, port: 443, protocol: HTTPS}}"
    )
}

fn fleet_of(world: &World) -> Result<Fleet, String> {
    fleet(world, &key("gw"), &options()).unwrap()
}

#[test]
fn a_gateway_wins_over_its_class_field_by_field() {
    let class = "{infrastructure: external, envoy: {replicas: 5, image: i, podLabels: {a: b, c: d}, autoscaling: \
                 {maxReplicas: 9}}, service: {type: NodePort}}";
    let own = "{envoy: {replicas: 3, podLabels: {a: x}}, service: {externalTrafficPolicy: Local}}";
    let fleet = fleet_of(&world(&manifests(class, own))).unwrap();
    let spec = &fleet.parameters;
    assert_eq!(spec.infrastructure, Some(InfrastructureMode::External));
    assert_eq!((spec.envoy.replicas, spec.envoy.image.as_deref()), (Some(3), Some("i")));
    assert_eq!(spec.envoy.pod_labels.as_ref().unwrap().len(), 1);
    assert_eq!(spec.envoy.autoscaling, None);
    assert_eq!(spec.service.kind, Some(FleetServiceType::NodePort));
    assert!(spec.service.external_traffic_policy.is_some());
    let ports: Vec<_> = fleet.ports.iter().map(|p| format!("{}-{}", p.protocol, p.port)).collect();
    assert_eq!(ports, ["http-80", "http-8080"]);
}

#[test]
fn what_is_wrong_names_object_field_and_remedy() {
    for (own, words) in [
        (
            "{envoy: {autoscaling: {minReplicas: 3, maxReplicas: 2}}}",
            "autoscaling: minReplicas 3 to maxReplicas 2",
        ),
        ("{envoy: {resources: {limits: {memory: lots}}}}", "memory \"lots\" is no quantity; write"),
        ("{service: {type: ClusterIP, loadBalancerClass: c}}", "loadBalancerClass: only a Service of type"),
        (
            "{service: {type: ClusterIP, externalTrafficPolicy: Local}}",
            "externalTrafficPolicy: a Service of type",
        ),
        ("{envoy: {drainSeconds: -1}}", "drainSeconds: is out of range; use 0"),
    ] {
        let world = world(&manifests("{}", own));
        let resolved = resolve(&world, &key("gw"), &options()).unwrap();
        let conditions = &resolved.reports.gateway.conditions;
        assert_eq!(shown(conditions, "Accepted"), "False/InvalidParameters", "{own}");
        let said = message(conditions, "Accepted");
        assert!(said.contains("GatewayParameters default/own spec.") && said.contains(words), "{said}");
        assert_eq!(fleet_of(&world).unwrap_err(), said);
    }
}

#[test]
fn a_class_with_wrong_parameters_keeps_its_gateways() {
    let world = world(&manifests("{envoy: {replicas: -1}}", "{envoy: {replicas: 1}}"));
    let classes = class_reports(&world, &options());
    assert_eq!(shown(&classes["p"].conditions, "Accepted"), "False/InvalidParameters");
    assert!(
        message(&classes["p"].conditions, "Accepted").contains("GatewayParameters system/defaults spec.envoy.replicas")
    );
    let resolved = resolve(&world, &key("gw"), &options()).unwrap();
    assert_eq!(resolved.ir.listeners.len(), 2, "it keeps being served");
    assert!(shown(&resolved.reports.gateway.conditions, "Accepted").starts_with("True/"));
    assert!(fleet_of(&world).unwrap_err().contains("system/defaults"));
}

#[test]
fn parameters_that_come_and_go_touch_their_gateways() {
    let world = world(&manifests("{}", "{}"));
    for (name, classes) in [("default/own", 0), ("system/defaults", 1)] {
        let (namespace, name) = name.split_once('/').unwrap();
        let gone = world.parameters[&NamespacedName::new(namespace, name)].clone();
        let removed = crate::api::ObjectRef::new(Kind::GatewayParameters, gone.metadata.key());
        let (next, dirty): (World, Dirty) = world.apply(&Batch::from_iter([Change::Delete(removed)]));
        assert!(dirty.gateways.contains(&key("gw")), "{name}");
        assert_eq!(dirty.classes.len(), classes, "{name}");
        assert!(fleet_of(&next).unwrap_err().contains("does not exist"), "{name}");
    }
}
