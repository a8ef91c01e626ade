//! `ParentReference`: what a route attaches to.

use serde::{Deserialize, Serialize};

use super::group;

/// A route's reference to a Gateway, or to one of its listeners.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentRef {
    /// API group; the Gateway API's by default.
    #[serde(default = "ParentRef::default_group")]
    pub group: String,
    /// Kind; `Gateway` by default.
    #[serde(default = "ParentRef::default_kind")]
    pub kind: String,
    /// Namespace; the route's own by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
    /// Name of a listener; all listeners by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
    /// Port of listeners; all ports by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

impl ParentRef {
    fn default_group() -> String {
        group::GATEWAY.into()
    }

    fn default_kind() -> String {
        "Gateway".into()
    }
}
