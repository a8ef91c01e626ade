//! `HTTPRoute`.

use serde::{Deserialize, Serialize};

use super::{HttpBackendRef, HttpRouteFilter, ObjectMeta, ObservedStatus, ParentRef, meta::object};

/// Routes HTTP requests from Gateways to backends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpRoute {
    /// Metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Specification.
    #[serde(default)]
    pub spec: HttpRouteSpec,
    /// Status as it was read.
    #[serde(default)]
    pub status: ObservedStatus,
}

/// An HTTPRoute's specification.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRouteSpec {
    /// What the route attaches to.
    pub parent_refs: Vec<ParentRef>,
    /// Hostnames; the listener's when empty.
    pub hostnames: Vec<String>,
    /// Rules. Absent (as opposed to empty) means one rule that matches everything; see [`Self::rules`].
    pub rules: Option<Vec<HttpRouteRule>>,
    /// The scope word of later API versions (read as given).
    pub use_default_gateways: Option<String>,
}

/// One rule: matches are ORed; the backends share what matches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRouteRule {
    /// Name, for attachments.
    pub name: Option<String>,
    /// Matches; the path prefix `/` when empty.
    pub matches: Vec<HttpRouteMatch>,
    /// Filters.
    pub filters: Vec<HttpRouteFilter>,
    /// Backends.
    pub backend_refs: Vec<HttpBackendRef>,
    /// Timeouts.
    pub timeouts: Option<Timeouts>,
    /// Retry (experimental; read as given).
    pub retry: Option<serde_json::Value>,
    /// Session persistence (experimental; read as given).
    pub session_persistence: Option<serde_json::Value>,
}

/// A rule's timeouts, as GEP-2257 durations (`10s`, `1h30m`); `0s` disables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Timeouts {
    /// For the whole request.
    pub request: Option<String>,
    /// For one attempt at a backend.
    pub backend_request: Option<String>,
}

/// One match; its conditions are ANDed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRouteMatch {
    /// Path; the prefix `/` when absent.
    pub path: Option<PathMatch>,
    /// Headers.
    pub headers: Vec<HeaderMatch>,
    /// Query parameters.
    pub query_params: Vec<QueryParamMatch>,
    /// Method.
    pub method: Option<String>,
}

/// A path match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathMatch {
    /// `PathPrefix` by default.
    #[serde(rename = "type", default)]
    pub kind: PathMatchType,
    /// `/` by default.
    #[serde(default = "PathMatch::root")]
    pub value: String,
}

impl PathMatch {
    fn root() -> String {
        "/".into()
    }
}

/// How a path is compared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the words of the API")]
pub enum PathMatchType {
    Exact,
    #[default]
    PathPrefix,
    RegularExpression,
    #[serde(untagged)]
    Unknown(String),
}

/// How a header or query parameter is compared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the words of the API")]
pub enum MatchType {
    #[default]
    Exact,
    RegularExpression,
    #[serde(untagged)]
    Unknown(String),
}

/// A header match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderMatch {
    /// `Exact` by default.
    #[serde(rename = "type", default)]
    pub kind: MatchType,
    /// Name, case-insensitive.
    pub name: String,
    /// Value or regular expression.
    pub value: String,
}

/// A query parameter match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryParamMatch {
    /// `Exact` by default.
    #[serde(rename = "type", default)]
    pub kind: MatchType,
    /// Name, case-sensitive.
    pub name: String,
    /// Value or regular expression.
    pub value: String,
}

object!(HttpRoute as HTTPRoute);
