//! An open stream, as it is counted.

use std::sync::Arc;

use super::lane::Lane;

/// Counts an open stream.
pub(super) struct Open {
    /// What the streams of its pool share.
    pub(super) lane: Arc<Lane>,
    /// Its request was decided.
    pub(super) decided: bool,
}

impl Open {
    pub(super) fn count(lane: &Arc<Lane>) -> Self {
        lane.metrics.streams.inc();
        Self { lane: Arc::clone(lane), decided: false }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.lane.metrics.streams.dec();
        if !self.decided {
            self.lane.metrics.abandoned.inc();
        }
    }
}
