//! Short slices of load on several chains in turn.
//!
//! Whatever disturbs the machine for longer than a round disturbs all chains of the round, so figures compare within a
//! round; each round begins with another chain.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use bytes::Bytes;

use crate::figures::{
    closed_loop::{ClosedLoop, Until},
    extproc::chat_body,
    samples::Samples,
};

/// Bytes of a prompt.
pub(super) const PROMPT: usize = 2 << 10;
/// Different prompts, used in turn.
const PROMPTS: u64 = 64;
const WARM_UP: Duration = Duration::from_millis(1500);

/// How the chains are loaded.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    /// Kept connections, each with one request at a time.
    pub(super) connections: usize,
    /// Rounds.
    pub(super) rounds: usize,
    /// Length of a slice.
    pub(super) slice: Duration,
}

/// One way from the client to the model servers.
struct Chain {
    load: ClosedLoop,
    pods: BTreeMap<String, u64>,
}

/// Percentiles of a slice, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slice {
    pub(super) p50: f64,
    pub(super) p99: f64,
}

/// What has been seen of three chains.
pub(super) struct Rounds {
    rounds: Vec<[Slice; 3]>,
    /// Answers by Pod, for each chain; those of the warm-up are left out.
    pub(super) pods: [BTreeMap<String, u64>; 3],
}

/// Chains that are connected and warm.
pub(super) struct Warm(Vec<Chain>);

/// Connects to three chains and warms them up.
///
/// # Errors
/// When a request fails.
pub(super) async fn warm(addresses: [SocketAddr; 3], plan: Plan) -> Result<Warm> {
    let bodies: Arc<[Bytes]> = (0..PROMPTS).map(|seed| Bytes::from(chat_body(seed, PROMPT))).collect();
    let mut chains = Vec::new();
    for address in addresses {
        let (connections, bodies) = (plan.connections, Arc::clone(&bodies));
        let mut load = ClosedLoop::connect(address, connections, "/v1/chat/completions", bodies).await?;
        load.run(Until::Elapsed(WARM_UP)).await.with_context(|| format!("the chain at {address}"))?;
        chains.push(Chain { load, pods: BTreeMap::new() });
    }
    Ok(Warm(chains))
}

impl Warm {
    /// Loads the chains.
    ///
    /// # Errors
    /// When a request fails.
    pub(super) async fn run(mut self, plan: Plan) -> Result<Rounds> {
        let mut rounds = Vec::new();
        for round in 0..plan.rounds {
            let mut slices = [Slice { p50: f64::NAN, p99: f64::NAN }; 3];
            for turn in 0..3 {
                let index = (round + turn) % 3;
                let chain = &mut self.0[index];
                let seen = chain.load.run(Until::Elapsed(plan.slice)).await;
                let seen = seen.with_context(|| format!("chain {}", ["A", "B", "C"][index]))?;
                let latencies = seen.latencies;
                slices[index] = Slice { p50: latencies.percentile(50.0), p99: latencies.percentile(99.0) };
                for pod in seen.pods {
                    *chain.pods.entry(pod).or_default() += 1;
                }
            }
            rounds.push(slices);
        }
        let mut pods = self.0.into_iter().map(|chain| chain.pods);
        Ok(Rounds { rounds, pods: std::array::from_fn(|_| pods.next().unwrap_or_default()) })
    }
}

impl Rounds {
    /// The median over the rounds of what is computed of each.
    pub(super) fn median(&self, of: impl Fn(&[Slice; 3]) -> f64) -> f64 {
        self.rounds.iter().map(of).collect::<Samples>().median()
    }

    /// The chains' medians, for people.
    pub(super) fn medians(&self, of: impl Fn(&Slice) -> f64) -> String {
        let of = [0, 1, 2].map(|chain| format!("{:.2}", self.median(|round| of(&round[chain]))));
        format!("{} ms", of.join(" / "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_are_compared_within_a_round() {
        let slice = |p50: f64| Slice { p50, p99: 2.0 * p50 };
        // The second round is disturbed.
        let rounds = [1.0, 10.0, 2.0].map(|noise| [slice(noise), slice(2.0 * noise), slice(3.0 * noise)]);
        let rounds = Rounds { rounds: rounds.to_vec(), pods: Default::default() };
        assert_eq!(rounds.median(|[_, b, c]| c.p50 / b.p50), 1.5);
        assert_eq!(rounds.medians(|slice| slice.p99), "4.00 / 8.00 / 12.00 ms");
    }
}
