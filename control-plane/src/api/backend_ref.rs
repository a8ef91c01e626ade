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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpBackendRef {
    /// What serves.
    #[serde(flatten)]
    pub backend: BackendRef,
    /// Share of the requests, relative to the sum of the rule's weights.
    #[serde(default = "HttpBackendRef::default_weight")]
    pub weight: u32,
    /// Filters for this backend's share only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<HttpRouteFilter>,
}

impl HttpBackendRef {
    fn default_weight() -> u32 {
        1
    }
}
