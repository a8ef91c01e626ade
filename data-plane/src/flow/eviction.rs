//! Which requests in flight end so that more important ones go: synchronous, without I/O; time is an argument.
//!
//! ```text
//! request of a priority below 0 at its endpoint ─ add ─▶ Evictable ─ remove ─ it answers, or has ended
//! one of 0 or above waits, the pool is full ─ choose ─▶ lowest priority first, newest of it first ─▶ told to end
//!                                                  └─ nobody while those before have not gone, and shortly after
//! ```
//! What an end frees is seen with a delay: the engine has to notice it, and a scrape has to tell. So a few at a time are
//! told, and the next ones not before these have gone and a scrape came.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Requests that are told to end at a time.
const MOST: usize = 2;
/// From their end to the next ones: two scrapes.
const GRACE: Duration = Duration::from_millis(100);
/// Those that do not end in this time are not waited for.
const CONFIRMATION: Duration = Duration::from_secs(10);

/// Where a request is; the first one goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    priority: i32,
    number: Reverse<u64>,
}

/// Requests in flight that may be told to end, through a `T` each.
#[derive(Debug)]
pub(super) struct Evictable<T> {
    running: BTreeMap<Place, (SocketAddr, T)>,
    numbers: u64,
    /// Told to end and not gone, and since when.
    leaving: usize,
    told_at: Option<Instant>,
    /// Nobody is told before.
    next: Option<Instant>,
}

impl<T> Default for Evictable<T> {
    fn default() -> Self {
        Self { running: BTreeMap::new(), numbers: 0, leaving: 0, told_at: None, next: None }
    }
}

/// Who waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    /// The highest priority.
    pub(super) priority: i32,
    /// Requests of a priority of 0 or above.
    pub(super) requests: usize,
}

impl<T> Evictable<T> {
    /// A request of `priority` runs at `endpoint`.
    pub(super) fn add(&mut self, priority: i32, endpoint: SocketAddr, payload: T) -> Place {
        self.numbers += 1;
        let place = Place { priority, number: Reverse(self.numbers) };
        self.running.insert(place, (endpoint, payload));
        place
    }

    /// The request at `place` is not to be told any more. False: it was told.
    pub(super) fn remove(&mut self, place: &Place) -> bool {
        self.running.remove(place).is_some()
    }

    /// A request that was told has ended.
    pub(super) fn gone(&mut self, now: Instant) {
        self.leaving = self.leaving.saturating_sub(1);
        if self.leaving == 0 {
            self.next = Some(now + GRACE);
        }
    }

    /// Takes out those that are told to end for `claim`, of the endpoints that are of use to it.
    pub(super) fn choose(
        &mut self,
        claim: Claim,
        now: Instant,
        of_use: impl Fn(SocketAddr) -> bool,
    ) -> Vec<(i32, T)> {
        if self.told_at.is_some_and(|at| now.saturating_duration_since(at) >= CONFIRMATION) {
            self.leaving = 0;
        }
        let early = self.next.is_some_and(|next| now < next);
        if claim.priority < 0 || self.leaving > 0 || early {
            return Vec::new();
        }
        let lower = self.running.iter().filter(|(place, _)| place.priority < claim.priority);
        let chosen = lower.filter(|(_, (endpoint, _))| of_use(*endpoint)).map(|(place, _)| *place);
        let chosen: Vec<Place> = chosen.take(claim.requests.min(MOST)).collect();
        self.leaving = chosen.len();
        self.told_at = (!chosen.is_empty()).then_some(now);
        let take = |place: Place| Some((place.priority, self.running.remove(&place)?.1));
        chosen.into_iter().filter_map(take).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    fn names(
        evictable: &mut Evictable<&'static str>,
        claim: (i32, usize),
        now: Instant,
    ) -> Vec<&'static str> {
        let claim = Claim { priority: claim.0, requests: claim.1 };
        evictable
            .choose(claim, now, |endpoint| endpoint.port() != 9)
            .into_iter()
            .map(|(_, name)| name)
            .collect()
    }

    #[test]
    fn the_lowest_priority_goes_first_and_of_it_the_newest() {
        let now = Instant::now();
        let full = || {
            let mut evictable = Evictable::default();
            let places = [(-1, 1, "old"), (-1, 1, "new"), (-5, 1, "low"), (-9, 9, "elsewhere")];
            let places = places.map(|(priority, port, name)| evictable.add(priority, at(port), name));
            (evictable, places)
        };
        for (claim, told) in
            [((0, 1), &["low"][..]), ((100, 7), &["low", "new"]), ((100, 0), &[]), ((-1, 3), &[])]
        {
            assert_eq!(names(&mut full().0, claim, now), told, "{claim:?}");
        }
        let (mut evictable, [_, new, low, _]) = full();
        assert!(evictable.remove(&low) && !evictable.remove(&low));
        assert!(evictable.remove(&new));
        assert_eq!(names(&mut evictable, (0, 2), now), ["old"]);
    }

    #[test]
    fn nobody_is_told_before_those_before_have_gone_and_a_scrape_came() {
        let now = Instant::now();
        let mut evictable = Evictable::default();
        for name in ["a", "b", "c", "d", "e", "f"] {
            evictable.add(-1, at(1), name);
        }
        let millis = |millis| now + Duration::from_millis(millis);
        assert_eq!(names(&mut evictable, (0, 9), now), ["f", "e"]);
        assert_eq!(names(&mut evictable, (0, 9), millis(5_000)), [""; 0], "they run still");
        evictable.gone(millis(5_000));
        assert_eq!(names(&mut evictable, (0, 9), millis(5_000)), [""; 0], "one of them does");
        evictable.gone(millis(5_010));
        assert_eq!(names(&mut evictable, (0, 9), millis(5_100)), [""; 0], "no scrape could tell");
        assert_eq!(names(&mut evictable, (0, 1), millis(5_110)), ["d"]);
        assert_eq!(names(&mut evictable, (0, 9), millis(15_109)), [""; 0]);
        assert_eq!(
            names(&mut evictable, (0, 9), millis(15_110)),
            ["c", "b"],
            "it is not waited for any longer"
        );
    }
}
