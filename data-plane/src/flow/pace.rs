//! When lower priorities may take what became free: evenly, so that a place becomes free every moment for those above them.
//!
//! ```text
//! places ÷ residence ─▶ pace (of all that go)
//! the highest priority that came lately ─▶ goes at once, and the pace counts it
//! those below ─▶ go when they are due
//! ```
//! Answers of about one length that began together end together. When lower priorities take all these places at once, they
//! end together again, one residence later and for ever; and a more important request that comes between two such moments
//! waits for the next one, although on average a place becomes free every few milliseconds. So while requests of a higher
//! priority come, what goes is spread over the residence, and places become free as evenly one residence later.
//!
//! By Little's law a pool that is full lets go as many requests in one residence as it has places. The pace is a little less
//! where no place is free and more with each one that is ([`LEFT`], [`OPENS`]): it settles where about one place in
//! thirty-two is free for a moment, and what is estimated wrongly opens it. Without requests of a higher priority, in a pool
//! of few places, where nobody waits, and before the first answer there is no pace. Each picker of a pool has its own.

use std::time::{Duration, Instant};

/// A priority that did not come for so long does not hold up those below it.
const LATELY: Duration = Duration::from_secs(10);
/// Share of the places that is free where the pace is what the pool can do.
const LEFT: f64 = 1.0 / 32.0;
/// By how much of it the pace grows when all places are free.
const OPENS: f64 = 2.0;
/// Part of a residence that may be caught up on at once.
const CREDIT: f64 = 1.0 / 40.0;
/// Part of a residence after which one goes, whatever went before it.
const LONGEST: f64 = 0.25;
/// The same in seconds, where residences are long.
const LONGEST_SECONDS: f64 = 1.0;
/// In pools of fewer places, moments are too far apart to be spread.
const FEW: u32 = 16;

/// The pace of one pool.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// The highest priority that came lately, and when it last did.
    highest: Option<(i32, Instant)>,
    /// When the next one is due, by all that went.
    due: Option<Instant>,
    /// When a paced one last went.
    last: Option<Instant>,
    interval: Duration,
    credit: Duration,
    longest: Duration,
    held: bool,
}

impl Pace {
    /// A request of `priority` begins to wait.
    pub(super) fn comes(&mut self, priority: i32, now: Instant) {
        if !self.is_below(priority, now) {
            self.highest = Some((priority, now));
        }
    }

    /// The pool takes `places` requests, of which `free` are free; they stay for `residence` seconds, 0 when that is not known.
    pub(super) fn set(&mut self, places: u32, free: u32, residence: f64) {
        let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or_default();
        let count = f64::from(places.max(1));
        let share = (f64::from(free) / count).min(1.0);
        let factor = OPENS.mul_add(share - LEFT, 1.0);
        self.interval = if places < FEW { Duration::ZERO } else { seconds(residence / count / factor) };
        self.credit = seconds(residence * CREDIT);
        self.longest = seconds((residence * LONGEST).min(LONGEST_SECONDS));
        self.held = false;
    }

    /// Whether a request of `priority` has to wait although a place may be free.
    pub(super) fn holds(&mut self, priority: i32, now: Instant) -> bool {
        let early = |at: Option<Instant>| at.is_some_and(|at| now < at);
        let holds = !self.interval.is_zero()
            && self.is_below(priority, now)
            && early(self.due)
            && early(self.last.map(|last| last + self.longest));
        self.held |= holds;
        holds
    }

    /// A request of `priority` goes.
    pub(super) fn goes(&mut self, priority: i32, now: Instant) {
        if self.is_below(priority, now) {
            self.last = Some(now);
        }
        let earliest = now.checked_sub(self.credit).unwrap_or(now);
        let due = self.due.map_or(earliest, |due| due.max(earliest)) + self.interval;
        self.due = Some(due.min(now + self.longest));
    }

    /// The least priority of those that wait for a place, and not for their turn.
    pub(super) fn lacking(&self) -> i32 {
        self.highest.filter(|_| self.held).map_or(i32::MIN, |(priority, _)| priority)
    }

    fn is_below(&self, priority: i32, now: Instant) -> bool {
        let lately = |at: Instant| now.saturating_duration_since(at) < LATELY;
        self.highest.is_some_and(|(highest, at)| priority < highest && lately(at))
    }
}

#[cfg(test)]
mod tests;
