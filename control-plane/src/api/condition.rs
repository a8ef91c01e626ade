//! Status conditions (`metav1.Condition`).

use serde::{Deserialize, Serialize};

/// One status condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Type, for example `Accepted`.
    #[serde(rename = "type")]
    pub kind: String,
    /// True, False or Unknown.
    pub status: ConditionStatus,
    /// One word in CamelCase for machines.
    pub reason: String,
    /// A sentence for people: object, field and remedy.
    #[serde(default)]
    pub message: String,
    /// The generation of the spec that the condition speaks of.
    #[serde(default)]
    pub observed_generation: i64,
    /// RFC 3339 time of the last change of `status`.
    #[serde(default)]
    pub last_transition_time: String,
}

/// A condition's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the three words of the API")]
pub enum ConditionStatus {
    True,
    False,
    Unknown,
}
