//! What the whole path costs a request, beside what the architecture must cost and beside Envoy alone.
//!
//! ```text
//!           ┌─▶ A  Envoy alone ───────────────────────────────┐
//! 8 kept ───┼─▶ B  Envoy as we configure it ─ naive picker ───┼─▶ the same model servers
//! connections └▶ C  Envoy as we configure it ─ our picker ────┘
//! ```
//!
//! One chain is loaded at a time, in short slices that alternate; ratios are taken within a round of three slices, so
//! that what disturbs the machine for longer than a round disturbs all three.

mod alone;

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;

use super::{
    closed_loop::{ClosedLoop, Until},
    context::Context,
    extproc::chat_body,
    figure::{Aim, Figure},
    installation::{Installation, Picks},
    process,
    samples::Samples,
};
use crate::{
    loopback::Block,
    simulator::PodConfig,
    stack::{Directory, EXAMPLE, Example},
};

/// The figures' names.
pub(super) const NAMES: &[&str] = &[
    "path_p50_ratio",
    "path_p99_ratio",
    "added_ms_p50",
    "added_ms_p99",
    "rss_mb_control_plane",
    "rss_mb_picker",
];

const GATEWAY_PORT: u16 = Block::GATEWAY_PORT;
const CONNECTIONS: usize = 8;
const SLICE: Duration = Duration::from_millis(700);
const ROUNDS: usize = 36;
const WARM_UP: Duration = Duration::from_secs(2);
const PROMPT: usize = 2 << 10;
/// Different prompts, used in turn.
const PROMPTS: u64 = 64;

/// One way from the client to the model servers.
struct Chain {
    load: ClosedLoop,
    p50: Samples,
    p99: Samples,
    /// Answers by Pod.
    pods: BTreeMap<String, u64>,
}

/// Percentiles of a slice, in milliseconds.
#[derive(Clone, Copy)]
struct Slice {
    p50: f64,
    p99: f64,
}

/// Measures them.
///
/// # Errors
/// When a part does not start, a request fails, or a chain is not what it should be.
pub(super) async fn measure(context: &Context) -> Result<Vec<Figure>> {
    let dir = context.directory("path")?;
    let Example { manifests, pods, block } = Example::relocated()?;
    let pods: Vec<_> = pods.into_iter().map(instant).collect();
    let _servers = context.model_servers("model-server", &pods, &dir).await?;
    let gemma: Vec<_> = pods.iter().filter(|pod| pod.name.starts_with("gemma3-")).collect();
    let upstreams: Vec<_> = gemma.iter().flat_map(|pod| pod.listen.clone()).collect();
    let [alone, with_naive, with_ours] = [50, 51, 1].map(|n| SocketAddr::new(block.address(n), GATEWAY_PORT));
    let _alone = alone::start(context, alone, &upstreams, &dir).await?;
    let copy = copy(&manifests, with_ours.ip(), with_naive.ip())?;
    let mut naive = Installation::of(context, "path-naive", copy, with_naive, Picks::Naive(upstreams[0]))?;
    naive.start("chatbot").await?;
    let mut ours = Installation::of(context, "path-ours", manifests, with_ours, Picks::Ours)?;
    ours.start("chatbot").await?;
    let mut chains = Vec::new();
    for address in [alone, with_naive, with_ours] {
        chains.push(Chain::to(address).await?);
    }
    for chain in &mut chains {
        chain.load.run(Until::Elapsed(WARM_UP)).await?;
    }
    let picked = ours.picked().await?;
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        rounds.push(run(&mut chains, round).await?);
    }
    let picked = ours.picked().await? - picked;
    ensure!(
        chains[1].pods.keys().eq([&gemma[0].name]),
        "the do-nothing picker was not asked: {:?}",
        chains[1].pods
    );
    let answered: u64 = chains[2].pods.values().sum();
    ensure!(picked == answered, "our picker has picked {picked} times for {answered} requests");
    let mut figures = compare(&chains, &rounds);
    figures.extend(resident(&ours)?);
    naive.end().await?;
    ours.end().await?;
    Ok(figures)
}

/// The Pod with no time in it.
fn instant(pod: PodConfig) -> PodConfig {
    PodConfig { profile: "instant".to_owned(), max_num_seqs: 256, ..pod }
}

/// The same manifests with the Gateway on another address.
fn copy(manifests: &Directory, from: IpAddr, to: IpAddr) -> Result<Directory> {
    let copy = Directory::new()?;
    for entry in fs::read_dir(manifests.path())? {
        let name = entry?.file_name();
        let name = name.to_str().context("file names are text")?;
        copy.write(name, &manifests.read(name)?)?;
    }
    copy.replace("gateway.yaml", &format!("value: {from}\n"), &format!("value: {to}\n"))?;
    Ok(copy)
}

/// One slice of each chain, beginning with another one in every round.
async fn run(chains: &mut [Chain], round: usize) -> Result<[Slice; 3]> {
    let mut slices = [Slice { p50: f64::NAN, p99: f64::NAN }; 3];
    for turn in 0..3 {
        let index = (round + turn) % 3;
        let chain = &mut chains[index];
        let seen = chain.load.run(Until::Elapsed(SLICE)).await.with_context(|| ["A", "B", "C"][index])?;
        let slice = Slice { p50: seen.latencies.percentile(50.0), p99: seen.latencies.percentile(99.0) };
        chain.p50.push(slice.p50);
        chain.p99.push(slice.p99);
        for pod in seen.pods {
            *chain.pods.entry(pod).or_default() += 1;
        }
        slices[index] = slice;
    }
    Ok(slices)
}

fn compare(chains: &[Chain], rounds: &[[Slice; 3]]) -> Vec<Figure> {
    let over_rounds = |of: fn(&[Slice; 3]) -> f64| rounds.iter().map(of).collect::<Samples>().median();
    let medians = |of: fn(&Chain) -> &Samples| {
        let of: Vec<_> = chains.iter().map(|chain| format!("{:.2}", of(chain).median())).collect();
        format!("{} ms", of.join(" / "))
    };
    let load = format!(
        "{CONNECTIONS} kept connections in a closed loop, {} KB chat bodies, instant model servers, {ROUNDS} rounds of \
         alternating {} ms slices",
        PROMPT >> 10,
        SLICE.as_millis()
    );
    let ratio = |percentile: &str, medians: String| {
        format!(
            "our chain on {EXAMPLE} ÷ the same Envoy configuration with a do-nothing tonic picker (both asked over TLS, as \
             by default), {percentile} of each slice, median of the rounds' ratios; {load}; Envoy alone / do-nothing / \
             ours: {medians}"
        )
    };
    let added = |percentile: &str| {
        format!(
            "our chain less Envoy alone, {percentile} of each slice, median of the rounds' differences; {load}"
        )
    };
    let (p50, p99) = (medians(|chain| &chain.p50), medians(|chain| &chain.p99));
    vec![
        Figure::new(NAMES[0], over_rounds(|[_, b, c]| c.p50 / b.p50), "ratio", ratio("p50", p50))
            .aim(Aim::AtMost(1.1)),
        Figure::new(NAMES[1], over_rounds(|[_, b, c]| c.p99 / b.p99), "ratio", ratio("p99", p99))
            .aim(Aim::AtMost(1.2)),
        Figure::new(NAMES[2], over_rounds(|[a, _, c]| c.p50 - a.p50), "ms", added("p50"))
            .baseline("do-nothing picker", over_rounds(|[a, b, _]| b.p50 - a.p50)),
        Figure::new(NAMES[3], over_rounds(|[a, _, c]| c.p99 - a.p99), "ms", added("p99"))
            .baseline("do-nothing picker", over_rounds(|[a, b, _]| b.p99 - a.p99)),
    ]
}

fn resident(ours: &Installation<'_>) -> Result<Vec<Figure>> {
    let how = format!("VmRSS after the load of path_p50_ratio, on {EXAMPLE}");
    let of = |child: &Option<super::child::Child>| {
        process::resident_mb(child.as_ref().context("the part runs")?.pid())
    };
    Ok(vec![
        Figure::new(NAMES[4], of(&ours.control_plane)?, "MB", how.clone()),
        Figure::new(NAMES[5], of(&ours.picker)?, "MB", how),
    ])
}

impl Chain {
    async fn to(address: SocketAddr) -> Result<Self> {
        let bodies: Arc<[Bytes]> = (0..PROMPTS).map(|seed| Bytes::from(chat_body(seed, PROMPT))).collect();
        let load = ClosedLoop::connect(address, CONNECTIONS, "/v1/chat/completions", bodies).await?;
        Ok(Self { load, p50: Samples::default(), p99: Samples::default(), pods: BTreeMap::new() })
    }
}
