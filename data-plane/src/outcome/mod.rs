//! What became of a request: in-flight accounting, served endpoint, first token.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Counts a request as in flight until dropped.
#[derive(Debug)]
pub struct Outcome(Arc<AtomicUsize>);

impl Outcome {
    pub(crate) fn begin(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
    /// The endpoint that served.
    pub fn served(&mut self, _addr: SocketAddr) {}
    /// First byte of the response.
    pub fn first_byte(&mut self, _now: Instant) {}
    /// The response is an error.
    pub fn failed(&mut self, _status: u16) {}
}

impl Drop for Outcome {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
