//! Why no endpoint was picked.

/// The reason, with its HTTP status and the words that the client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The picker has not received its pools.
    #[error("the gateway is starting and does not know its model servers yet; try again in a moment")]
    NotSynced,
    /// The pool has no endpoint that takes requests.
    #[error("no model server of this pool is ready")]
    NoEndpoints,
    /// No endpoint is both ready and in the subset that the request allows.
    #[error("none of the endpoints that this request is limited to is ready")]
    SubsetEmpty,
    /// The prompt is larger than the KV cache of every endpoint.
    #[error(
        "the prompt has about {prompt_tokens} tokens, and the largest model server of this pool holds {largest}"
    )]
    DoesNotFit {
        /// Prompt tokens, estimated.
        prompt_tokens: u32,
        /// KV cache of the largest endpoint in tokens.
        largest: u64,
    },
}

impl Refusal {
    /// The reason's name in headers, metrics and logs.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotSynced => "not_synced",
            Self::NoEndpoints => "no_endpoints",
            Self::SubsetEmpty => "subset_empty",
            Self::DoesNotFit { .. } => "does_not_fit",
        }
    }

    /// The HTTP status: 503 for what may pass, 400 for what will not.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::NotSynced | Self::NoEndpoints | Self::SubsetEmpty => 503,
            Self::DoesNotFit { .. } => 400,
        }
    }
}
