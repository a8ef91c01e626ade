//! What a cluster's admins and users notice: how long the guide takes, and which requests fail while everything is
//! exchanged under a constant load.
//!
//! ```text
//! figures ─ in.sh ─▶ cluster-scenario (in the cluster's network) ─▶ one line of JSON for each figure ─▶ Figure
//! ```

mod objects;
mod pods;
mod routes;
mod scenario;

use std::process::Stdio;

use anyhow::{Result, ensure};
use tokio::process::Command;

use super::{
    context::Context,
    figure::{Aim, Figure},
    line::{self, Definition},
};

pub use scenario::run;

/// The figures' names.
pub(super) const NAMES: &[&str] = &line::names(DEFINITIONS);

/// What a new route takes at least.
const HEARD: &str = "until another client that watches hears of the route";

const NONE_FAILED: Option<Aim> = Some(Aim::Exactly(0.0));

const DEFINITIONS: &[Definition; 24] = &[
    ("cluster_guide_s", "s", None, ""),
    ("cluster_install_s", "s", None, ""),
    ("cluster_address_s", "s", None, ""),
    ("cluster_first_answer_s", "s", None, ""),
    ("cluster_failed_requests", "requests", NONE_FAILED, ""),
    ("cluster_failed_requests_follower_killed", "requests", NONE_FAILED, ""),
    ("cluster_failed_requests_leader_killed", "requests", NONE_FAILED, ""),
    ("cluster_failed_requests_envoy_rollout", "requests", NONE_FAILED, ""),
    ("cluster_failed_requests_picker_rollout", "requests", NONE_FAILED, ""),
    ("cluster_failed_requests_model_rollout", "requests", NONE_FAILED, ""),
    ("cluster_failed_requests_certificates", "requests", NONE_FAILED, ""),
    ("cluster_failed_requests_api_outage", "requests", NONE_FAILED, ""),
    ("cluster_failed_requests_silent_node", "requests", NONE_FAILED, ""),
    ("rss_mb_control_plane_1000_routes", "MB", Some(Aim::AtMost(60.0)), ""),
    ("route_to_200_ms_p50_10", "ms", None, HEARD),
    ("route_to_200_ms_p99_10", "ms", None, HEARD),
    ("route_to_200_ms_p50_1000", "ms", None, HEARD),
    ("route_to_200_ms_p99_1000", "ms", None, HEARD),
    ("route_to_200_ms_p50_3000", "ms", None, HEARD),
    ("route_to_200_ms_p99_3000", "ms", Some(Aim::AtMost(50.0)), HEARD),
    ("cluster_churn_failed", "routes", NONE_FAILED, ""),
    ("cluster_churn_rss_growth_mb", "MB", None, ""),
    ("churn_cpu_percent", "percent", Some(Aim::AtMost(5.0)), ""),
    ("cluster_deleted_pods_picked", "requests", NONE_FAILED, ""),
];

/// Measures them, on the cluster that `integration-tests/cluster/choose.sh` names.
///
/// # Errors
/// When there is no cluster to be had, or the scenario does not get to its end.
pub(super) async fn measure(context: &Context) -> Result<Vec<Figure>> {
    let scripts = Context::workspace().join("integration-tests/cluster");
    let mut command = Command::new(scripts.join("in.sh"));
    command.arg(context.built("cluster-scenario")?).stdout(Stdio::piped()).kill_on_drop(true);
    let output = command.spawn()?.wait_with_output().await?;
    ensure!(output.status.code() != Some(77), "there is no test cluster: what is missing is said above");
    ensure!(output.status.success(), "cluster-scenario ended with {}; what it said is above", output.status);
    line::figures(output.stdout, DEFINITIONS)
}
