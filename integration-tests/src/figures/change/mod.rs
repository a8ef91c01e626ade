//! What users notice of changes: requests that fail while the installation is changed under a constant load, and how
//! long a change takes.
//!
//! steady load ─▶ Gateway, while: routes are edited · pools are swapped · a pool is scaled · control plane and picker
//! are killed and started again

mod edits;

use std::{net::IpAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use tokio::time::sleep;

use self::edits::{Eye, edit};
use super::{
    context::Context,
    figure::{Aim, Figure},
    installation::{Installation, Picks, pod_configs, pods},
    manifests::{pool, route},
    samples::Samples,
    steady::Steady,
};
use crate::simulator::Fleet;

/// The figures' names.
pub const NAMES: &[&str] = &[
    "failed_requests",
    "failed_requests_edit_route",
    "failed_requests_swap_pools",
    "failed_requests_scale_pool",
    "failed_requests_restart_control_plane",
    "failed_requests_restart_picker",
    "file_to_ack_ms_p50",
    "file_to_ack_ms_p99",
];

const QUIET: &str = "quiet";
const EDIT: &str = "edit_route";
const SWAP: &str = "swap_pools";
const SCALE: &str = "scale_pool";
const CONTROL_PLANE: &str = "restart_control_plane";
const PICKER: &str = "restart_picker";

const RATE: u32 = 80;
const EDITS: usize = 120;
const SWAPS: usize = 4;
const SCALED: u8 = 30;
const KEPT: u8 = 3;
const RESTARTS: usize = 3;
/// Time for a change to arrive, and to do harm.
const SETTLE: Duration = Duration::from_secs(1);

struct Scene<'a> {
    installation: Installation<'a>,
    fleet: Fleet,
    load: Steady,
    eye: Eye,
    gemma: Vec<IpAddr>,
    deepseek: Vec<IpAddr>,
    edits: usize,
}

/// Measures them.
///
/// # Errors
/// When the installation does not start, a change never arrives, or a part does not come back.
pub async fn measure(context: &Context) -> Result<Vec<Figure>> {
    let mut scene = Scene::set(context).await?;
    sleep(SETTLE).await;
    let times = scene.edit_routes().await.context(EDIT)?;
    scene.swap_pools().await.context(SWAP)?;
    scene.scale_pool().await.context(SCALE)?;
    scene.restart_control_plane().await.context(CONTROL_PLANE)?;
    scene.restart_picker().await.context(PICKER)?;
    scene.load.phase(QUIET);
    let tallies = scene.load.stop().await;
    scene.installation.end().await?;
    let mut figures = Vec::new();
    let total: u64 = tallies.values().map(|tally| tally.failed).sum();
    let requests: u64 = tallies.values().map(|tally| tally.requests).sum();
    let how = format!(
        "of {requests} chat requests at {RATE}/s, every fourth streamed, those without 200 and a whole answer, over all \
         scenarios and the time between them; fail-open pools"
    );
    figures.push(Figure::new(NAMES[0], total as f64, "requests", how).aim(Aim::Exactly(0.0)));
    let what = [
        format!("{EDITS} edits of an HTTPRoute of the same Gateway, one after the other"),
        format!("{SWAPS} times the route is given another pool and the former is deleted with its Pods"),
        format!(
            "{KEPT} → {SCALED} → {KEPT} Pods; a removed Pod ends {SETTLE:?} after its manifest, as with a preStop wait"
        ),
        format!("{RESTARTS} times kill -9 and start"),
        format!("{RESTARTS} times kill -9 and start"),
    ];
    for ((name, phase), what) in NAMES[1..].iter().zip([EDIT, SWAP, SCALE, CONTROL_PLANE, PICKER]).zip(what) {
        let tally = tallies.get(phase).cloned().unwrap_or_default();
        ensure!(tally.requests > 0, "no request ended during {phase}");
        let mut how = format!("{what}; {} requests", tally.requests);
        if let Some(first) = tally.failures.first() {
            how.push_str(&format!("; the first failure: {first}"));
        }
        figures.push(Figure::new(name, tally.failed as f64, "requests", how).aim(Aim::Exactly(0.0)));
    }
    let how = format!(
        "from the rename of a manifest to the first answer by the changed route, under the load of failed_requests, \
         {} edits; the answer comes after Envoy has accepted the route, so this is an upper bound",
        times.len()
    );
    figures.push(Figure::new(NAMES[6], times.median(), "ms", how.clone()));
    figures.push(Figure::new(NAMES[7], times.percentile(99.0), "ms", how));
    Ok(figures)
}

impl<'a> Scene<'a> {
    async fn set(context: &'a Context) -> Result<Self> {
        let mut installation = Installation::new(context, "change", Picks::Ours)?;
        let gemma = installation.pods(0, KEPT);
        let deepseek = installation.pods(100, KEPT);
        let mut configs = pod_configs("gemma3", &gemma, &["chatbot"], "h100");
        configs.extend(pod_configs("deepseek-r1", &deepseek, &["chatbot"], "h100"));
        let fleet = pods(configs).await?;
        installation.manifests.write("gemma3.yaml", &pool("gemma3", &gemma))?;
        installation.manifests.write("route.yaml", &[route("chat", "chatbot", &[("gemma3", 1)])])?;
        installation.start("chatbot").await?;
        let eye = Eye::on(installation.gateway()).await?;
        let load = Steady::start(&installation.client(), "chatbot", RATE, QUIET);
        Ok(Self { installation, fleet, load, eye, gemma, deepseek, edits: 0 })
    }

    async fn edit(&mut self) -> Result<f64> {
        self.edits += 1;
        edit(&self.installation.manifests, &mut self.eye, self.edits).await
    }

    async fn edit_routes(&mut self) -> Result<Samples> {
        self.load.phase(EDIT);
        let mut times = Samples::default();
        for _ in 0..EDITS {
            times.push(self.edit().await?);
            // Not in step with anything that ticks.
            sleep(Duration::from_millis(fastrand::u64(20..60))).await;
        }
        Ok(times)
    }

    async fn swap_pools(&mut self) -> Result<()> {
        self.load.phase(SWAP);
        let manifests = &self.installation.manifests;
        for turn in 0..SWAPS {
            let pools = [("gemma3", &self.gemma), ("deepseek-r1", &self.deepseek)];
            let ((from, _), (to, pods)) = (pools[turn % 2], pools[(turn + 1) % 2]);
            manifests.write(&format!("{to}.yaml"), &pool(to, pods))?;
            sleep(SETTLE).await;
            manifests.write("route.yaml", &[route("chat", "chatbot", &[(to, 1)])])?;
            sleep(SETTLE).await;
            manifests.remove(&format!("{from}.yaml"))?;
            sleep(SETTLE).await;
        }
        let served = self.load.tally(SWAP).pods;
        for pool in ["gemma3", "deepseek-r1"] {
            ensure!(served.keys().any(|pod| pod.starts_with(pool)), "{pool} has served nothing: {served:?}");
        }
        Ok(())
    }

    async fn scale_pool(&mut self) -> Result<()> {
        self.load.phase(SCALE);
        let all = self.installation.pods(0, SCALED);
        let added = &all[usize::from(KEPT)..];
        for config in pod_configs("gemma3", added, &["chatbot"], "h100") {
            self.fleet.add(config).await?;
        }
        self.installation.manifests.write("gemma3.yaml", &pool("gemma3", &all))?;
        sleep(4 * SETTLE).await;
        let served = self.load.tally(SCALE).pods.len();
        ensure!(served > usize::from(SCALED) / 2, "only {served} of {SCALED} Pods have served");
        self.installation.manifests.write("gemma3.yaml", &pool("gemma3", &self.gemma))?;
        sleep(SETTLE).await;
        for address in added {
            ensure!(self.fleet.remove(&format!("gemma3-{address}")).await, "a Pod that was added is there");
        }
        sleep(SETTLE).await;
        Ok(())
    }

    async fn restart_control_plane(&mut self) -> Result<()> {
        self.load.phase(CONTROL_PLANE);
        for _ in 0..RESTARTS {
            let control_plane = self.installation.control_plane.take();
            control_plane.context("the control plane runs")?.kill().await?;
            sleep(SETTLE).await;
            self.installation.start_control_plane().await?;
            // The one that has started is followed.
            self.edit().await?;
        }
        sleep(SETTLE).await;
        Ok(())
    }

    async fn restart_picker(&mut self) -> Result<()> {
        self.load.phase(PICKER);
        for _ in 0..RESTARTS {
            let picker = self.installation.picker.take();
            picker.context("the picker runs")?.kill().await?;
            sleep(2 * SETTLE).await;
            self.installation.start_picker().await?;
            sleep(2 * SETTLE).await;
        }
        Ok(())
    }
}
