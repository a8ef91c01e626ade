//! The model servers of the comparison, and what they can do.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::Result;

use crate::{
    figures::manifests::{MODEL_PORT, pod_name, pool},
    simulator::{
        PodConfig,
        engine::{Engine, Job},
    },
};

/// Name of the pool and of its model.
pub(super) const MODEL: &str = "compared";
/// Tokens of every answer.
pub(super) const OUTPUT: usize = 100;
/// Tokens of prompts.
pub(super) const PROMPT: std::ops::RangeInclusive<usize> = 300..=1_300;
/// The servers are this many times as fast as the accelerators that they stand for, so that three minutes are enough
/// requests.
pub(super) const FASTER: f64 = 6.0;
/// Requests that a server runs at a time.
const BATCH: usize = 8;

/// Class as the Pod says it, and profile of the simulator: what a public measurement of llm-d-router had.
const SERVERS: [(&str, &str); 3] =
    [("nvidia-h100-80gb", "h100"), ("nvidia-a100-80gb", "a100"), ("nvidia-l40s", "l40s")];

/// How many there are.
pub(super) const COUNT: u8 = SERVERS.len() as u8;

/// The servers on these addresses.
pub(super) fn servers(addresses: &[IpAddr]) -> Vec<PodConfig> {
    let server = |(address, (_, profile)): (&IpAddr, &(&str, &str))| PodConfig {
        profile: (*profile).to_owned(),
        speed: FASTER,
        max_num_seqs: BATCH,
        ..PodConfig::new(&pod_name(MODEL, *address), SocketAddr::new(*address, MODEL_PORT), MODEL)
    };
    addresses.iter().zip(&SERVERS).map(server).collect()
}

/// The pool with a Pod on each of these addresses, and what each computes on.
pub(super) fn manifest(addresses: &[IpAddr]) -> String {
    let mut text = pool(MODEL, addresses);
    for (address, (class, _)) in addresses.iter().zip(&SERVERS) {
        let name = format!("  name: {}\n", pod_name(MODEL, *address));
        let annotated = format!("{name}  annotations:\n    signalbox.dev/accelerator: {class}\n");
        text = text.replacen(&name, &annotated, 1);
    }
    text
}

/// The accelerator of a Pod, for people.
pub(super) fn accelerator(pod: &str, addresses: &[IpAddr]) -> &'static str {
    let named = addresses.iter().zip(&SERVERS).find(|(address, _)| pod == pod_name(MODEL, **address));
    named.map_or("?", |(_, (_, profile))| profile)
}

/// Requests a second that these servers end while they always have enough of them, played without time.
///
/// # Errors
/// When a profile is not known.
pub(super) fn capacity(servers: &[PodConfig]) -> Result<f64> {
    const REQUESTS: usize = 400;
    let mut all = 0.0;
    for server in servers {
        let mut engine = Engine::new(server, server.speed()?);
        let mut random = fastrand::Rng::with_seed(99);
        for _ in 0..REQUESTS {
            let prompt = (0..random.usize(PROMPT)).map(|_| random.u32(..)).collect();
            let job =
                Job { prompt, max_tokens: OUTPUT, natural_end: usize::MAX, adapter: None, salt: 0, seed: 0 };
            engine.submit(job, Duration::ZERO);
        }
        let mut now = Duration::ZERO;
        while let Some(end) = engine.begin_step(now) {
            now = end;
            engine.end_step(now);
        }
        all += REQUESTS as f64 / now.as_secs_f64();
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pod_says_what_it_computes_on() {
        let addresses: Vec<IpAddr> = (1..=COUNT).map(|n| IpAddr::from([127, 0, 0, n])).collect();
        let text = manifest(&addresses);
        for (class, profile) in SERVERS {
            assert_eq!(text.matches(&format!("signalbox.dev/accelerator: {class}\n")).count(), 1);
            assert!(addresses.iter().any(|a| accelerator(&pod_name(MODEL, *a), &addresses) == profile));
        }
    }

    #[test]
    fn what_the_servers_can_do_follows_from_their_constants() {
        let addresses: Vec<IpAddr> = (1..=COUNT).map(|n| IpAddr::from([127, 0, 0, n])).collect();
        let servers = servers(&addresses);
        // A request of the H100: 30 + 800 · 0.25 ms of its prompt, and an eighth of 100 steps of 13.75 ms.
        let alone = capacity(&servers[..1]).unwrap() / FASTER;
        assert!((alone * (0.230 + 0.172) - 1.0).abs() < 0.05, "{alone}");
        let all = capacity(&servers).unwrap() / FASTER;
        assert!((4.6..5.2).contains(&all), "{all}");
    }
}
