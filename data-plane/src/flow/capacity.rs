//! How many further requests fit into a pool: the sum of what is free at its endpoints, not a mean of ratios.
//!
//! | an endpoint whose signals are | counts as |
//! |---|---|
//! | fresh | its batch and a few that wait there, less what runs and waits, ours, peers' and others'; nothing while its KV cache is full |
//! | old, or not there yet | its batch, as last known, less our own requests |
//! | failing (scrapes or requests) | nothing while another does not fail |
//!
//! | all endpoints | the pool is |
//! |---|---|
//! | fail | open: the model servers say themselves what they think of a request |
//! | have old signals | open: nothing that is known holds |
//! | have no signals yet | counted as above for [`BLIND`], then open: these model servers do not tell |
//! | are not ready, do not answer (prefill, encode), or there are none | empty: requests wait for endpoints, if they may |
//!
//! Our own requests are counted when they are picked, so an endpoint fills up here before any scrape sees it. A batch
//! that is taken too small is found out: an endpoint is always offered a few more than it runs, and those that it runs
//! prove its batch.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::accelerator::Profile;
use crate::pool::{Endpoint, Freshness, Load, Snapshot};

use super::among::Among;
use super::settings::Fullness;

/// Model servers that have told nothing for so long are taken not to tell.
pub(super) const BLIND: Duration = Duration::from_secs(2);

/// What is free at one endpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Free {
    /// Requests.
    pub(super) requests: u32,
    /// Tokens in the KV cache; infinite when that is not known, or when the endpoint has nothing to do.
    tokens: f32,
    /// Requests that it takes in all.
    limit: u32,
}

impl Free {
    const NOTHING: Self = Self { requests: 0, tokens: 0.0, limit: 0 };

    fn of(endpoint: &Endpoint, load: &Load, fresh: bool, fullness: &Fullness) -> Self {
        let waiting_room = if fresh { fullness.queue } else { 0 };
        let limit = slots(&endpoint.profile(), load).saturating_add(waiting_room);
        let used = load.in_all();
        let tokens = match (load.kv_used, load.kv_tokens) {
            _ if used == 0 => f32::INFINITY,
            (Some(used), Some(capacity)) => (fullness.kv - used) * capacity as f32,
            (Some(used), None) if used >= fullness.kv => 0.0,
            _ => f32::INFINITY,
        };
        Self { requests: limit.saturating_sub(used), tokens, limit }
    }

    /// Whether a request of `tokens` fits.
    fn fits(&self, tokens: f32) -> bool {
        self.requests > 0 && self.tokens > 0.0 && self.tokens >= tokens
    }
}

/// Requests that run together: as seen while others waited, else as the profile says, and no fewer than do run.
fn slots(profile: &Profile, load: &Load) -> u32 {
    let known = load.learned_slots.unwrap_or(profile.useful_batch as u32);
    known.max(load.running.unwrap_or(0)).max(1)
}

/// What a look at a pool says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It counts.
    Counted,
    /// It counts, but no endpoint has told anything yet.
    Blind,
    /// Everything fits, as far as is known.
    Open,
    /// No endpoint is ready.
    Empty,
}

/// What was seen of the endpoints.
#[derive(Default)]
struct Seen {
    ready: u32,
    eligible: u32,
    failing: u32,
    fresh: u32,
    never: u32,
}

impl Seen {
    fn state(&self) -> State {
        match self {
            Self { ready: 0, .. } => State::Empty,
            // The picker says that none may serve the request.
            Self { eligible: 0, .. } => State::Open,
            _ if self.failing == self.eligible => State::Open,
            Self { fresh: 0, never: 0, .. } => State::Open,
            Self { fresh: 0, .. } => State::Blind,
            _ => State::Counted,
        }
    }

    /// What is free at the endpoint at `index`, if it is eligible.
    fn look(
        &mut self,
        (snapshot, index): (&Snapshot, usize),
        among: &Among<'_>,
        fullness: &Fullness,
        now: Instant,
    ) -> Option<Free> {
        if !snapshot.serves(index) {
            return None;
        }
        self.ready += 1;
        let endpoint = &snapshot.endpoints[index];
        if !among.allows(endpoint) {
            return None;
        }
        self.eligible += 1;
        if endpoint.slot.is_failing(now) {
            self.failing += 1;
            return Some(Free::NOTHING);
        }
        let freshness = endpoint.slot.freshness(now);
        self.fresh += u32::from(freshness == Freshness::Fresh);
        self.never += u32::from(freshness == Freshness::Never);
        Some(Free::of(endpoint, &endpoint.slot.load(now), freshness == Freshness::Fresh, fullness))
    }
}

/// A question to [`fits`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    /// Tokens of the request.
    pub(super) tokens: u32,
    /// What it is limited to.
    pub(super) among: Among<'a>,
    /// Requests that were let through and are not counted at an endpoint yet.
    pub(super) ahead: u32,
}

/// Whether one more request fits; looks no further than it has to. An endpoint is found at once unless the pool is
/// nearly full. Without an answer of its own, the state of the pool is told.
pub(super) fn fits(
    snapshot: &Snapshot,
    wanted: &Wanted<'_>,
    fullness: &Fullness,
    now: Instant,
    from: usize,
) -> Result<bool, State> {
    let count = snapshot.endpoints.len();
    let from = from % count.max(1);
    let mut seen = Seen::default();
    let mut free = 0;
    for index in (from..count).chain(0..from) {
        if let Some(here) = seen.look((snapshot, index), &wanted.among, fullness, now)
            && here.fits(tokens(wanted.tokens, &snapshot.endpoints[index], fullness))
        {
            free += here.requests;
            if free > wanted.ahead {
                return Ok(true);
            }
        }
    }
    match seen.state() {
        State::Counted => Ok(false),
        state => Err(state),
    }
}

/// Tokens to look for: a request that is larger than the endpoint waits until it has nothing to do.
fn tokens(wanted: u32, endpoint: &Endpoint, fullness: &Fullness) -> f32 {
    let most = endpoint.slot.kv_tokens().map_or(f32::INFINITY, |tokens| tokens as f32 * fullness.kv);
    (wanted as f32).min(most)
}

/// What is free in a pool at one moment, to give away piece by piece.
#[derive(Debug, Default)]
pub(super) struct Stock {
    snapshot: Arc<Snapshot>,
    free: Vec<Free>,
    total: u32,
    limit: u32,
    fullness: Option<Fullness>,
}

impl Stock {
    /// Counts anew, keeping its memory.
    pub(super) fn take(&mut self, snapshot: Arc<Snapshot>, fullness: &Fullness, now: Instant) -> State {
        let mut seen = Seen::default();
        let anyone = Among::default();
        let look = |index| seen.look((&snapshot, index), &anyone, fullness, now).unwrap_or(Free::NOTHING);
        self.free.clear();
        self.free.extend((0..snapshot.endpoints.len()).map(look));
        self.total = self.free.iter().filter(|free| free.tokens > 0.0).map(|free| free.requests).sum();
        self.limit = self.free.iter().fold(0, |sum, free| sum.saturating_add(free.limit));
        self.snapshot = snapshot;
        self.fullness = Some(*fullness);
        seen.state()
    }

    /// Forgets the snapshot, so that its endpoints are not kept.
    pub(super) fn put_away(&mut self) {
        self.snapshot = Arc::default();
    }

    /// Requests that the pool takes in all.
    pub(super) fn limit(&self) -> u32 {
        self.limit
    }

    /// Further requests that fit.
    pub(super) fn total(&self) -> u32 {
        self.total
    }

    /// Share of what the pool takes that is taken, 0 to 1.
    pub(super) fn saturation(&self) -> f64 {
        if self.limit == 0 { 1.0 } else { 1.0 - f64::from(self.total) / f64::from(self.limit) }
    }

    /// Takes one request's place at the emptiest endpoint that has room for it.
    pub(super) fn reserve(&mut self, wanted: u32, among: &Among<'_>) -> Reserved {
        let Some(fullness) = self.fullness else { return Reserved::No };
        let (mut best, mut eligible, mut others) = (None, false, false);
        for (index, (free, endpoint)) in self.free.iter().zip(&self.snapshot.endpoints).enumerate() {
            if !self.snapshot.serves(index) {
                continue;
            }
            if !among.allows(endpoint) {
                others |= free.requests > 0;
                continue;
            }
            eligible = true;
            if free.fits(tokens(wanted, endpoint, &fullness)) {
                best = best.max(Some((free.requests, index)));
            }
        }
        let index = match best {
            Some((_, index)) => index,
            // The picker says that none may serve it.
            None if !eligible => return Reserved::Yes,
            None if others => return Reserved::Elsewhere,
            None => return Reserved::No,
        };
        let free = &mut self.free[index];
        free.requests -= 1;
        if free.tokens == f32::INFINITY {
            let capacity = self.snapshot.endpoints[index].slot.kv_tokens();
            free.tokens = capacity.map_or(f32::INFINITY, |tokens| tokens as f32 * fullness.kv);
        }
        free.tokens -= wanted as f32;
        self.total -= 1;
        Reserved::Yes
    }
}

/// What comes of the wish for a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reserved {
    /// It has one.
    Yes,
    /// All places that are free are at endpoints that may not serve it.
    Elsewhere,
    /// There is none.
    No,
}
