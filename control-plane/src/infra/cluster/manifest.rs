//! One provisioned object, as it is applied.

use std::fmt;

use k8s_openapi::{
    Metadata, Resource,
    api::{
        apps::v1::Deployment,
        autoscaling::v2::HorizontalPodAutoscaler,
        core::v1::{ConfigMap, Service, ServiceAccount},
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use serde::Serialize;
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

use super::names::REVISION_ANNOTATION;
use crate::api::NamespacedName;

/// Kinds that are provisioned, in the order in which they are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each variant is the Kubernetes kind of its name")]
pub enum ManifestKind {
    ServiceAccount,
    ConfigMap,
    Service,
    Deployment,
    PodDisruptionBudget,
    HorizontalPodAutoscaler,
}

impl ManifestKind {
    /// All kinds.
    pub const ALL: [Self; 6] = [
        Self::ServiceAccount,
        Self::ConfigMap,
        Self::Service,
        Self::Deployment,
        Self::PodDisruptionBudget,
        Self::HorizontalPodAutoscaler,
    ];

    /// API group, version, kind and plural.
    pub fn resource(self) -> [&'static str; 4] {
        fn of<T: Resource>() -> [&'static str; 4] {
            [T::GROUP, T::VERSION, T::KIND, T::URL_PATH_SEGMENT]
        }
        match self {
            Self::ServiceAccount => of::<ServiceAccount>(),
            Self::ConfigMap => of::<ConfigMap>(),
            Self::Service => of::<Service>(),
            Self::Deployment => of::<Deployment>(),
            Self::PodDisruptionBudget => of::<PodDisruptionBudget>(),
            Self::HorizontalPodAutoscaler => of::<HorizontalPodAutoscaler>(),
        }
    }
}

/// Names one provisioned object.
pub type ManifestKey = (ManifestKind, NamespacedName);

/// One object as it is applied: the fields that are ours and nothing else.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Kind, namespace and name.
    pub key: ManifestKey,
    /// The object, with apiVersion and kind.
    pub object: Value,
}

macro_rules! manifests {
    ($($kind:ident),*) => {
        $(
            impl From<$kind> for Manifest {
                fn from(object: $kind) -> Self {
                    Self::new(ManifestKind::$kind, object)
                }
            }
        )*
    };
}

manifests!(ServiceAccount, ConfigMap, Service, Deployment, PodDisruptionBudget, HorizontalPodAutoscaler);

impl Manifest {
    fn new<T: Serialize + Metadata<Ty = ObjectMeta>>(kind: ManifestKind, mut object: T) -> Self {
        let hash = |object: &T| xxh3_64(json(object).to_string().as_bytes());
        let revision = format!("{:016x}", hash(&object));
        let meta = object.metadata_mut();
        meta.annotations.get_or_insert_default().insert(REVISION_ANNOTATION.to_owned(), revision);
        let name = NamespacedName::new(
            meta.namespace.clone().unwrap_or_default(),
            meta.name.clone().unwrap_or_default(),
        );
        Self { key: (kind, name), object: json(&object) }
    }

    /// Whether `live` has all that is applied: every field of ours has our value there.
    pub fn is_in(&self, live: &Value) -> bool {
        project(live, &self.object) == self.object
    }

    /// What of `live` stands in the fields that are ours.
    pub fn projection(&self, live: &Value) -> Value {
        project(live, &self.object)
    }
}

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [_, _, kind, _] = self.key.0.resource();
        write!(f, "{kind} {}", self.key.1)
    }
}

/// Maps with string keys and no floats: always JSON. Keys are ordered, so equal objects have equal text.
fn json<T: Serialize>(object: &T) -> Value {
    serde_json::to_value(object).expect("Kubernetes types serialize to JSON")
}

/// `live` cut down to the shape of `ours`. Lists of the same length are matched entry by entry, by name where entries
/// have one (the server may add fields to each); others are taken whole.
fn project(live: &Value, ours: &Value) -> Value {
    match (live, ours) {
        (Value::Object(live), Value::Object(ours)) => {
            let fields =
                ours.iter().filter_map(|(key, ours)| Some((key.clone(), project(live.get(key)?, ours))));
            Value::Object(fields.collect())
        }
        (Value::Array(live), Value::Array(ours)) if live.len() == ours.len() => {
            live.iter().zip(ours).map(|(live, ours)| project(live, ours)).collect()
        }
        // Absent and empty are the same to the server.
        _ => live.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_server_adds_does_not_count() {
        let ours =
            json!({"spec": {"replicas": 2, "ports": [{"port": 80}]}, "metadata": {"labels": {"a": "b"}}});
        let manifest =
            Manifest { key: (ManifestKind::Service, NamespacedName::new("n", "s")), object: ours.clone() };
        let mut live = ours;
        live["spec"]["ports"][0]["nodePort"] = json!(30_000);
        live["metadata"]["labels"]["other"] = json!("x");
        live["status"] = json!({});
        assert!(manifest.is_in(&live));
        live["spec"]["replicas"] = json!(3);
        assert!(!manifest.is_in(&live));
        live["spec"]["replicas"] = json!(2);
        live["spec"]["ports"] = json!([{"port": 80}, {"port": 81}]);
        assert!(!manifest.is_in(&live));
    }
}
