//! What the pickers of a run tell each other, and when it arrives.
//!
//! ```text
//! half of the exchange time: Telling (of each, for each other one) ─ the other half: on its way ─▶ Heard
//! ```
//! So what a picker knows of another one is between half of the exchange time and all of it old. Pickers that serve tell
//! each other every 25 ms over a network of less than one: that is 50 ms here, at most.

use std::time::Instant;

use proto::peers::v1::FollowResponse;

use crate::peers::{Heard, Telling};
use crate::pool::Pools;

/// One direction between two pickers.
struct Link {
    telling: Telling,
    heard: Heard,
    under_way: Vec<FollowResponse>,
}

/// All of them.
pub(super) struct Exchange {
    links: Vec<Link>,
    every: f64,
    next: f64,
}

impl Exchange {
    /// Between all of `pickers`, what is known being `seconds` old at most; never when absent.
    pub(super) fn new(pickers: &[Pools], seconds: Option<f64>, now: Instant) -> Self {
        let mut links = Vec::new();
        if seconds.is_some() {
            for (from, told) in (0_u64..).zip(pickers) {
                for (_, hears) in (0_u64..).zip(pickers).filter(|(to, _)| *to != from) {
                    links.push(Link {
                        telling: Telling::new((from, "bed"), told, None, now),
                        heard: Heard::new(hears, now),
                        under_way: Vec::new(),
                    });
                }
            }
        }
        let every = seconds.map_or(f64::INFINITY, |seconds| seconds / 2.0);
        Self { next: if links.is_empty() { f64::INFINITY } else { every }, links, every }
    }

    /// When something happens next.
    pub(super) fn next(&self) -> f64 {
        self.next
    }

    /// What was under way arrives, and more is told.
    pub(super) fn advance(&mut self, now: Instant) {
        for link in &mut self.links {
            for response in link.under_way.drain(..) {
                link.heard.hear(&response, now);
            }
        }
        for link in &mut self.links {
            while let Some(response) = link.telling.next(now) {
                link.under_way.push(response);
            }
        }
        self.next += self.every;
    }
}
