//! `Namespace`.

use serde::{Deserialize, Serialize};

use super::{ObjectMeta, meta::object};

/// A namespace; only its labels are read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// Metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
}

object!(Namespace);
