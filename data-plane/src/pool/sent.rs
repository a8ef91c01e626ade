//! Prompts that endpoints are sent, for those who tell other pickers.
//!
//! ```text
//! outcome ─ sent ─▶ ring of the last 512 ─▶ each receiver; one that is slow misses the oldest and is told how many
//! ```
//! While nobody listens, nothing is kept.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::broadcast;

/// Prompts that a receiver may be behind. When there are more it misses the oldest: they are the likeliest to be known
/// already, and an endpoint is sent the same beginning again. Half a megabyte of blocks for prompts of 8,000 tokens.
pub(crate) const BEHIND: usize = 512;

/// The beginning of a prompt that an endpoint was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The endpoint.
    pub address: SocketAddr,
    /// Hashes of the prompt's blocks.
    pub blocks: Arc<Vec<u64>>,
    /// Mean tokens of a block.
    pub block_tokens: f32,
}

/// Where prompts are told.
#[derive(Debug)]
pub(super) struct SentLog(broadcast::Sender<Sent>);

impl Default for SentLog {
    fn default() -> Self {
        Self(broadcast::Sender::new(BEHIND))
    }
}

impl SentLog {
    /// Tells `sent` to those who listen.
    pub(super) fn push(&self, sent: impl FnOnce() -> Sent) {
        if self.0.receiver_count() > 0 {
            // The last receiver may have gone since.
            let _nobody = self.0.send(sent());
        }
    }

    /// Receives from here on.
    pub(super) fn listen(&self) -> broadcast::Receiver<Sent> {
        self.0.subscribe()
    }
}
