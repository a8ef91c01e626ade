//! `InferenceModelRewrite`, of both API groups.

use serde::{Deserialize, Serialize};

use super::{ObjectMeta, PoolRef, meta::object};

/// Replaces the model name of requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InferenceModelRewrite {
    /// Metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Specification.
    pub spec: InferenceModelRewriteSpec,
}

/// An InferenceModelRewrite's specification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InferenceModelRewriteSpec {
    /// The pool.
    pub pool_ref: PoolRef,
    /// Rules.
    #[serde(default)]
    pub rules: Vec<RewriteRule>,
}

/// One rule; matches are ORed, none matches every request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RewriteRule {
    /// Matches.
    #[serde(default)]
    pub matches: Vec<ModelMatchEntry>,
    /// Targets, chosen by weight.
    pub targets: Vec<RewriteTarget>,
}

/// One match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelMatchEntry {
    /// The model name.
    pub model: ModelMatch,
}

/// A match of the model name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelMatch {
    /// `Exact`, the only word.
    #[serde(rename = "type", default)]
    pub kind: Option<String>,
    /// The name.
    pub value: String,
}

/// One target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RewriteTarget {
    /// The new model name.
    pub model_rewrite: String,
    /// 1 to 1,000,000; equal shares when absent everywhere.
    #[serde(default)]
    pub weight: Option<u32>,
}

object!(InferenceModelRewrite);
