//! One priority's waiting requests: tenants take turns, the earliest due of a tenant goes first.
//!
//! ```text
//! tenant a ▶ due, due, due ┐                       each turn costs its request's tokens
//! tenant b ▶ due           ├─ least served first ─▶ (start-time fair queueing: Goyal, Vin, Cheng 1996)
//! tenant c ▶ due, due      ┘
//! ```
//! A tenant that comes back starts at the band's clock: who did not ask has saved nothing, and who was served ahead of
//! its share waits until the others have caught up.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use super::super::settings::Size;
use super::super::waiter::Waiter;

/// Tenants without waiting requests whose service is still remembered; the least served is forgotten first.
const RESTED: usize = 4_096;
/// The share of a tenant that fills a band alone.
const WHOLE: u128 = 1 << 32;

/// Position in a tenant's line: due time, then order of arrival.
pub(super) type Place = (Instant, u64);

#[derive(Debug)]
pub(super) struct Item<T> {
    pub(super) waiter: Waiter,
    pub(super) payload: T,
}

#[derive(Debug)]
struct Tenant<T> {
    items: BTreeMap<Place, Item<T>>,
    bytes: usize,
    /// Virtual time at which its next turn starts, in tokens.
    turn: u64,
    /// Its share of the band as last indexed.
    share: u64,
}

#[derive(Debug)]
pub(super) struct Band<T> {
    tenants: HashMap<u64, Tenant<T>>,
    /// (turn, tenant) of tenants with waiting requests.
    turns: BTreeSet<(u64, u64)>,
    /// (share, tenant) of the same.
    shares: BTreeSet<(u64, u64)>,
    /// (turn, tenant) of the others.
    rested: BTreeSet<(u64, u64)>,
    clock: u64,
    size: Size,
    bound: Size,
}

impl<T> Band<T> {
    pub(super) fn new(bound: Size) -> Self {
        Self {
            tenants: HashMap::new(),
            turns: BTreeSet::new(),
            shares: BTreeSet::new(),
            rested: BTreeSet::new(),
            clock: 0,
            size: Size::default(),
            bound,
        }
    }

    /// What waits here.
    pub(super) fn size(&self) -> Size {
        self.size
    }

    /// The bound for requests that come from now on.
    pub(super) fn set_bound(&mut self, bound: Size) {
        self.bound = bound;
    }

    pub(super) fn push(&mut self, place: Place, item: Item<T>) {
        self.change(item.waiter.tenant, |tenant| {
            tenant.bytes += item.waiter.bytes;
            tenant.items.insert(place, item);
        });
    }

    /// Takes out one request.
    pub(super) fn remove(&mut self, tenant: u64, place: &Place) -> Option<Item<T>> {
        if !self.tenants.contains_key(&tenant) {
            return None;
        }
        self.change(tenant, |tenant| tenant.remove(place))
    }

    /// The request at `place`.
    pub(super) fn get(&self, tenant: u64, place: &Place) -> Option<&Waiter> {
        Some(&self.tenants.get(&tenant)?.items.get(place)?.waiter)
    }

    /// Whose turn it is, of those that are not `passed` over, and with which request.
    pub(super) fn next(&self, passed: &[u64]) -> Option<(u64, &Waiter)> {
        let (_, tenant) = self.turns.iter().find(|(_, tenant)| !passed.contains(tenant))?;
        let (_, item) = self.tenants[tenant].items.first_key_value()?;
        Some((*tenant, &item.waiter))
    }

    /// Takes the first request of `tenant`, whose turn it is.
    pub(super) fn serve(&mut self, tenant: u64) -> Option<Item<T>> {
        let (item, turn) = self.change(tenant, |tenant| {
            let place = *tenant.items.first_key_value()?.0;
            let item = tenant.remove(&place)?;
            let turn = tenant.turn;
            tenant.turn = turn.saturating_add(u64::from(item.waiter.tokens).max(1));
            Some((item, turn))
        })?;
        self.clock = self.clock.max(turn);
        self.forget();
        Some(item)
    }

    /// The tenant with the largest share, if it is larger than that of `waiter`'s tenant would be with it.
    pub(super) fn greediest(&self, waiter: &Waiter) -> Option<u64> {
        let own = self.tenants.get(&waiter.tenant);
        let (requests, bytes) = own.map_or((0, 0), |own| (own.items.len(), own.bytes));
        let own = self.share(requests + 1, bytes + waiter.bytes);
        let (share, tenant) = self.shares.last()?;
        (*share > own && *tenant != waiter.tenant).then_some(*tenant)
    }

    /// The tenant with the largest share.
    pub(super) fn largest(&self) -> Option<u64> {
        self.shares.last().map(|(_, tenant)| *tenant)
    }

    /// Takes out the last request of `tenant`.
    pub(super) fn cut(&mut self, tenant: u64) -> Option<Item<T>> {
        self.change(tenant, |tenant| {
            let place = *tenant.items.last_key_value()?.0;
            tenant.remove(&place)
        })
    }

    /// Takes out everything.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Item<T>> + use<T> {
        let tenants = std::mem::take(&mut self.tenants);
        *self = Self::new(self.bound);
        tenants.into_values().flat_map(|tenant| tenant.items.into_values())
    }

    fn share(&self, requests: usize, bytes: usize) -> u64 {
        let part = |held: usize, bound: usize| held as u128 * WHOLE / (bound.max(1) as u128);
        let share = part(requests, self.bound.requests).max(part(bytes, self.bound.bytes));
        u64::try_from(share).unwrap_or(u64::MAX)
    }

    /// Changes one tenant, and the indices and sizes with it.
    fn change<R>(&mut self, id: u64, change: impl FnOnce(&mut Tenant<T>) -> R) -> R {
        let clock = self.clock;
        let fresh = || Tenant { items: BTreeMap::new(), bytes: 0, turn: clock, share: 0 };
        let tenant = self.tenants.entry(id).or_insert_with(fresh);
        if tenant.items.is_empty() {
            self.rested.remove(&(tenant.turn, id));
            tenant.turn = tenant.turn.max(clock);
        } else {
            self.turns.remove(&(tenant.turn, id));
            self.shares.remove(&(tenant.share, id));
        }
        self.size = self.size.less(tenant.items.len(), tenant.bytes);
        let result = change(tenant);
        let (turn, requests, bytes) = (tenant.turn, tenant.items.len(), tenant.bytes);
        self.size = self.size.more(requests, bytes);
        if requests == 0 {
            self.rested.insert((turn, id));
        } else {
            let share = self.share(requests, bytes);
            self.turns.insert((turn, id));
            self.shares.insert((share, id));
            self.tenants.get_mut(&id).expect("it was inserted above").share = share;
        }
        result
    }

    /// Drops tenants whose past makes no difference any more, and some of the others when they are many.
    fn forget(&mut self) {
        while let Some((turn, tenant)) = self.rested.first().copied()
            && (turn <= self.clock || self.rested.len() > RESTED)
        {
            self.rested.pop_first();
            self.tenants.remove(&tenant);
        }
    }
}

impl<T> Tenant<T> {
    fn remove(&mut self, place: &Place) -> Option<Item<T>> {
        let item = self.items.remove(place)?;
        self.bytes -= item.waiter.bytes;
        Some(item)
    }
}
