//! Which endpoints may serve a request at all, as the picker has it; what is free elsewhere is of no use to it.

use crate::accelerator::policy;
use crate::picker::SubsetEntry;
use crate::pool::Endpoint;

/// What a request is limited to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Among<'a> {
    /// The only endpoints.
    pub subset: Option<&'a [SubsetEntry]>,
    /// The only classes of accelerators, separated by commas; empty: all.
    pub classes: &'a str,
    /// Tokens of the prompt, for which an endpoint may be too small.
    pub prompt_tokens: u32,
    /// Tokens of answer that are asked for; 0 when the request does not say.
    pub answer_tokens: u32,
}

impl Among<'_> {
    /// Whether `endpoint`, which serves, may serve this request.
    pub(super) fn allows(&self, endpoint: &Endpoint) -> bool {
        let address = endpoint.address();
        let same = |entry: &SubsetEntry| {
            entry.ip.to_canonical() == address.ip() && entry.port.is_none_or(|port| port == address.port())
        };
        self.subset.is_none_or(|subset| subset.iter().any(same))
            && policy::allows(self.classes, &endpoint.accelerator)
            && u64::from(self.prompt_tokens) <= endpoint.room(self.answer_tokens)
    }
}
