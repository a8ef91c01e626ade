//! `InferenceObjective`, of both API groups.

use serde::{Deserialize, Serialize};

use super::{ObjectMeta, PoolRef, meta::object};

/// The priority of requests that name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InferenceObjective {
    /// Metadata; the name is what requests send.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Specification.
    pub spec: InferenceObjectiveSpec,
}

/// An InferenceObjective's specification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InferenceObjectiveSpec {
    /// Higher is more important; 0 when absent; negative is sheddable.
    #[serde(default)]
    pub priority: Option<i32>,
    /// The pool.
    pub pool_ref: PoolRef,
}

object!(InferenceObjective);
