//! What to tell a follower next.
//!
//! ```text
//! slots of the pools ─ differ from what was told, or were told a second ago ─┐
//! prompts sent since ────────────────────────────────────────────────────────┴▶ FollowResponse, until nothing is left
//! ```

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proto::peers::v1::{self, FollowResponse};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;

use crate::pool::{Endpoint, Pool, Pools, Sent, Standing};
use crate::prefix::MAX_BLOCKS;

/// An endpoint with work is told again after this.
const AGAIN: Duration = Duration::from_secs(1);
/// An endpoint that was not looked at for this long is of no pool any more.
const GONE: Duration = Duration::from_secs(3);
/// Something is told after this, even if there is nothing.
const HEARTBEAT: Duration = Duration::from_millis(250);
/// Bounds of one message: about 200 KiB and 512 KiB, and at most thrice that while what is known from before is told.
pub(super) const STANDINGS: usize = 4_096;
pub(super) const BLOCKS: usize = 65_536;

/// What one follower was told.
#[derive(Debug)]
pub struct Telling {
    instance: u64,
    picker: String,
    /// None: the endpoints of all pools.
    allowed: Option<Vec<String>>,
    pools: Pools,
    told: HashMap<SocketAddr, Told>,
    sent: Receiver<Sent>,
    /// Taken from `sent`, and not told yet because the message was full.
    held_back: Option<Sent>,
    /// Endpoints whose prompts from before are to be told.
    unknown: Vec<SocketAddr>,
    spoke: Option<Instant>,
    swept: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    standing: Standing,
    /// When it was told.
    at: Instant,
    /// When it was looked at.
    seen: Instant,
}

impl Telling {
    /// Tells a follower the endpoints of those of `pools` that are `allowed` ("namespace/name"), of all when absent. The
    /// process is `instance`, and called `picker` in logs.
    #[must_use]
    pub fn new(
        (instance, picker): (u64, &str),
        pools: &Pools,
        allowed: Option<Vec<String>>,
        now: Instant,
    ) -> Self {
        Self {
            instance,
            picker: picker.to_owned(),
            allowed,
            sent: pools.listen(),
            pools: pools.clone(),
            told: HashMap::new(),
            held_back: None,
            unknown: Vec::new(),
            spoke: None,
            swept: now,
        }
    }

    /// Also tells what endpoints hold of prompts that they were sent before, 65,536 blocks of each at most.
    #[must_use]
    pub fn with_known(mut self) -> Self {
        let pools = self.allowed();
        let endpoints =
            |pool: &Arc<Pool>| pool.snapshot().endpoints.iter().map(Endpoint::address).collect::<Vec<_>>();
        self.unknown = pools.iter().flat_map(endpoints).collect();
        self
    }

    /// The next message, if something is to be told at `now`. To be asked until there is none, then again a little later.
    pub fn next(&mut self, now: Instant) -> Option<FollowResponse> {
        let pools = self.allowed();
        let mut response = FollowResponse {
            instance: self.instance,
            picker: self.picker.clone(),
            ..FollowResponse::default()
        };
        for pool in &pools {
            self.standings(pool, &mut response.standings, now);
        }
        self.sweep(&mut response.standings, now);
        self.known(&mut response.sent);
        self.prompts(&pools, &mut response);
        let quiet = response.standings.is_empty() && response.sent.is_empty() && response.missed == 0;
        let due = self.spoke.is_none_or(|spoke| now.saturating_duration_since(spoke) >= HEARTBEAT);
        if quiet && !due {
            return None;
        }
        self.spoke = Some(now);
        Some(response)
    }

    fn allowed(&self) -> Vec<Arc<Pool>> {
        match &self.allowed {
            None => self.pools.all(),
            Some(allowed) => allowed.iter().filter_map(|key| self.pools.get(key)).collect(),
        }
    }

    fn standings(&mut self, pool: &Pool, standings: &mut Vec<v1::Standing>, now: Instant) {
        for endpoint in &pool.peek().endpoints {
            let address = endpoint.address();
            let standing = endpoint.slot.standing();
            let told = self.told.entry(address).or_insert_with(|| Told {
                standing: Standing::default(),
                at: now,
                seen: now,
            });
            told.seen = now;
            let again = !standing.is_idle() && now.saturating_duration_since(told.at) >= AGAIN;
            if (standing != told.standing || again) && standings.len() < STANDINGS {
                (told.standing, told.at) = (standing, now);
                standings.push(message(address, &standing));
            }
        }
    }

    /// Endpoints that left have nothing, as far as the follower is told.
    fn sweep(&mut self, standings: &mut Vec<v1::Standing>, now: Instant) {
        if now.saturating_duration_since(self.swept) < AGAIN {
            return;
        }
        self.swept = now;
        self.told.retain(|address, told| {
            let gone = now.saturating_duration_since(told.seen) >= GONE;
            if gone && !told.standing.is_idle() {
                let nothing = Standing { queued_micros: told.standing.queued_micros, ..Standing::default() };
                standings.push(message(*address, &nothing));
            }
            !gone
        });
    }

    fn known(&mut self, sent: &mut Vec<v1::Sent>) {
        let mut blocks = 0;
        while blocks < BLOCKS
            && let Some(address) = self.unknown.pop()
        {
            let Some(slot) = self.pools.slot(address) else { continue };
            let Some((known, block_tokens)) = slot.held().map(|held| held.known(BLOCKS)) else { continue };
            blocks += known.len();
            sent.extend(known.chunks(MAX_BLOCKS).rev().map(|piece| v1::Sent {
                address: address.to_string(),
                blocks: piece.to_vec(),
                block_tokens,
            }));
        }
    }

    fn prompts(&mut self, pools: &[Arc<Pool>], response: &mut FollowResponse) {
        let mut blocks = 0;
        loop {
            let sent = match self.held_back.take().map_or_else(|| self.sent.try_recv(), Ok) {
                Ok(sent) => sent,
                Err(TryRecvError::Lagged(missed)) => {
                    response.missed += missed;
                    continue;
                }
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            };
            blocks += sent.blocks.len();
            if blocks > BLOCKS && !response.sent.is_empty() {
                self.held_back = Some(sent);
                return;
            }
            if pools.iter().any(|pool| pool.peek().find(sent.address).is_some()) {
                response.sent.push(v1::Sent {
                    address: sent.address.to_string(),
                    blocks: sent.blocks.to_vec(),
                    block_tokens: sent.block_tokens,
                });
            }
        }
    }
}

fn message(address: SocketAddr, standing: &Standing) -> v1::Standing {
    let Standing { requests, prompt_tokens, prefill_tokens, decode_tokens, queued_micros } = *standing;
    let address = address.to_string();
    v1::Standing { address, requests, prompt_tokens, prefill_tokens, decode_tokens, queued_micros }
}
