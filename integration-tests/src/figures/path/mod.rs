//! What the whole path costs a request, beside what the architecture must cost and beside Envoy alone.
//!
//! ```text
//!           ┌─▶ A  Envoy alone ───────────────────────────────┐
//! kept ─────┼─▶ B  Envoy as we configure it ─ naive picker ───┼─▶ the same model servers
//! connections └▶ C  Envoy as we configure it ─ our picker ────┘
//! ```

mod alone;
mod rounds;

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use self::rounds::{PROMPT, Plan, Rounds, warm};
use super::{
    child::Child,
    context::Context,
    figure::{Aim, Figure},
    installation::{Installation, Picks},
    process,
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
    "added_one_client_ms_p50",
    "rss_mb_control_plane",
    "rss_mb_picker",
];

/// As much as two cores can do.
const BUSY: Plan = Plan { connections: 8, rounds: 36, slice: Duration::from_millis(700) };
/// One request at a time: nothing waits for a core.
const CALM: Plan = Plan { connections: 1, rounds: 12, slice: Duration::from_millis(400) };

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
    let chains = [50, 51, 1].map(|n| SocketAddr::new(block.address(n), Block::GATEWAY_PORT));
    let [alone, with_naive, with_ours] = chains;
    let _alone = alone::start(context, alone, &upstreams, &dir).await?;
    let copy = copy(&manifests, with_ours.ip(), with_naive.ip())?;
    let mut naive = Installation::of(context, "path-naive", copy, with_naive, Picks::Naive(upstreams[0]))?;
    naive.start("chatbot").await?;
    let mut ours = Installation::of(context, "path-ours", manifests, with_ours, Picks::Ours)?;
    ours.start("chatbot").await?;
    let calm = warm(chains, CALM).await?.run(CALM).await?;
    let load = warm(chains, BUSY).await?;
    let picked = ours.picked().await?;
    let busy = load.run(BUSY).await?;
    let picked = ours.picked().await? - picked;
    let [_, naively, by_us] = &busy.pods;
    ensure!(naively.keys().eq([&gemma[0].name]), "the do-nothing picker was not asked: {naively:?}");
    let answered: u64 = by_us.values().sum();
    ensure!(picked == answered, "our picker has picked {picked} times for {answered} requests");
    let mut figures = compare(&busy, &calm);
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

fn compare(busy: &Rounds, calm: &Rounds) -> Vec<Figure> {
    let load = |plan: Plan, medians: String| {
        format!(
            "{} kept connections in a closed loop, {} KB chat bodies, instant model servers, {} rounds of alternating {} \
             ms slices; Envoy alone / do-nothing / ours: {medians}",
            plan.connections,
            PROMPT >> 10,
            plan.rounds,
            plan.slice.as_millis(),
        )
    };
    let (p50, p99) =
        (load(BUSY, busy.medians(|slice| slice.p50)), load(BUSY, busy.medians(|slice| slice.p99)));
    let ratio = |percentile: &str, load: &str| {
        format!(
            "our chain on {EXAMPLE} ÷ the same Envoy configuration with a do-nothing tonic picker (both asked over TLS, as \
             by default), {percentile} of each slice, median of the rounds' ratios; {load}"
        )
    };
    let added = |percentile: &str, load: &str| {
        format!(
            "our chain less Envoy alone, {percentile} of each slice, median of the rounds' differences; {load}"
        )
    };
    let naive = "do-nothing picker";
    vec![
        Figure::new(NAMES[0], busy.median(|[_, b, c]| c.p50 / b.p50), "ratio", ratio("p50", &p50))
            .aim(Aim::AtMost(1.1)),
        Figure::new(NAMES[1], busy.median(|[_, b, c]| c.p99 / b.p99), "ratio", ratio("p99", &p99))
            .aim(Aim::AtMost(1.2)),
        Figure::new(NAMES[2], busy.median(|[a, _, c]| c.p50 - a.p50), "ms", added("p50", &p50))
            .baseline(naive, busy.median(|[a, b, _]| b.p50 - a.p50)),
        Figure::new(NAMES[3], busy.median(|[a, _, c]| c.p99 - a.p99), "ms", added("p99", &p99))
            .baseline(naive, busy.median(|[a, b, _]| b.p99 - a.p99)),
        Figure::new(
            NAMES[4],
            calm.median(|[a, _, c]| c.p50 - a.p50),
            "ms",
            added("p50", &load(CALM, calm.medians(|slice| slice.p50))),
        )
        .baseline(naive, calm.median(|[a, b, _]| b.p50 - a.p50)),
    ]
}

fn resident(ours: &Installation<'_>) -> Result<Vec<Figure>> {
    let how = format!("VmRSS after the load of path_p50_ratio, on {EXAMPLE}");
    let of = |child: &Option<Child>| process::resident_mb(child.as_ref().context("the part runs")?.pid());
    Ok(vec![
        Figure::new(NAMES[5], of(&ours.control_plane)?, "MB", how.clone()),
        Figure::new(NAMES[6], of(&ours.picker)?, "MB", how),
    ])
}
