//! `GatewayClass`.

use serde::{Deserialize, Serialize};

use super::{Condition, ObjectMeta, ParametersRef, meta::object};

/// A class of Gateways, served by one controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayClass {
    /// Metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Specification.
    pub spec: GatewayClassSpec,
    /// Conditions as last written; empty in plain manifests.
    #[serde(default)]
    pub status: GatewayClassStatus,
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

/// A GatewayClass's status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GatewayClassStatus {
    /// Conditions.
    pub conditions: Vec<Condition>,
}

object!(GatewayClass);
