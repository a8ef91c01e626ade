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

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use super::{
    context::Context,
    figure::{Aim, Figure},
};

pub use scenario::run;

/// The figures' names.
pub(super) const NAMES: &[&str] = &[
    "cluster_guide_s",
    "cluster_install_s",
    "cluster_address_s",
    "cluster_first_answer_s",
    "cluster_failed_requests",
    "cluster_failed_requests_follower_killed",
    "cluster_failed_requests_leader_killed",
    "cluster_failed_requests_envoy_rollout",
    "cluster_failed_requests_picker_rollout",
    "cluster_failed_requests_model_rollout",
    "cluster_failed_requests_certificates",
    "cluster_failed_requests_api_outage",
    "rss_mb_control_plane_1000_routes",
    "route_to_200_ms_p50_10",
    "route_to_200_ms_p99_10",
    "route_to_200_ms_p50_1000",
    "route_to_200_ms_p99_1000",
    "route_to_200_ms_p50_3000",
    "route_to_200_ms_p99_3000",
    "cluster_churn_failed",
    "cluster_churn_rss_growth_mb",
    "churn_cpu_percent",
    "cluster_deleted_pods_picked",
];

/// A figure as the scenario prints it.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    name: String,
    value: f64,
    how: String,
}

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
    let lines = String::from_utf8(output.stdout)?;
    lines.lines().map(|line| figure(&serde_json::from_str(line).with_context(|| line.to_owned())?)).collect()
}

fn figure(line: &Line) -> Result<Figure> {
    let name = NAMES.iter().find(|name| **name == line.name);
    let name = name.with_context(|| format!("{} is not in the catalog", line.name))?;
    let (unit, aim) = match *name {
        "cluster_churn_failed" => ("routes", Some(Aim::Exactly(0.0))),
        "cluster_deleted_pods_picked" => ("requests", Some(Aim::Exactly(0.0))),
        "route_to_200_ms_p99_3000" => ("ms", Some(Aim::AtMost(50.0))),
        "rss_mb_control_plane_1000_routes" => ("MB", Some(Aim::AtMost(60.0))),
        "churn_cpu_percent" => ("percent", Some(Aim::AtMost(5.0))),
        "cluster_churn_rss_growth_mb" => ("MB", None),
        name if name.contains("failed_requests") => ("requests", Some(Aim::Exactly(0.0))),
        name if name.contains("_ms_") => ("ms", None),
        _ => ("s", None),
    };
    let figure = Figure::new(name, line.value, unit, line.how.clone());
    Ok(match aim {
        Some(aim) => figure.aim(aim),
        None => figure,
    })
}
