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
    installation::{Installation, pods},
    manifests::{pod_name, pool},
    samples::Samples,
};
use crate::{
    client::DEADLINE,
    load::{Load, LoadRequest, Pace, Report, Running},
    simulator::Fleet,
    stack::manifests::model_route,
};

/// The figures' names.
pub(super) const NAMES: &[&str] = &[
    "failed_requests",
    "failed_requests_edit_route",
    "failed_requests_swap_pools",
    "failed_requests_scale_pool",
    "failed_requests_restart_control_plane",
    "failed_requests_restart_picker",
    "file_to_ack_ms_p50",
    "file_to_ack_ms_p99",
];

/// Requests a second.
const RATE: f64 = 80.0;
/// No scenario takes longer.
const LONGEST: Duration = Duration::from_secs(90);
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
    eye: Eye,
    gemma: Vec<IpAddr>,
    deepseek: Vec<IpAddr>,
    edits: usize,
}

/// Measures them.
///
/// # Errors
/// When the installation does not start, a change never arrives, or a part does not come back.
pub(super) async fn measure(context: &Context) -> Result<Vec<Figure>> {
    let mut scene = Scene::set(context).await?;
    let (edited, times) = scene.edit_routes().await.context("editing routes")?;
    let reports = [
        edited,
        scene.swap_pools().await.context("swapping pools")?,
        scene.scale_pool().await.context("scaling a pool")?,
        scene.restart_control_plane().await.context("restarting the control plane")?,
        scene.restart_picker().await.context("restarting the picker")?,
    ];
    scene.installation.end().await?;
    let what = [
        format!("{EDITS} edits of an HTTPRoute of the same Gateway, one after the other"),
        format!("{SWAPS} times the route is given another pool, and the former is deleted with its Pods"),
        format!(
            "{KEPT} → {SCALED} → {KEPT} Pods; a removed Pod ends {SETTLE:?} after its manifest, as with a preStop wait"
        ),
        format!(
            "{RESTARTS} times kill -9 and, {SETTLE:?} later, a new start, followed by an edit that must arrive"
        ),
        format!("{RESTARTS} times kill -9 and, {:?} later, a new start", 2 * SETTLE),
    ];
    let total: u64 = reports.iter().map(Report::failed).sum();
    let sent: u64 = reports.iter().map(|report| report.sent).sum();
    let how = format!(
        "of {sent} completions at {RATE}/s, every fourth streamed: those without 200, the whole answer and an unchanged \
         body at the Pod, over the five scenarios below; pools fail open"
    );
    let mut figures = vec![Figure::new(NAMES[0], total as f64, "requests", how).aim(Aim::Exactly(0.0))];
    for ((name, report), what) in NAMES[1..].iter().zip(&reports).zip(what) {
        let mut how = format!("{what}; {} requests", report.sent);
        if let Some(first) = report.examples.first() {
            how.push_str("; the first failure ");
            how.push_str(first);
        }
        figures.push(Figure::new(name, report.failed() as f64, "requests", how).aim(Aim::Exactly(0.0)));
    }
    let how = format!(
        "from the rename of a manifest to the first answer by the changed route, under the load of failed_requests, \
         {} edits (Envoy hands a route to its workers when it accepts it, which is when it acknowledges it)",
        times.len()
    );
    figures.push(Figure::new(NAMES[6], times.median(), "ms", how.clone()));
    figures.push(Figure::new(NAMES[7], times.percentile(99.0), "ms", how));
    Ok(figures)
}

impl<'a> Scene<'a> {
    async fn set(context: &'a Context) -> Result<Self> {
        let mut installation = Installation::new(context, "change")?;
        let (gemma, deepseek) = (installation.pods(0, KEPT), installation.pods(100, KEPT));
        let configs =
            [pods("gemma3", &gemma, "chatbot", "h100"), pods("deepseek-r1", &deepseek, "chatbot", "h100")];
        let fleet = Fleet::start(configs.concat()).await?;
        installation.manifests.write("gemma3.yaml", &pool("gemma3", &gemma))?;
        installation.manifests.write("route.yaml", &model_route("chat", "chatbot", &[("gemma3", 1)]))?;
        installation.start("chatbot").await?;
        let eye = Eye::on(installation.gateway()).await?;
        Ok(Self { installation, fleet, eye, gemma, deepseek, edits: 0 })
    }

    /// Begins the load; returns when it is answered.
    async fn load(&self) -> Result<Running> {
        let request = |number: usize| {
            let prompt = format!("Question {number}: what is the color of the sky?");
            match number % 4 {
                0 => LoadRequest::stream("chatbot", &prompt, 16),
                _ => LoadRequest::completion("chatbot", &prompt, 4),
            }
        };
        let load = Load {
            client: self.installation.client(),
            requests: (0..64).map(request).collect(),
            pace: Pace::Constant { rate: RATE },
            duration: LONGEST,
            deadline: DEADLINE,
        };
        let running = load.start();
        running.more(20, LONGEST).await?;
        Ok(running)
    }

    async fn edit(&mut self) -> Result<f64> {
        self.edits += 1;
        edit(&self.installation.manifests, &mut self.eye, self.edits).await
    }

    async fn edit_routes(&mut self) -> Result<(Report, Samples)> {
        let load = self.load().await?;
        let mut times = Samples::default();
        for _ in 0..EDITS {
            times.push(self.edit().await?);
            // Not in step with anything that ticks.
            sleep(Duration::from_millis(fastrand::u64(20..60))).await;
        }
        Ok((load.stop().await, times))
    }

    async fn swap_pools(&self) -> Result<Report> {
        let load = self.load().await?;
        let manifests = &self.installation.manifests;
        for turn in 0..SWAPS {
            let pools = [("gemma3", &self.gemma), ("deepseek-r1", &self.deepseek)];
            let ((from, _), (to, pods)) = (pools[turn % 2], pools[(turn + 1) % 2]);
            manifests.write(&format!("{to}.yaml"), &pool(to, pods))?;
            sleep(SETTLE).await;
            manifests.write("route.yaml", &model_route("chat", "chatbot", &[(to, 1)]))?;
            sleep(SETTLE).await;
            manifests.remove(&format!("{from}.yaml"))?;
            sleep(SETTLE).await;
        }
        let report = load.stop().await;
        for pool in ["gemma3-", "deepseek-r1-"] {
            let served: u64 =
                report.by_pod.iter().filter(|(pod, _)| pod.starts_with(pool)).map(|(_, count)| count).sum();
            ensure!(served > report.good / 4, "{pool} has served {served} of {}", report.good);
        }
        Ok(report)
    }

    async fn scale_pool(&self) -> Result<Report> {
        let load = self.load().await?;
        let all = self.installation.pods(0, SCALED);
        let added = &all[usize::from(KEPT)..];
        for config in pods("gemma3", added, "chatbot", "h100") {
            self.fleet.add(config).await?;
        }
        let manifests = &self.installation.manifests;
        manifests.write("gemma3.yaml", &pool("gemma3", &all))?;
        sleep(4 * SETTLE).await;
        let served = load.so_far().by_pod.len();
        ensure!(served > usize::from(SCALED) / 2, "only {served} of {SCALED} Pods have served");
        manifests.write("gemma3.yaml", &pool("gemma3", &self.gemma))?;
        sleep(SETTLE).await;
        for address in added {
            ensure!(self.fleet.remove(&pod_name("gemma3", *address)).await, "a Pod that was added is there");
        }
        sleep(SETTLE).await;
        Ok(load.stop().await)
    }

    async fn restart_control_plane(&mut self) -> Result<Report> {
        let load = self.load().await?;
        for _ in 0..RESTARTS {
            let control_plane = self.installation.control_plane.take();
            control_plane.context("the control plane runs")?.kill().await?;
            sleep(SETTLE).await;
            self.installation.start_control_plane().await?;
            self.edit().await?;
            sleep(SETTLE).await;
        }
        Ok(load.stop().await)
    }

    async fn restart_picker(&mut self) -> Result<Report> {
        let load = self.load().await?;
        for _ in 0..RESTARTS {
            let picker = self.installation.picker.take();
            picker.context("the picker runs")?.kill().await?;
            sleep(2 * SETTLE).await;
            self.installation.start_picker().await?;
            sleep(2 * SETTLE).await;
        }
        ensure!(self.installation.picked().await? > 0, "the picker that was started is not asked");
        Ok(load.stop().await)
    }
}
