//! The World: every object that Signalbox has read, immutable and cheap to clone.
//!
//! ```text
//! source ── Batch ──▶ reducer ──▶ next World + Dirty
//! ```

mod queries;

use std::sync::Arc;

use imbl::OrdMap;

use crate::api::{
    ConfigMap, EndpointSlice, Gateway, GatewayClass, HttpRoute, InferenceModel, InferenceModelRewrite,
    InferenceObjective, InferencePool, Namespace, NamespacedName, Node, Pod, ReferenceGrant, Secret, Service,
};

/// All objects of one kind, by namespace and name. Clones share structure.
pub type Objects<T> = OrdMap<NamespacedName, Arc<T>>;

/// Every object that has been read.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "each field holds the kind of its name")]
pub struct World {
    pub gateway_classes: Objects<GatewayClass>,
    pub gateways: Objects<Gateway>,
    pub http_routes: Objects<HttpRoute>,
    pub reference_grants: Objects<ReferenceGrant>,
    pub namespaces: Objects<Namespace>,
    pub services: Objects<Service>,
    pub endpoint_slices: Objects<EndpointSlice>,
    pub pods: Objects<Pod>,
    pub nodes: Objects<Node>,
    pub secrets: Objects<Secret>,
    pub config_maps: Objects<ConfigMap>,
    pub pools: Objects<InferencePool>,
    pub objectives: Objects<InferenceObjective>,
    pub rewrites: Objects<InferenceModelRewrite>,
    pub models: Objects<InferenceModel>,
}
