//! `BackendObjectReference` and its weighted forms.

use serde::{Deserialize, Serialize};

use super::HttpRouteFilter;

/// A reference to something that serves: a Service or an InferencePool.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendRef {
    /// API group. `None` when the manifest leaves it out, which means core; for `kind: InferencePool` it is
    /// accepted as the inference group, as users write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Kind; `Service` by default.
    #[serde(default = "BackendRef::default_kind")]
    pub kind: String,
    /// Namespace; the referrer's own by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
    /// Port of a Service; ignored for an InferencePool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

impl BackendRef {
    fn default_kind() -> String {
        "Service".into()
    }
}

/// A backend of an HTTPRoute rule.
///
/// It is read through `FlatHttpBackendRef`: `#[serde(flatten)]` buffers, so a reader would lose the path of a
/// wrong value and never see an unknown field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", from = "FlatHttpBackendRef")]
pub struct HttpBackendRef {
    /// What serves.
    #[serde(flatten)]
    pub backend: BackendRef,
    /// Share of the requests, relative to the sum of the rule's weights.
    pub weight: u32,
    /// Filters for this backend's share only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<HttpRouteFilter>,
}

/// The fields of [`HttpBackendRef`] side by side, as they are written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FlatHttpBackendRef {
    #[serde(default)]
    group: Option<String>,
    #[serde(default = "BackendRef::default_kind")]
    kind: String,
    #[serde(default)]
    namespace: Option<String>,
    name: String,
    #[serde(default)]
    port: Option<u16>,
    #[serde(default = "HttpBackendRef::default_weight")]
    weight: u32,
    #[serde(default)]
    filters: Vec<HttpRouteFilter>,
}

impl From<FlatHttpBackendRef> for HttpBackendRef {
    fn from(flat: FlatHttpBackendRef) -> Self {
        let FlatHttpBackendRef { group, kind, namespace, name, port, weight, filters } = flat;
        Self { backend: BackendRef { group, kind, namespace, name, port }, weight, filters }
    }
}

impl HttpBackendRef {
    fn default_weight() -> u32 {
        1
    }
}
