//! Whether a model server runs fewer requests than was known.
//!
//! Who runs fewer than it could while requests wait may only be between two steps: some have ended, and those that wait begin
//! with the next step. At the end of a step its scrape shows both, again and again, and taken at its word the batch would
//! shrink with each look. So the most that ran while others waited counts, over a second of such looks.

use std::time::{Duration, Instant};

/// How long it is looked at: several scrapes, and several steps also of a slow server.
const LONG: Duration = Duration::from_secs(1);

/// What was seen since it ran fewer, while others waited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fewer {
    since: Instant,
    last: Instant,
    most: u32,
}

impl Fewer {
    /// `running` ran at `at`, fewer than was known; answers how many are known from here on when that was so for long enough.
    pub(super) fn seen(state: &mut Option<Self>, running: u32, at: Instant) -> Option<u32> {
        let long = |from: Instant| at.saturating_duration_since(from) >= LONG;
        // After a second without a look of that kind it begins anew.
        let before = state.filter(|before| !long(before.last));
        let next = Self {
            since: before.map_or(at, |before| before.since),
            last: at,
            most: before.map_or(running, |before| before.most.max(running)),
        };
        let proven = long(next.since);
        *state = (!proven).then_some(next);
        proven.then_some(next.most)
    }
}
