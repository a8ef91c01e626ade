//! `InferenceModel` v1alpha2, retired upstream and still read so that older installations keep working.

use serde::{Deserialize, Serialize};

use super::{ObjectMeta, PoolRef, meta::object};

/// A model name, its criticality and what serves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InferenceModel {
    /// Metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Specification.
    pub spec: InferenceModelSpec,
}

/// An InferenceModel's specification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InferenceModelSpec {
    /// The name that clients send; unique in a pool, the oldest wins.
    pub model_name: String,
    /// Standard when absent.
    #[serde(default)]
    pub criticality: Option<Criticality>,
    /// What serves it; the name itself when empty.
    #[serde(default)]
    pub target_models: Vec<TargetModel>,
    /// The pool.
    pub pool_ref: PoolRef,
}

/// How important requests for the model are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the words of the API")]
pub enum Criticality {
    Critical,
    Standard,
    Sheddable,
    #[serde(untagged)]
    Unknown(String),
}

/// One target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetModel {
    /// Name of a model or adapter.
    pub name: String,
    /// 1 to 1,000,000; equal shares when absent everywhere.
    #[serde(default)]
    pub weight: Option<u32>,
}

object!(InferenceModel);
