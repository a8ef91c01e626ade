//! Object identity and metadata.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The `metadata` fields that are read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectMeta {
    /// Name; required by the API, empty when a manifest leaves it out.
    pub name: String,
    /// Namespace; empty for cluster-scoped kinds.
    pub namespace: String,
    /// UID; empty in plain manifests.
    pub uid: String,
    /// Generation of the spec; 0 in plain manifests.
    pub generation: i64,
    /// Resource version, for read-modify-write.
    pub resource_version: String,
    /// Creation time: older objects win conflicts. Absent in plain manifests.
    pub creation_timestamp: Option<Timestamp>,
    /// Set while the object is being deleted.
    pub deletion_timestamp: Option<Timestamp>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

impl ObjectMeta {
    /// The key of the object within its kind.
    pub fn key(&self) -> NamespacedName {
        NamespacedName::new(&self.namespace, &self.name)
    }
}

/// A namespace and a name; the namespace is empty for cluster-scoped kinds. Shown as `namespace/name`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NamespacedName {
    /// Namespace, empty for cluster-scoped kinds.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl NamespacedName {
    /// Builds a key.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The DNS name of the Service of this name, as certificates carry it.
    pub fn service_host(&self) -> String {
        format!("{}.{}.svc", self.name, self.namespace)
    }
}

impl fmt::Display for NamespacedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// The kinds that are read. The order is that of `kubectl api-resources`-like listings: class, gateway, routes, …
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each variant is the Kubernetes kind of its name")]
pub enum Kind {
    GatewayClass,
    Gateway,
    HTTPRoute,
    ReferenceGrant,
    BackendTLSPolicy,
    Namespace,
    Service,
    EndpointSlice,
    Pod,
    Node,
    Secret,
    ConfigMap,
    InferencePool,
    InferenceObjective,
    InferenceModelRewrite,
    InferenceModel,
    GatewayParameters,
}

impl Kind {
    /// The kind's name as in `kind:`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GatewayClass => "GatewayClass",
            Self::Gateway => "Gateway",
            Self::HTTPRoute => "HTTPRoute",
            Self::ReferenceGrant => "ReferenceGrant",
            Self::BackendTLSPolicy => "BackendTLSPolicy",
            Self::Namespace => "Namespace",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Pod => "Pod",
            Self::Node => "Node",
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
            Self::InferencePool => "InferencePool",
            Self::InferenceObjective => "InferenceObjective",
            Self::InferenceModelRewrite => "InferenceModelRewrite",
            Self::InferenceModel => "InferenceModel",
            Self::GatewayParameters => "GatewayParameters",
        }
    }

    /// Whether objects of the kind live in a namespace.
    pub fn is_namespaced(self) -> bool {
        !matches!(self, Self::GatewayClass | Self::Namespace | Self::Node)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Names one object in messages, statuses and logs: `HTTPRoute default/routes-to-llms`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectRef {
    /// Kind.
    pub kind: Kind,
    /// Namespace and name.
    #[serde(flatten)]
    pub key: NamespacedName,
}

impl ObjectRef {
    /// Builds a reference.
    pub fn new(kind: Kind, key: NamespacedName) -> Self {
        Self { kind, key }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.key)
    }
}

/// What all kinds have.
pub trait Object: Clone + PartialEq + Send + Sync + 'static {
    /// The kind.
    const KIND: Kind;

    /// The object's metadata.
    fn meta(&self) -> &ObjectMeta;

    /// The object's metadata, to fill in a default namespace.
    fn meta_mut(&mut self) -> &mut ObjectMeta;

    /// The key of the object within its kind.
    fn key(&self) -> NamespacedName {
        self.meta().key()
    }

    /// The object's name for messages.
    fn object_ref(&self) -> ObjectRef {
        ObjectRef::new(Self::KIND, self.key())
    }
}

/// Implements [`Object`] for a type with a `metadata` field.
macro_rules! object {
    ($type:ident) => {
        impl $crate::api::Object for $type {
            const KIND: $crate::api::Kind = $crate::api::Kind::$type;

            fn meta(&self) -> &$crate::api::ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut $crate::api::ObjectMeta {
                &mut self.metadata
            }
        }
    };
    ($type:ident as $kind:ident) => {
        impl $crate::api::Object for $type {
            const KIND: $crate::api::Kind = $crate::api::Kind::$kind;

            fn meta(&self) -> &$crate::api::ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut $crate::api::ObjectMeta {
                &mut self.metadata
            }
        }
    };
}
pub(crate) use object;
