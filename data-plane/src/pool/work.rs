//! What requests make endpoints do.

/// What one request adds to its endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Prompt tokens.
    pub prompt_tokens: u32,
    /// Prompt tokens that the endpoint has to compute.
    pub prefill_tokens: u32,
    /// Output tokens expected.
    pub decode_tokens: u32,
}
