//! What one peer tells, taken into the slots and the prefix index. Dropping it takes its work out again.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Instant;

use proto::peers::v1::{self, FollowResponse};

use crate::pool::{Pools, Slot, Standing};
use crate::prefix::MAX_BLOCKS;

/// More than a picker can have at an endpoint; what is above is cut, so that sums cannot overflow.
const MOST_REQUESTS: u32 = 1_000_000;
const MOST_TOKENS: u64 = 1 << 40;
/// Ten minutes of prefill that were queued between two messages.
const MOST_QUEUED: i64 = 600_000_000;
/// Entries of endpoints that are gone are looked for when there are this many, and twice as many as there were.
const FIRST_SWEEP: usize = 256;

/// What was not used of a message, and what was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Blocks of prompts.
    pub blocks: u64,
    /// Endpoints that are not known here.
    pub unknown: u64,
    /// Parts that mean nothing.
    pub malformed: u64,
    /// Prompts that the peer did not tell.
    pub missed: u64,
}

/// One peer, while it is heard.
#[derive(Debug)]
pub struct Heard {
    pools: Pools,
    standings: HashMap<SocketAddr, (Weak<Slot>, Standing)>,
    sweep_at: usize,
    /// For the drop.
    last: Instant,
}

impl Heard {
    /// A peer that has told nothing yet.
    #[must_use]
    pub fn new(pools: &Pools, now: Instant) -> Self {
        Self { pools: pools.clone(), standings: HashMap::new(), sweep_at: FIRST_SWEEP, last: now }
    }

    /// Takes in what the peer tells.
    pub fn hear(&mut self, response: &FollowResponse, now: Instant) -> Taken {
        self.last = now;
        let mut taken = Taken { missed: response.missed, ..Taken::default() };
        for told in &response.standings {
            match told.address.parse::<SocketAddr>() {
                Ok(address) => self.stand(address, told, now, &mut taken),
                Err(_) => taken.malformed += 1,
            }
        }
        for sent in &response.sent {
            self.record(sent, &mut taken);
        }
        if self.standings.len() >= self.sweep_at {
            self.standings.retain(|_, (slot, _)| slot.strong_count() > 0);
            self.sweep_at = FIRST_SWEEP.max(2 * self.standings.len());
        }
        taken
    }

    fn stand(&mut self, address: SocketAddr, told: &v1::Standing, now: Instant, taken: &mut Taken) {
        let after = Standing {
            requests: told.requests.min(MOST_REQUESTS),
            prompt_tokens: told.prompt_tokens.min(MOST_TOKENS),
            prefill_tokens: told.prefill_tokens.min(MOST_TOKENS),
            decode_tokens: told.decode_tokens.min(MOST_TOKENS),
            queued_micros: told.queued_micros,
        };
        let known = self.standings.get(&address).and_then(|(slot, before)| Some((slot.upgrade()?, *before)));
        // What was queued before the endpoint was first told of is not known.
        let fresh = || {
            let before = Standing { queued_micros: after.queued_micros, ..Standing::default() };
            Some((self.pools.slot(address)?, before))
        };
        let Some((slot, before)) = known.or_else(fresh) else {
            taken.unknown += 1;
            return;
        };
        let queued = after.queued_micros.wrapping_sub(before.queued_micros) as i64;
        slot.replace(&before, &after, queued.clamp(-MOST_QUEUED, MOST_QUEUED), now);
        self.standings.insert(address, (Arc::downgrade(&slot), after));
    }

    fn record(&self, sent: &v1::Sent, taken: &mut Taken) {
        let tokens = sent.block_tokens;
        let Some(address) = sent.address.parse().ok().filter(|_| tokens.is_finite() && tokens >= 0.0) else {
            taken.malformed += 1;
            return;
        };
        let Some(slot) = self.pools.slot(address) else {
            taken.unknown += 1;
            return;
        };
        if let Some(held) = slot.held() {
            let blocks = &sent.blocks[..sent.blocks.len().min(MAX_BLOCKS)];
            held.record(blocks, tokens, slot.kv_tokens());
            taken.blocks += blocks.len() as u64;
        }
    }
}

impl Drop for Heard {
    /// The peer is gone: nothing of it is in flight, as far as is known.
    fn drop(&mut self) {
        for (slot, before) in self.standings.values() {
            if let Some(slot) = slot.upgrade() {
                slot.replace(before, &Standing::default(), 0, self.last);
            }
        }
    }
}
