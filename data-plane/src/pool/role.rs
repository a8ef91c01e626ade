//! What an endpoint does for a request, when prefill and decode are apart: the label `llm-d.ai/role`.
//!
//! | label | first pick (decode) | prefill for others |
//! |---|---|---|
//! | none, `both`, `prefill-decode`, `encode-prefill-decode`, any other | yes | no |
//! | `decode` | yes | no |
//! | `prefill`, `encode-prefill` | no | yes |
//! | `encode` | no | no |

use std::collections::BTreeMap;

/// The label that says it.
pub(super) const LABEL: &str = "llm-d.ai/role";

/// What an endpoint does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Answers requests.
    #[default]
    Serve,
    /// Computes prompts for endpoints that answer.
    Prefill,
    /// Neither.
    Encode,
}

impl Role {
    /// The role of a Pod with `labels`.
    #[must_use]
    pub fn of(labels: &BTreeMap<String, String>) -> Self {
        match labels.get(LABEL).map(String::as_str) {
            Some("prefill" | "encode-prefill") => Self::Prefill,
            Some("encode") => Self::Encode,
            _ => Self::Serve,
        }
    }
}
