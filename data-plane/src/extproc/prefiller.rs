//! Prefill apart from decode: who computes the prompt, when the endpoint that answers should not.
//!
//! ```text
//! pick (decode) ─ many tokens not cached there? ─▶ pick among prefill endpoints ─▶ x-prefiller-host-port
//! ```
//! The sidecar at the picked endpoint reads the header, has the prompt computed there, and takes the KV cache over. A
//! client's own copy never reaches it: the header is set or taken away in every pool that has roles.

use std::sync::Arc;
use std::time::Instant;

use crate::outcome::Outcome;
use crate::picker::{self, Ask, Pick};
use crate::pool::{Pool, Role, Snapshot};

/// The header that names the endpoint for prefill, "ip:port".
pub const PREFILLER: &str = "x-prefiller-host-port";
/// Fewer tokens are computed sooner than their KV cache is moved: an H100 computes about 500 in 20 ms.
const LEAST_TOKENS: u32 = 512;

/// What becomes of the header.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Prefiller {
    /// The pool has no roles.
    #[default]
    Untold,
    /// The endpoint that answers computes the prompt itself.
    Itself,
    /// This endpoint does.
    Other(String),
}

/// Chooses who computes the prompt of `ask`, which goes to `pick`. Also answers the account at that endpoint, to be held
/// until the first byte.
pub(super) fn choose(
    pool: &Arc<Pool>,
    snapshot: &Snapshot,
    ask: &Ask<'_>,
    pick: &mut Pick,
    now: Instant,
    rng: &mut fastrand::Rng,
) -> (Prefiller, Option<Outcome>) {
    if snapshot.roles.is_empty() {
        return (Prefiller::Untold, None);
    }
    if ask.prompt_tokens.saturating_sub(pick.cached_tokens) < LEAST_TOKENS {
        return (Prefiller::Itself, None);
    }
    let ask = Ask { role: Role::Prefill, max_tokens: Some(1), ..*ask };
    match picker::pick(pool, &ask, now, rng) {
        Ok(other) => {
            pick.outcome.prefilled_elsewhere();
            (Prefiller::Other(other.endpoints[0].to_string()), Some(other.outcome))
        }
        // Slower, but answered.
        Err(_) => (Prefiller::Itself, None),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proto::tier::v1::{Endpoint, EndpointState, PoolName, PoolSnapshot, WatchResponse};

    use super::*;
    use crate::picker::SubsetEntry;
    use crate::pool::Pools;

    /// Endpoints 10.0.0.1, 10.0.0.2 and so on.
    fn pool(roles: &[&str], now: Instant) -> Arc<Pool> {
        let pools = Pools::new(now);
        let endpoint = |(host, role): (u32, &&str)| Endpoint {
            address: format!("10.0.0.{host}"),
            port: 8000,
            state: EndpointState::Ready.into(),
            labels: [("llm-d.ai/role".to_owned(), (*role).to_owned())].into(),
            ..Endpoint::default()
        };
        let name = Some(PoolName { namespace: "ns".into(), name: "a".into() });
        let endpoints = (1..).zip(roles).map(endpoint).collect();
        let changed = vec![PoolSnapshot { name, endpoints, ..PoolSnapshot::default() }];
        assert_eq!(pools.apply(WatchResponse { changed, ..WatchResponse::default() }), Vec::<String>::new());
        pools.only().unwrap()
    }

    fn chosen(pool: &Arc<Pool>, ask: &Ask<'_>, now: Instant) -> (String, Prefiller) {
        let mut rng = fastrand::Rng::with_seed(3);
        let mut pick = picker::pick(pool, ask, now, &mut rng).unwrap();
        let (prefiller, _) = choose(pool, &pool.snapshot(), ask, &mut pick, now, &mut rng);
        (pick.endpoints[0].to_string(), prefiller)
    }

    #[test]
    fn long_prompts_are_computed_elsewhere_where_there_are_roles() {
        let now = Instant::now();
        let other = |address: &str| Prefiller::Other(address.to_owned());
        let long = Ask { prompt_tokens: 4_000, ..Ask::default() };
        for (roles, tokens, prefiller) in [
            (&["decode", "prefill"][..], 4_000, other("10.0.0.2:8000")),
            (&["both", "encode-prefill", "encode"], 512, other("10.0.0.2:8000")),
            (&["decode", "prefill"], 511, Prefiller::Itself),
            (&["decode", "encode"], 4_000, Prefiller::Itself),
            (&["both"], 4_000, Prefiller::Untold),
            (&["something-else"], 4_000, Prefiller::Untold),
        ] {
            let ask = Ask { prompt_tokens: tokens, ..long };
            let answers = "10.0.0.1:8000".to_owned();
            assert_eq!(chosen(&pool(roles, now), &ask, now), (answers, prefiller), "{roles:?} {tokens}");
        }
        let subset = [SubsetEntry { ip: [10, 0, 0, 1].into(), port: None }];
        let limited = Ask { subset: Some(&subset), ..long };
        assert_eq!(chosen(&pool(&["decode", "prefill"], now), &limited, now).1, Prefiller::Itself);
        let nobody = picker::pick(&pool(&["prefill"], now), &long, now, &mut fastrand::Rng::with_seed(1));
        assert_eq!(nobody.unwrap_err(), picker::Refusal::NoEndpoints);
    }

    #[test]
    fn what_is_cached_at_the_pick_needs_nobody_else() {
        let now = Instant::now();
        let pool = pool(&["decode", "prefill"], now);
        let blocks: Vec<u64> = (1..=63).map(|n: u64| n << 32 | n).collect();
        let ask = Ask { prompt_tokens: 4_040, blocks: &blocks, block_tokens: 64.0, ..Ask::default() };
        assert_eq!(chosen(&pool, &ask, now).1, Prefiller::Other("10.0.0.2:8000".to_owned()));
        assert_eq!(chosen(&pool, &ask, now).1, Prefiller::Itself);
    }

    #[test]
    fn the_prompt_burdens_the_endpoint_that_computes_it() {
        let now = Instant::now();
        let pool = pool(&["decode", "prefill"], now);
        let ask = Ask { prompt_tokens: 4_000, ..Ask::default() };
        let mut rng = fastrand::Rng::with_seed(3);
        let mut pick = picker::pick(&pool, &ask, now, &mut rng).unwrap();
        let (_, prefill) = choose(&pool, &pool.snapshot(), &ask, &mut pick, now, &mut rng);
        let loads = || {
            let snapshot = pool.snapshot();
            [0, 1].map(|at: usize| {
                let load = snapshot.endpoints[at].slot.load(now);
                (load.own, load.prefill_tokens, load.prefill_clear_s > 0.0)
            })
        };
        assert_eq!(loads(), [(1, 0, false), (1, 4_000, true)]);
        pick.outcome.first_byte(now + Duration::from_secs(9));
        let slot = Arc::clone(&pool.snapshot().endpoints[0].slot);
        assert_eq!(slot.first_byte_ratio(), 1.0, "another's prefill says nothing about this one");
        drop(prefill);
        assert_eq!(loads(), [(1, 0, false), (0, 0, false)]);
    }
}
