//! `Secret`.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::{ObjectMeta, meta::object};

/// A Secret. Its `Debug` form hides the values.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Secret {
    /// Metadata.
    pub metadata: ObjectMeta,
    /// Type, for example `kubernetes.io/tls`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Values in base64.
    pub data: BTreeMap<String, String>,
    /// Values in plain text (manifests only).
    pub string_data: BTreeMap<String, String>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret")
            .field("metadata", &self.metadata)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

object!(Secret);
