//! What a session asks, and what it is answered.

use bytes::Bytes;

use super::prefiller::Prefiller;
use crate::picker::SubsetEntry;
use crate::request::Head;
use crate::request::answer::Restore;
use crate::tokenizer::Counted;

/// What is to be decided.
#[derive(Debug)]
pub struct Question<'a> {
    /// The request's headers.
    pub head: &'a Head,
    /// The whole body; empty when there is none.
    pub body: &'a Bytes,
    /// The endpoints that may be picked.
    pub subset: Option<&'a [SubsetEntry]>,
    /// The tokens of its prompt, where they were counted.
    pub counted: Option<&'a Counted>,
}

/// A decision.
#[derive(Debug, PartialEq)]
pub struct Answer {
    /// "ip:port", in order of preference, separated by commas.
    pub endpoints: String,
    /// Who computes the prompt.
    pub prefiller: Prefiller,
    /// The body to send instead, when the model was rewritten.
    pub body: Option<Bytes>,
    /// The name to put back in the response.
    pub restore: Option<Restore>,
    /// What the client is told of the decision.
    pub told: Option<String>,
}
