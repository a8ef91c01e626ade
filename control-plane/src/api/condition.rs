//! Status conditions (`metav1.Condition`).

use serde::{Deserialize, Serialize};

/// A condition's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the three words of the API")]
pub enum ConditionStatus {
    True,
    False,
    Unknown,
}
