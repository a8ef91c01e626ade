//! The status that an object carries.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An object's status as it was read, whoever wrote it: raw, so that what others wrote survives being written back.
///
/// It is not content: nothing is decided from it but whether a status has to be written. Clones share the value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ObservedStatus(Arc<Value>);

impl ObservedStatus {
    /// The raw status; `null` in plain manifests.
    pub fn value(&self) -> &Value {
        &self.0
    }
}

impl From<Value> for ObservedStatus {
    fn from(value: Value) -> Self {
        Self(Arc::new(value))
    }
}
