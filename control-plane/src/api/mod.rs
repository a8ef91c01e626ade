//! The Kubernetes kinds, as Signalbox reads them.
//!
//! These types are tolerant where the field moves: enumerations keep words they do not know (`Unknown`), absent
//! lists are empty, and core kinds carry only the fields that are read. Unknown *fields* are not an error here;
//! sources report them (see `source`). Defaults are those of the CRDs.

mod backend_ref;
mod backend_tls_policy;
mod condition;
mod config_map;
mod endpoint_slice;
mod filter;
mod gateway;
mod gateway_class;
mod gateway_parameters;
mod http_route;
mod inference_model;
mod inference_model_rewrite;
mod inference_objective;
mod inference_pool;
mod meta;
mod namespace;
mod node;
mod observed;
mod parent_ref;
mod pod;
mod reference_grant;
mod secret;
mod service;

pub use backend_ref::{BackendRef, HttpBackendRef};
pub use backend_tls_policy::{
    BackendTLSPolicy, BackendTLSPolicySpec, BackendTLSValidation, PolicyTarget, SubjectAltName,
};
pub use condition::ConditionStatus;
pub use config_map::ConfigMap;
pub use endpoint_slice::{EndpointSlice, SliceConditions, SliceEndpoint, SlicePort};
pub use filter::{
    Fraction, HeaderFilter, HttpHeader, HttpRouteFilter, LocalRef, PathModifier, PathModifierType,
    RequestMirror, RequestRedirect, UrlRewrite,
};
pub use gateway::{
    AllowedRoutes, CertificateRef, FromNamespaces, Gateway, GatewayAddress, GatewayInfrastructure,
    GatewaySpec, GatewayTls, LabelSelector, LabelSelectorRequirement, Listener, ListenerProtocol,
    ParametersRef, RouteGroupKind, RouteNamespaces, SelectorOperator, TlsMode,
};
pub use gateway_class::{GatewayClass, GatewayClassSpec};
pub use gateway_parameters::{
    Autoscaling, EnvoyLogLevel, EnvoyParameters, FleetServiceType, GatewayParameters, GatewayParametersSpec,
    InfrastructureMode, PullPolicy, ServiceParameters, TrafficPolicy,
};
pub use http_route::{
    HeaderMatch, HttpRoute, HttpRouteMatch, HttpRouteRule, HttpRouteSpec, MatchType, PathMatch,
    PathMatchType, QueryParamMatch, Timeouts,
};
pub use inference_model::{Criticality, InferenceModel, InferenceModelSpec, TargetModel};
pub use inference_model_rewrite::{
    InferenceModelRewrite, InferenceModelRewriteSpec, ModelMatch, ModelMatchEntry, RewriteRule, RewriteTarget,
};
pub use inference_objective::{InferenceObjective, InferenceObjectiveSpec};
pub use inference_pool::{
    EndpointPickerRef, FailureMode, InferencePool, InferencePoolSpec, PoolAppProtocol, PoolRef, PoolSelector,
    PortNumber,
};
pub use meta::{Kind, NamespacedName, Object, ObjectMeta, ObjectRef};
pub use namespace::Namespace;
pub use node::{Node, NodeAddress, NodeStatus};
pub use observed::ObservedStatus;
pub use parent_ref::ParentRef;
pub use pod::{Container, Pod, PodCondition, PodSpec, PodStatus, ReadinessGate, Resources};
pub use reference_grant::{GrantFrom, GrantTo, ReferenceGrant, ReferenceGrantSpec};
pub use secret::Secret;
pub use service::{AppProtocol, Service, ServicePort, ServiceSpec, ServiceType, TargetPort};

/// API groups of the kinds that are read.
pub mod group {
    /// Core Kubernetes kinds.
    pub const CORE: &str = "";
    /// `Gateway`, `HTTPRoute` and their companions.
    pub const GATEWAY: &str = "gateway.networking.k8s.io";
    /// `InferencePool` v1.
    pub const INFERENCE: &str = "inference.networking.k8s.io";
    /// `InferenceObjective` and the like up to GIE v1.5; `InferenceModel` up to v0.5.
    pub const INFERENCE_X: &str = "inference.networking.x-k8s.io";
    /// `InferenceObjective` and `InferenceModelRewrite` since they moved to llm-d.
    pub const LLM_D: &str = "llm-d.ai";
    /// Signalbox's own kinds.
    pub const SIGNALBOX: &str = "signalbox.dev";
    /// `EndpointSlice`.
    pub const DISCOVERY: &str = "discovery.k8s.io";
}
