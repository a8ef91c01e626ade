//! A request at the gate, and what becomes of it.

use std::time::Duration;

use super::among::Among;
use super::shed::Shed;
use super::ticket::Ticket;
use super::waiting::Waiting;

/// What a request says for its admission.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// Priority of its objective.
    pub priority: i32,
    /// Who sent it, as a hash.
    pub tenant: u64,
    /// Prompt and expected output tokens.
    pub tokens: u32,
    /// Bytes that are held while it waits.
    pub bytes: usize,
    /// What it is limited to.
    pub among: Among<'a>,
    /// How long its client waits, as far as it told.
    pub patience: Option<Duration>,
    /// When its first token should be there: among a tenant's requests, the earliest goes first.
    pub target: Option<Duration>,
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Admission {
    /// It may go.
    Admitted(Ticket),
    /// It waits.
    Waits(Waiting),
    /// It is refused.
    Shed(Shed),
}
