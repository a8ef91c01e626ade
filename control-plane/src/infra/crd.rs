//! The CustomResourceDefinitions of our own kinds.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResource, CustomResourceExt as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::GatewayParametersSpec;

/// How Signalbox provisions the infrastructure of Gateways: referred to by GatewayClass.spec.parametersRef (defaults)
/// and Gateway.spec.infrastructure.parametersRef (wins, field by field).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, CustomResource)]
#[kube(
    group = "signalbox.dev",
    version = "v1alpha1",
    kind = "GatewayParameters",
    plural = "gatewayparameters",
    singular = "gatewayparameters",
    namespaced,
    category = "gateway-api"
)]
struct Spec {
    #[serde(flatten)]
    spec: GatewayParametersSpec,
}

/// `gatewayparameters.signalbox.dev`.
pub fn gateway_parameters() -> CustomResourceDefinition {
    GatewayParameters::crd()
}
