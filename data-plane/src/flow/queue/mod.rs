//! The waiting requests of one pool. Synchronous, without I/O; time is an argument.
//!
//! ```text
//! push ─▶ band 100 ▶ tenants by turn ▶ requests by due time ┐
//!         band 0                                            ├─ dispatch(room), highest band first ─▶ granted
//!         band -10                                          ┘
//! ```
//!
//! | full | who goes |
//! |---|---|
//! | the whole queue | the last request of the largest tenant of the lowest band below the newcomer's |
//! | the newcomer's band, or no band is lower | the last request of the band's largest tenant, if that one has more than the newcomer's would have; else the newcomer |
//!
//! `T` is what a request is answered through; each pushed `T` comes out exactly once: granted, displaced, removed,
//! expired or drained.

mod band;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Instant;

use band::{Band, Item, Place};

use super::rate::Rate;
use super::settings::{Bounds, Size};
use super::shed::Shed;
use super::waiter::Waiter;

/// Tenants of a band that are passed over in one dispatch because their own endpoints are full.
const PASSED: usize = 16;

/// Whether a request may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It has its place.
    Yes,
    /// The endpoints that it is limited to are full; others may go.
    Elsewhere,
    /// Nothing of its priority or below may go.
    Full,
}

/// What further requests fit into.
pub trait Room {
    /// Takes a place for `waiter`, if there is one.
    fn take(&mut self, waiter: &Waiter) -> Taken;
}

/// Where a waiting request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    priority: i32,
    tenant: u64,
    place: Place,
}

/// A request that came out of the queue.
#[derive(Debug)]
pub struct Left<T> {
    /// Its priority.
    pub priority: i32,
    /// When it began to wait.
    pub arrived: Instant,
    /// What it is answered through.
    pub payload: T,
}

impl<T> From<Item<T>> for Left<T> {
    fn from(item: Item<T>) -> Self {
        Self { priority: item.waiter.priority, arrived: item.waiter.arrived, payload: item.payload }
    }
}

/// What the time says about a waiting request.
#[derive(Debug)]
pub enum Due<T> {
    /// It waits on, until then.
    Until(Instant),
    /// It has waited long enough, and was taken out.
    Expired(Left<T>, Shed),
    /// It is not there: it is answered already.
    Gone,
}

/// The waiting requests of one pool.
#[derive(Debug)]
pub struct Queue<T> {
    bands: BTreeMap<Reverse<i32>, Band<T>>,
    bounds: Bounds,
    size: Size,
    arrivals: u64,
    drain: Rate,
    /// When the pool last got its first endpoint.
    filled_at: Option<Instant>,
    empty: bool,
}

impl<T> Queue<T> {
    /// Nobody waits.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bands: BTreeMap::new(),
            bounds,
            size: Size::default(),
            arrivals: 0,
            drain: Rate::default(),
            filled_at: None,
            empty: false,
        }
    }

    /// Bounds for requests that come from now on.
    pub fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
        self.bands.values_mut().for_each(|band| band.set_bound(bounds.band));
    }

    /// Takes note whether the pool has endpoints.
    pub fn set_empty(&mut self, empty: bool, now: Instant) {
        if std::mem::replace(&mut self.empty, empty) && !empty {
            self.filled_at = Some(now);
        }
    }

    /// All that wait.
    pub fn size(&self) -> Size {
        self.size
    }

    /// What waits by priority, highest first.
    pub fn sizes(&self) -> impl Iterator<Item = (i32, Size)> {
        self.bands.iter().map(|(priority, band)| (priority.0, band.size()))
    }

    /// Who would go first.
    pub fn first(&self) -> Option<&Waiter> {
        let (_, band) = self.bands.first_key_value()?;
        band.next(&[]).map(|(_, waiter)| waiter)
    }

    /// Seconds after which a request of `priority` that comes back may find room: as long as those before it take at
    /// the rate at which requests left the queue lately.
    pub fn retry_after(&self, priority: i32, now: Instant) -> u32 {
        let ahead: usize = self.bands.range(..=Reverse(priority)).map(|(_, band)| band.size().requests).sum();
        self.drain.seconds_for(ahead, now)
    }

    /// Lets `waiter` wait. Who has to go for it is added to `displaced`.
    ///
    /// # Errors
    /// The queue is full of requests that come first.
    pub fn push(
        &mut self,
        waiter: Waiter,
        payload: T,
        now: Instant,
        displaced: &mut Vec<(Left<T>, Shed)>,
    ) -> Result<Key, (T, Shed)> {
        if !self.make_room(&waiter, now, displaced) {
            let retry_after = self.retry_after(waiter.priority, now);
            let waiting = self.size.requests;
            let shed = match waiter.priority < 0 {
                true => Shed::Saturated { retry_after },
                false => Shed::QueueFull { waiting, retry_after },
            };
            return Err((payload, shed));
        }
        self.arrivals += 1;
        let key =
            Key { priority: waiter.priority, tenant: waiter.tenant, place: (waiter.due, self.arrivals) };
        self.size = self.size.more(1, waiter.bytes);
        let bound = self.bounds.band;
        let band = self.bands.entry(Reverse(key.priority)).or_insert_with(|| Band::new(bound));
        band.push(key.place, Item { waiter, payload });
        self.drain.start(now);
        Ok(key)
    }

    /// Lets go whom `room` has a place for: highest band first, tenants of a band by turn.
    pub fn dispatch(&mut self, now: Instant, room: &mut impl Room, granted: &mut Vec<Left<T>>) {
        let before = granted.len();
        'bands: for band in self.bands.values_mut() {
            let mut passed = Vec::new();
            while let Some((tenant, waiter)) = band.next(&passed) {
                match room.take(waiter) {
                    Taken::Yes => {
                        let item = band.serve(tenant).expect("the tenant has a request, it was just shown");
                        self.size = self.size.less(1, item.waiter.bytes);
                        granted.push(item.into());
                    }
                    Taken::Elsewhere if passed.len() < PASSED => passed.push(tenant),
                    Taken::Elsewhere => break,
                    Taken::Full => break 'bands,
                }
            }
        }
        self.drain.add(granted.len() - before, now);
        self.tidy();
    }

    /// Takes out the request at `key`, if it is there.
    pub fn remove(&mut self, key: &Key) -> Option<Left<T>> {
        let item = self.bands.get_mut(&Reverse(key.priority))?.remove(key.tenant, &key.place)?;
        self.size = self.size.less(1, item.waiter.bytes);
        self.tidy();
        Some(item.into())
    }

    /// Whether the request at `key` waits on.
    pub fn due(&mut self, key: &Key, now: Instant) -> Due<T> {
        let band = self.bands.get(&Reverse(key.priority));
        let Some(waiter) = band.and_then(|band| band.get(key.tenant, &key.place)) else { return Due::Gone };
        let expires = waiter.expires(self.filled_at, self.empty);
        if expires > now {
            return Due::Until(expires);
        }
        let impatient = waiter.patience.is_some_and(|patience| patience <= now);
        let waited = now.saturating_duration_since(waiter.arrived);
        let retry_after = self.retry_after(key.priority, now);
        let shed = match (self.empty, impatient) {
            (true, _) => Shed::NoEndpoints { waited, retry_after },
            (false, true) => Shed::ClientDeadline { waited, retry_after },
            (false, false) => Shed::Expired { waited, retry_after },
        };
        self.remove(key).map_or(Due::Gone, |left| Due::Expired(left, shed))
    }

    /// Takes out everything.
    pub fn drain(&mut self) -> Vec<Left<T>> {
        self.size = Size::default();
        let bands = std::mem::take(&mut self.bands);
        bands.into_values().flat_map(|mut band| band.drain()).map(Into::into).collect()
    }

    /// Whether `waiter` fits, after those that have to go for it are gone.
    fn make_room(&mut self, waiter: &Waiter, now: Instant, displaced: &mut Vec<(Left<T>, Shed)>) -> bool {
        let Bounds { band: band_bound, total } = self.bounds;
        let alone = Size { requests: 1, bytes: waiter.bytes };
        if !alone.within(&band_bound) || !alone.within(&total) {
            return false;
        }
        loop {
            let own = self.bands.get(&Reverse(waiter.priority));
            let after = own.map(Band::size).unwrap_or_default().more(1, waiter.bytes);
            let band_fits = after.within(&band_bound);
            if band_fits && self.size.more(1, waiter.bytes).within(&total) {
                return true;
            }
            let lowest = self.bands.last_key_value().filter(|(p, _)| band_fits && p.0 < waiter.priority);
            let victim = match lowest {
                Some((priority, band)) => band.largest().map(|tenant| (priority.0, tenant)),
                None => own.and_then(|band| band.greediest(waiter)).map(|tenant| (waiter.priority, tenant)),
            };
            let Some((priority, tenant)) = victim else { return false };
            let retry_after = self.retry_after(priority, now);
            let band = self.bands.get_mut(&Reverse(priority)).expect("the victim's band was just found");
            let item = band.cut(tenant).expect("the largest tenant has a request");
            self.size = self.size.less(1, item.waiter.bytes);
            displaced.push((item.into(), Shed::Displaced { retry_after }));
            self.tidy();
        }
    }

    /// Drops bands without requests: with nobody waiting, there is no turn to remember.
    fn tidy(&mut self) {
        self.bands.retain(|_, band| band.size().requests > 0);
    }
}
