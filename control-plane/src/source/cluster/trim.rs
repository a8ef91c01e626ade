//! What of an object is kept in memory.
//!
//! The types of `api` hold only fields that Signalbox knows; this drops values among them that nothing reads, so that
//! a cluster of 100,000 Pods costs what its endpoints cost, and a heartbeat or another controller's bookkeeping leaves
//! an object equal to the one before.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    api::{ConfigMap, ObjectMeta, Pod, Secret},
    source::AnyObject,
};

/// How much of a kind is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// All that the type holds: its status is written, so its resource version matters.
    Whole,
    /// What decisions are made from.
    Read,
}

/// A copy of the whole object, up to 256 KiB, which kubectl leaves behind.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Annotations of core kinds that are read begin with one of these.
const ANNOTATIONS: [&str; 3] = ["signalbox.dev/", "inference.networking.k8s.io/", "llm-d.ai/"];
/// ConfigMaps with a label that begins so are read whole: base models (`gateway::base_models`), parameters.
const LABELS: [&str; 4] =
    ["signalbox.dev/", "inference.networking.k8s.io/", "inference.llm-d.ai/", "llm-d.ai/"];
/// The key of a CA bundle, the only one that the Gateway API reads of a ConfigMap.
const CA: &str = "ca.crt";
/// Conditions of every Pod that say whether it serves; those of its readiness gates are read beside them.
const READINESS: [&str; 2] = ["Ready", "ContainersReady"];
/// What certificates need of a Secret.
const CERTIFICATE: [&str; 3] = ["tls.crt", "tls.key", CA];

/// Drops what is not kept.
pub(super) fn trim(object: &mut AnyObject, extent: Extent) {
    let meta = object.meta_mut();
    meta.annotations.remove(LAST_APPLIED);
    if extent == Extent::Whole {
        return;
    }
    bookkeeping(meta);
    match object {
        AnyObject::Pod(pod) => self::pod(Arc::make_mut(pod)),
        AnyObject::Node(node) => extended(&mut Arc::make_mut(node).status.capacity),
        AnyObject::Secret(secret) => self::secret(Arc::make_mut(secret)),
        AnyObject::ConfigMap(map) => config_map(Arc::make_mut(map)),
        _ => {}
    }
}

fn starts_with_any(text: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| text.starts_with(prefix))
}

/// Nobody writes these objects back, so their version says nothing.
fn bookkeeping(meta: &mut ObjectMeta) {
    meta.resource_version.clear();
    meta.generation = 0;
    meta.annotations.retain(|name, _| starts_with_any(name, &ANNOTATIONS));
}

fn pod(pod: &mut Pod) {
    let gates = &pod.spec.readiness_gates;
    pod.status.conditions.retain(|condition| {
        READINESS.contains(&condition.kind.as_str())
            || gates.iter().any(|gate| gate.condition_type == condition.kind)
    });
    for container in &mut pod.spec.containers {
        extended(&mut container.resources.requests);
        extended(&mut container.resources.limits);
    }
    pod.spec.containers.retain(|container| {
        !container.resources.requests.is_empty() || !container.resources.limits.is_empty()
    });
}

/// Extended resources have a domain (`nvidia.com/gpu`); accelerators are among them.
fn extended(quantities: &mut BTreeMap<String, serde_json::Value>) {
    quantities.retain(|name, _| name.contains('/'));
}

fn secret(secret: &mut Secret) {
    secret.data.retain(|key, _| CERTIFICATE.contains(&key.as_str()));
}

fn config_map(map: &mut ConfigMap) {
    if !map.metadata.labels.keys().any(|label| starts_with_any(label, &LABELS)) {
        map.data.retain(|key, _| key == CA);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::Kind;

    fn trimmed(kind: Kind, extent: Extent, object: Value) -> AnyObject {
        let mut object = AnyObject::deserialize(kind, object).unwrap();
        trim(&mut object, extent);
        object
    }

    #[test]
    fn of_a_pod_remain_readiness_and_accelerators() {
        let pod = trimmed(
            Kind::Pod,
            Extent::Read,
            json!({
                "metadata": {"name": "a", "namespace": "n", "resourceVersion": "7", "generation": 3, "uid": "u",
                    "labels": {"app": "x"},
                    "annotations": {"llm-d.ai/active-ports": "8000", "cni.example/status": "big"}},
                "spec": {"nodeName": "n1", "containers": [
                    {"name": "m", "resources": {"requests": {"cpu": "1", "nvidia.com/gpu": "2"}, "limits": {}}},
                    {"name": "sidecar", "resources": {"requests": {"cpu": "1"}}},
                ], "readinessGates": [{"conditionType": "example.com/gate"}]},
                "status": {"podIP": "10.0.0.1", "conditions": [
                    {"type": "Ready", "status": "True"}, {"type": "PodScheduled", "status": "True"},
                    {"type": "ContainersReady", "status": "True"}, {"type": "example.com/gate", "status": "True"}]},
            }),
        );
        let expected = json!({
            "metadata": {"name": "a", "namespace": "n", "uid": "u", "labels": {"app": "x"},
                "annotations": {"llm-d.ai/active-ports": "8000"}},
            "spec": {"nodeName": "n1",
                "containers": [{"name": "m", "resources": {"requests": {"nvidia.com/gpu": "2"}}}],
                "readinessGates": [{"conditionType": "example.com/gate"}]},
            "status": {"podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"},
                {"type": "ContainersReady", "status": "True"}, {"type": "example.com/gate", "status": "True"}]},
        });
        assert_eq!(pod, AnyObject::deserialize(Kind::Pod, expected).unwrap());
    }

    #[test]
    fn of_config_maps_and_secrets_remain_certificates() {
        let object = |labels: Value| {
            json!({"metadata": {"name": "a", "labels": labels},
                "data": {"ca.crt": "c", "baseModel": "m", "tls.crt": "t", "token": "x"}})
        };
        let keys = |kind, labels| match trimmed(kind, Extent::Read, object(labels)) {
            AnyObject::ConfigMap(map) => map.data.keys().cloned().collect::<Vec<_>>(),
            AnyObject::Secret(secret) => secret.data.keys().cloned().collect(),
            other => panic!("{other:?}"),
        };
        assert_eq!(keys(Kind::ConfigMap, json!({"app": "x"})), ["ca.crt"]);
        let labelled = json!({"inference.networking.k8s.io/bbr-managed": "true"});
        assert_eq!(keys(Kind::ConfigMap, labelled).len(), 4);
        assert_eq!(keys(Kind::Secret, json!({})), ["ca.crt", "tls.crt"]);
    }

    #[test]
    fn kinds_with_a_status_keep_their_version() {
        let object = json!({"metadata": {"name": "a", "resourceVersion": "7", "generation": 3,
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "team": "x"}}});
        let route = trimmed(Kind::HTTPRoute, Extent::Whole, object);
        let meta = route.meta();
        assert_eq!((meta.resource_version.as_str(), meta.generation), ("7", 3));
        assert_eq!(meta.annotations.keys().collect::<Vec<_>>(), ["team"]);
    }
}
