//! Decides with which parameters the infrastructure of a Gateway is provisioned.
//!
//! ```text
//! GatewayClass.spec.parametersRef ─▶ defaults ─┐
//! Gateway.spec.infrastructure.parametersRef ───┴▶ merged field by field ─▶ checked ─▶ parameters, or what is wrong
//! ```

use super::{Options, class, listener, status};
use crate::{
    api::{
        EnvoyParameters, GatewayClass, GatewayParametersSpec, Kind, NamespacedName, ParametersRef,
        ServiceParameters, group,
    },
    world::World,
};

/// What the infrastructure of a Gateway has to know about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Fleet {
    /// Parameters of the Gateway and its class.
    pub parameters: GatewayParametersSpec,
    /// Sockets of its listeners, in order.
    pub ports: Vec<FleetPort>,
}

/// One socket that clients connect to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FleetPort {
    /// Port of the listener.
    pub port: u16,
    /// Port that the proxies bind.
    pub bind_port: u16,
    /// The listener's protocol in lower case; the first of several that share the port.
    pub protocol: String,
}

/// The Gateway's fleet. `None`: it does not exist or is not ours. The error says why its infrastructure is left as
/// it is.
pub fn fleet(world: &World, gateway: &NamespacedName, options: &Options) -> Option<Result<Fleet, String>> {
    if !class::is_ours(world, gateway, options) {
        return None;
    }
    let object = world.gateways.get(gateway)?;
    let class = world.gateway_classes.get(&NamespacedName::new("", &object.spec.gateway_class_name))?;
    Some(of_class(world, class).and_then(|defaults| {
        let parameters = match status::gateway_refusal(world, object) {
            Some((_, message)) => return Err(message),
            None => of_gateway(world, object, defaults)?,
        };
        let mut ports: Vec<FleetPort> = Vec::new();
        let listeners = listener::without_certificates(object, options);
        // Those without a certificate as well: one that comes later is to change no Deployment.
        for listener in listeners.iter().filter(|listener| listener.is_accepted()) {
            let port = listener.spec.port;
            if ports.iter().all(|held| held.port != port) {
                let protocol = listener::word(&listener.spec.protocol).to_lowercase();
                ports.push(FleetPort { port, bind_port: options.bind.bind_port(port), protocol });
            }
        }
        ports.sort();
        match ports.is_empty() {
            true => Err("no listener can be served: see the Gateway's Accepted condition".to_owned()),
            false => Ok(Fleet { parameters, ports }),
        }
    }))
}

/// The defaults that a class gives; the error is field and remedy.
pub(super) fn of_class(world: &World, class: &GatewayClass) -> Result<GatewayParametersSpec, String> {
    let Some(reference) = &class.spec.parameters_ref else { return Ok(GatewayParametersSpec::default()) };
    let field = format!("GatewayClass {} spec.parametersRef", class.metadata.name);
    let Some(namespace) = &reference.namespace else {
        return Err(format!("{field}.namespace: is required for GatewayParameters; add it"));
    };
    let (name, spec) = find(world, reference, namespace, &field)?;
    check(&spec, &format!("{field}: {} {name}", Kind::GatewayParameters))?;
    Ok(spec)
}

/// A Gateway's parameters over `defaults`; the error is field and remedy.
pub(super) fn of_gateway(
    world: &World,
    gateway: &crate::api::Gateway,
    defaults: GatewayParametersSpec,
) -> Result<GatewayParametersSpec, String> {
    let reference = gateway.spec.infrastructure.as_ref().and_then(|i| i.parameters_ref.as_ref());
    let Some(reference) = reference else { return Ok(defaults) };
    let field = "spec.infrastructure.parametersRef";
    let (name, own) = find(world, reference, &gateway.metadata.namespace, field)?;
    let merged = over(own, defaults);
    check(&merged, &format!("{field}: {} {name}", Kind::GatewayParameters))?;
    Ok(merged)
}

fn find(
    world: &World,
    reference: &ParametersRef,
    namespace: &str,
    field: &str,
) -> Result<(NamespacedName, GatewayParametersSpec), String> {
    if (reference.group.as_str(), reference.kind.as_str()) != (group::SIGNALBOX, "GatewayParameters") {
        return Err(format!(
            "{field}: {} is not a kind of parameters that Signalbox reads; name a {}/GatewayParameters, or remove \
             parametersRef",
            class::describe(reference),
            group::SIGNALBOX
        ));
    }
    let name = NamespacedName::new(namespace, &reference.name);
    match world.parameters.get(&name) {
        Some(found) => Ok((name, found.spec.clone())),
        None => Err(format!(
            "{field}: GatewayParameters {name} does not exist or cannot be read; create it, or remove parametersRef"
        )),
    }
}

/// What the schema cannot say. `object` names the parameters.
fn check(spec: &GatewayParametersSpec, object: &str) -> Result<(), String> {
    let envoy = &spec.envoy;
    if let Some(scaling) = &envoy.autoscaling {
        let least = scaling.min_replicas.unwrap_or(scaling.max_replicas.min(2));
        if least < 1 || scaling.max_replicas < least {
            return Err(format!(
                "{object} spec.envoy.autoscaling: minReplicas {least} to maxReplicas {} is no range; let 1 <= \
                 minReplicas <= maxReplicas",
                scaling.max_replicas
            ));
        }
    }
    if envoy.replicas.is_some_and(|replicas| replicas < 0) {
        return Err(format!("{object} spec.envoy.replicas: is negative; use 0 or more"));
    }
    if envoy.drain_seconds.is_some_and(|seconds| !(0..=86_400).contains(&seconds)) {
        return Err(format!("{object} spec.envoy.drainSeconds: is out of range; use 0 to 86400"));
    }
    let limits = envoy.resources.as_ref().map(|resources| [&resources.limits, &resources.requests]);
    for (name, quantity) in limits.into_iter().flatten().flatten().flatten() {
        if super::quantity::parse(&quantity.0).is_none() {
            return Err(format!(
                "{object} spec.envoy.resources: {name} {:?} is no quantity; write for example 500m or 1Gi",
                quantity.0
            ));
        }
    }
    let service = &spec.service;
    let kind = service.kind.unwrap_or_default();
    if kind != crate::api::FleetServiceType::LoadBalancer {
        let set = [
            ("loadBalancerClass", service.load_balancer_class.is_some()),
            ("loadBalancerSourceRanges", service.load_balancer_source_ranges.is_some()),
        ];
        if let Some((field, _)) = set.into_iter().find(|(_, set)| *set) {
            return Err(format!(
                "{object} spec.service.{field}: only a Service of type LoadBalancer has it, and spec.service.type is \
                 {}; remove one of them",
                kind.as_str()
            ));
        }
        if kind == crate::api::FleetServiceType::ClusterIP && service.external_traffic_policy.is_some() {
            return Err(format!(
                "{object} spec.service.externalTrafficPolicy: a Service of type ClusterIP has no traffic from outside; \
                 remove it"
            ));
        }
    }
    Ok(())
}

/// `own` where it is set, `base` elsewhere.
fn over(own: GatewayParametersSpec, base: GatewayParametersSpec) -> GatewayParametersSpec {
    let (e, f) = (own.envoy, base.envoy);
    let (s, t) = (own.service, base.service);
    GatewayParametersSpec {
        infrastructure: own.infrastructure.or(base.infrastructure),
        envoy: EnvoyParameters {
            // A Gateway that asks for a number of replicas does not want its class's autoscaling.
            autoscaling: e.autoscaling.or(if e.replicas.is_some() { None } else { f.autoscaling }),
            replicas: e.replicas.or(f.replicas),
            image: e.image.or(f.image),
            image_pull_policy: e.image_pull_policy.or(f.image_pull_policy),
            resources: e.resources.or(f.resources),
            node_selector: e.node_selector.or(f.node_selector),
            tolerations: e.tolerations.or(f.tolerations),
            affinity: e.affinity.or(f.affinity),
            topology_spread_constraints: e.topology_spread_constraints.or(f.topology_spread_constraints),
            pod_labels: e.pod_labels.or(f.pod_labels),
            pod_annotations: e.pod_annotations.or(f.pod_annotations),
            log_level: e.log_level.or(f.log_level),
            drain_seconds: e.drain_seconds.or(f.drain_seconds),
            security_context: e.security_context.or(f.security_context),
            pod_security_context: e.pod_security_context.or(f.pod_security_context),
        },
        service: ServiceParameters {
            kind: s.kind.or(t.kind),
            external_traffic_policy: s.external_traffic_policy.or(t.external_traffic_policy),
            load_balancer_class: s.load_balancer_class.or(t.load_balancer_class),
            load_balancer_source_ranges: s.load_balancer_source_ranges.or(t.load_balancer_source_ranges),
            annotations: s.annotations.or(t.annotations),
            labels: s.labels.or(t.labels),
        },
    }
}
