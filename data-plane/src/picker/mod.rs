//! The choice of endpoint, in expected seconds.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use crate::outcome::Outcome;
use crate::pool::Pool;

/// What is asked.
#[derive(Debug)]
pub struct Ask<'a> {
    /// Model.
    pub model: &'a str,
    /// Prompt tokens.
    pub prompt_tokens: u32,
    /// Max tokens.
    pub max_tokens: Option<u32>,
    /// Priority.
    pub priority: i32,
    /// Subset.
    pub subset: Option<&'a [SubsetEntry]>,
    /// Prefix blocks.
    pub blocks: &'a [u64],
}

/// One entry of a subset hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubsetEntry {
    /// Address.
    pub ip: IpAddr,
    /// Port; none admits every port.
    pub port: Option<u16>,
}

/// A pick.
#[derive(Debug)]
pub struct Pick {
    /// First choice then fallbacks.
    pub endpoints: SmallVec<[SocketAddr; 4]>,
    /// Guard.
    pub outcome: Outcome,
    /// Expected time to first token.
    pub expected_ttft: Duration,
}

/// No pick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// No snapshot.
    NotSynced,
    /// No endpoints.
    NoEndpoints,
    /// Subset empty.
    SubsetEmpty,
    /// Does not fit.
    DoesNotFit {
        /// Tokens needed.
        needed: u32,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSynced => f.write_str("the pool is not loaded yet"),
            Self::NoEndpoints => f.write_str("the pool has no ready endpoint"),
            Self::SubsetEmpty => f.write_str("no ready endpoint of the pool is in the requested subset"),
            Self::DoesNotFit { needed } => write!(f, "no endpoint can hold {needed} tokens"),
        }
    }
}

impl Refusal {
    /// Reason.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotSynced => "not-synced",
            Self::NoEndpoints => "no-endpoints",
            Self::SubsetEmpty => "subset-empty",
            Self::DoesNotFit { .. } => "does-not-fit",
        }
    }
    /// HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::DoesNotFit { .. } => 400,
            _ => 503,
        }
    }
}

/// Picks.
pub fn pick(
    pool: &Arc<Pool>,
    ask: &Ask<'_>,
    _now: Instant,
    _rng: &mut fastrand::Rng,
) -> Result<Pick, Refusal> {
    let snapshot = pool.snapshot();
    if snapshot.endpoints.is_empty() {
        return Err(Refusal::NoEndpoints);
    }
    let admitted = |e: &SocketAddr| {
        ask.subset.is_none_or(|s| s.iter().any(|s| s.ip == e.ip() && s.port.is_none_or(|p| p == e.port())))
    };
    let mut endpoints: SmallVec<[SocketAddr; 4]> =
        snapshot.endpoints.iter().filter(|e| admitted(e)).copied().collect();
    if endpoints.is_empty() {
        return Err(Refusal::SubsetEmpty);
    }
    let n = pool.next.fetch_add(1, Ordering::Relaxed) % endpoints.len();
    endpoints.rotate_left(n);
    endpoints.truncate(2);
    Ok(Pick { endpoints, outcome: Outcome::begin(&pool.in_flight), expected_ttft: Duration::ZERO })
}
