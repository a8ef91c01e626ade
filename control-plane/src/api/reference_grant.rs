//! `ReferenceGrant`.

use serde::{Deserialize, Serialize};

use super::{ObjectMeta, meta::object};

/// Allows references from other namespaces into its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReferenceGrant {
    /// Metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Specification.
    pub spec: ReferenceGrantSpec,
}

/// Every `from` may refer to every `to`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReferenceGrantSpec {
    /// Who refers.
    pub from: Vec<GrantFrom>,
    /// What is referred to.
    pub to: Vec<GrantTo>,
}

/// Who may refer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantFrom {
    /// API group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Namespace.
    pub namespace: String,
}

/// What may be referred to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantTo {
    /// API group; empty is core.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Name; every object of the kind when absent.
    #[serde(default)]
    pub name: Option<String>,
}

object!(ReferenceGrant);
