//! `Gateway` and its listeners.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ObjectMeta, ObservedStatus, meta::object};

/// A Gateway: addresses and listeners that a fleet of proxies serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gateway {
    /// Metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Specification.
    pub spec: GatewaySpec,
    /// Status as it was read.
    #[serde(default)]
    pub status: ObservedStatus,
}

/// A Gateway's specification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewaySpec {
    /// The class.
    pub gateway_class_name: String,
    /// Listeners.
    #[serde(default)]
    pub listeners: Vec<Listener>,
    /// Addresses asked for; the implementation chooses when empty.
    #[serde(default)]
    pub addresses: Vec<GatewayAddress>,
    /// What the provisioned infrastructure carries.
    #[serde(default)]
    pub infrastructure: Option<GatewayInfrastructure>,
    /// Which ListenerSets may add listeners (read as given).
    #[serde(default)]
    pub allowed_listeners: Option<serde_json::Value>,
    /// Gateway-wide TLS settings (read as given).
    #[serde(default)]
    pub tls: Option<serde_json::Value>,
    /// The scope word of later API versions (read as given).
    #[serde(default)]
    pub default_scope: Option<String>,
}

/// An address asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayAddress {
    /// `IPAddress` by default, or `Hostname`.
    #[serde(rename = "type", default = "GatewayAddress::default_type")]
    pub kind: String,
    /// The address; absent asks for any of the type.
    #[serde(default)]
    pub value: Option<String>,
}

impl GatewayAddress {
    fn default_type() -> String {
        "IPAddress".into()
    }
}

/// Labels, annotations and parameters for provisioned objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayInfrastructure {
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Parameters of the controller.
    pub parameters_ref: Option<ParametersRef>,
}

/// A reference to parameters of the controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParametersRef {
    /// API group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Namespace (GatewayClass only).
    #[serde(default)]
    pub namespace: Option<String>,
}

/// One listener: port, protocol, hostname, and which routes may attach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// Name, unique within the Gateway.
    pub name: String,
    /// Hostname; any when absent.
    #[serde(default)]
    pub hostname: Option<String>,
    /// Port.
    pub port: u16,
    /// Protocol.
    pub protocol: ListenerProtocol,
    /// TLS settings.
    #[serde(default)]
    pub tls: Option<GatewayTls>,
    /// Which routes may attach.
    #[serde(default)]
    pub allowed_routes: AllowedRoutes,
}

/// A listener's protocol.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the words of the API")]
pub enum ListenerProtocol {
    #[serde(rename = "HTTP")]
    Http,
    #[serde(rename = "HTTPS")]
    Https,
    #[serde(rename = "TLS")]
    Tls,
    #[serde(rename = "TCP")]
    Tcp,
    #[serde(rename = "UDP")]
    Udp,
    #[serde(untagged)]
    Unknown(String),
}

/// A listener's TLS settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayTls {
    /// Terminate by default.
    pub mode: Option<TlsMode>,
    /// Certificates.
    pub certificate_refs: Vec<CertificateRef>,
    /// Implementation-specific options.
    pub options: BTreeMap<String, String>,
}

/// What a listener does with TLS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the words of the API")]
pub enum TlsMode {
    Terminate,
    Passthrough,
    #[serde(untagged)]
    Unknown(String),
}

/// A reference to a Secret with a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateRef {
    /// API group; core by default.
    #[serde(default)]
    pub group: String,
    /// Kind; `Secret` by default.
    #[serde(default = "CertificateRef::default_kind")]
    pub kind: String,
    /// Name.
    pub name: String,
    /// Namespace; the Gateway's own by default.
    #[serde(default)]
    pub namespace: Option<String>,
}

impl CertificateRef {
    fn default_kind() -> String {
        "Secret".into()
    }
}

/// Which routes may attach to a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AllowedRoutes {
    /// From which namespaces.
    pub namespaces: RouteNamespaces,
    /// Of which kinds; the protocol's kinds when empty.
    pub kinds: Vec<RouteGroupKind>,
}

/// From which namespaces routes may attach.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RouteNamespaces {
    /// The rule; `Same` by default.
    pub from: FromNamespaces,
    /// Labels of the namespaces, for `Selector`.
    pub selector: Option<LabelSelector>,
}

/// The namespace rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the words of the API")]
pub enum FromNamespaces {
    All,
    #[default]
    Same,
    Selector,
    None,
    #[serde(untagged)]
    Unknown(String),
}

/// `metav1.LabelSelector`; requirements are ANDed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSelector {
    /// Exact labels.
    pub match_labels: BTreeMap<String, String>,
    /// Set-based requirements.
    pub match_expressions: Vec<LabelSelectorRequirement>,
}

/// One set-based requirement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelSelectorRequirement {
    /// Label key.
    pub key: String,
    /// Operator.
    pub operator: SelectorOperator,
    /// Values, for `In` and `NotIn`.
    #[serde(default)]
    pub values: Vec<String>,
}

/// Operators of a label selector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the words of the API")]
pub enum SelectorOperator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    #[serde(untagged)]
    Unknown(String),
}

impl LabelSelector {
    /// Whether `labels` satisfy every requirement; `None` when the selector uses an operator that does not exist.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> Option<bool> {
        let mut all = self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value));
        for requirement in &self.match_expressions {
            let value = labels.get(&requirement.key);
            all &= match requirement.operator {
                SelectorOperator::In => value.is_some_and(|v| requirement.values.contains(v)),
                SelectorOperator::NotIn => !value.is_some_and(|v| requirement.values.contains(v)),
                SelectorOperator::Exists => value.is_some(),
                SelectorOperator::DoesNotExist => value.is_none(),
                SelectorOperator::Unknown(_) => return None,
            };
        }
        Some(all)
    }
}

/// A kind of route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RouteGroupKind {
    /// API group; the Gateway API's by default.
    #[serde(default = "RouteGroupKind::default_group")]
    pub group: String,
    /// Kind.
    pub kind: String,
}

impl RouteGroupKind {
    fn default_group() -> String {
        super::group::GATEWAY.into()
    }
}

object!(Gateway);
