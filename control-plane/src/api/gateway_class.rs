//! `GatewayClass`.

use serde::{Deserialize, Serialize};

use super::{ObjectMeta, ObservedStatus, ParametersRef, meta::object};

/// A class of Gateways, served by one controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayClass {
    /// Metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Specification.
    pub spec: GatewayClassSpec,
    /// Status as it was read.
    #[serde(default)]
    pub status: ObservedStatus,
}

/// A GatewayClass's specification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayClassSpec {
    /// Which controller serves the class.
    pub controller_name: String,
    /// Parameters of the controller.
    #[serde(default)]
    pub parameters_ref: Option<ParametersRef>,
    /// For people.
    #[serde(default)]
    pub description: Option<String>,
}

object!(GatewayClass);
