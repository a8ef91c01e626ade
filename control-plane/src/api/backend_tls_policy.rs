//! `BackendTLSPolicy` v1.

use serde::{Deserialize, Serialize};

use super::{LocalRef, ObjectMeta, ObservedStatus, meta::object};

/// Says that Services of its namespace are spoken to over TLS, and how their certificates are verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendTLSPolicy {
    /// Metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Specification.
    pub spec: BackendTLSPolicySpec,
    /// Status as it was read.
    #[serde(default)]
    pub status: ObservedStatus,
}

/// A BackendTLSPolicy's specification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendTLSPolicySpec {
    /// What it is about.
    pub target_refs: Vec<PolicyTarget>,
    /// How certificates are verified.
    pub validation: BackendTLSValidation,
    /// Settings of implementations; none is known here.
    #[serde(default)]
    pub options: serde_json::Map<String, serde_json::Value>,
}

/// An object of the policy's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyTarget {
    /// API group; empty is core.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// A port of a Service, by its name; all ports when absent.
    #[serde(default)]
    pub section_name: Option<String>,
}

/// How certificates are verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendTLSValidation {
    /// Objects of the policy's namespace with authorities under the key `ca.crt`.
    #[serde(default)]
    pub ca_certificate_refs: Vec<LocalRef>,
    /// Authorities by name instead; `System` is the only one that is specified.
    #[serde(default, rename = "wellKnownCACertificates")]
    pub well_known_ca_certificates: Option<String>,
    /// The server name to ask for; the certificate has to be for it unless there are `subject_alt_names`.
    pub hostname: String,
    /// Names of which the certificate has to have one.
    #[serde(default)]
    pub subject_alt_names: Vec<SubjectAltName>,
}

/// A name in a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubjectAltName {
    /// `Hostname` or `URI`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The name of a `Hostname`; may begin with `*.`.
    #[serde(default)]
    pub hostname: String,
    /// The name of a `URI`.
    #[serde(default)]
    pub uri: String,
}

object!(BackendTLSPolicy);
