//! HTTPRoute filters.

use serde::{Deserialize, Serialize};

use super::BackendRef;

/// One filter of a rule or of a backend. `kind` says which of the fields is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRouteFilter {
    /// The word under `type:`, kept as written so that filters of later API versions are reported by name.
    #[serde(rename = "type")]
    pub kind: String,
    /// `RequestHeaderModifier`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_header_modifier: Option<HeaderFilter>,
    /// `ResponseHeaderModifier`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_header_modifier: Option<HeaderFilter>,
    /// `RequestRedirect`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_redirect: Option<RequestRedirect>,
    /// `URLRewrite`.
    #[serde(rename = "urlRewrite", skip_serializing_if = "Option::is_none")]
    pub url_rewrite: Option<UrlRewrite>,
    /// `RequestMirror`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_mirror: Option<RequestMirror>,
    /// `ExtensionRef`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extension_ref: Option<LocalRef>,
    /// `CORS` (read as given).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cors: Option<serde_json::Value>,
    /// `ExternalAuth` (read as given).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_auth: Option<serde_json::Value>,
}

/// Header changes; a name appears in at most one of the lists.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeaderFilter {
    /// Overwrites or adds.
    pub set: Vec<HttpHeader>,
    /// Appends.
    pub add: Vec<HttpHeader>,
    /// Removes.
    pub remove: Vec<String>,
}

/// A header's name and value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpHeader {
    /// Name, case-insensitive.
    pub name: String,
    /// Value.
    pub value: String,
}

/// Answers with a redirect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestRedirect {
    /// Scheme of the new location; the request's when absent.
    pub scheme: Option<String>,
    /// Hostname of the new location; the request's when absent.
    pub hostname: Option<String>,
    /// Path of the new location; the request's when absent.
    pub path: Option<PathModifier>,
    /// Port of the new location; see the API for the default.
    pub port: Option<u16>,
    /// 302 by default; 301, 303, 307 and 308 are supported.
    pub status_code: Option<u16>,
}

/// Rewrites the request on its way to the backend.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UrlRewrite {
    /// New value of the Host header.
    pub hostname: Option<String>,
    /// New path.
    pub path: Option<PathModifier>,
}

/// A change of the path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PathModifier {
    /// Which of the fields is set.
    #[serde(rename = "type")]
    pub kind: PathModifierType,
    /// The whole new path.
    #[serde(default)]
    pub replace_full_path: Option<String>,
    /// What replaces the matched prefix.
    #[serde(default)]
    pub replace_prefix_match: Option<String>,
}

/// How a path is changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the words of the API")]
pub enum PathModifierType {
    ReplaceFullPath,
    ReplacePrefixMatch,
    #[serde(untagged)]
    Unknown(String),
}

/// Sends a copy of the request to another backend and ignores its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestMirror {
    /// Who gets the copies.
    pub backend_ref: BackendRef,
    /// Percent of requests copied; all when neither this nor `fraction` is set.
    #[serde(default)]
    pub percent: Option<u32>,
    /// Fraction of requests copied.
    #[serde(default)]
    pub fraction: Option<Fraction>,
}

/// `numerator / denominator`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fraction {
    /// Numerator.
    pub numerator: u32,
    /// Denominator; 100 by default.
    #[serde(default = "Fraction::hundred")]
    pub denominator: u32,
}

impl Fraction {
    fn hundred() -> u32 {
        100
    }
}

/// A reference to an object in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalRef {
    /// API group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
}
