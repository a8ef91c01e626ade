//! Many HTTPRoutes: how soon a new one answers beside those that exist, and what a steady coming and going costs.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::time::{interval, sleep};

use super::{
    objects::{ControlPlane, Objects},
    scenario::{self, NAMESPACE, tell, tell_beside},
};
use crate::{client::Client, cluster::TestCluster};

/// Routes that exist when new ones are made.
const EXISTING: [usize; 3] = [10, 1_000, 3_000];
/// New routes for a figure.
const NEW: usize = 100;
/// Routes that come and go, and how many of them at a time are there.
const CHURNED: usize = 5_000;
const CHURNING: usize = 500;
const CHURN: Duration = Duration::from_secs(300);
/// One in so many of them is asked for.
const WATCHED: usize = 25;
const POLL: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_secs(60);

/// A route for a host of its own, to the guide's first pool.
fn route(name: &str) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": { "name": name, "namespace": NAMESPACE },
        "spec": {
            "parentRefs": [{ "name": "inference-gateway" }],
            "hostnames": [host(name)],
            "rules": [{
                "matches": [{ "headers": [
                    { "type": "Exact", "name": "X-Gateway-Model-Name", "value": "chatbot" },
                ] }],
                "backendRefs": [{ "group": "inference.networking.k8s.io", "kind": "InferencePool", "name": "gemma3" }],
            }],
        },
    })
}

fn host(name: &str) -> String {
    format!("{name}.example.com")
}

async fn ask(client: &Client, name: &str) -> Result<u16> {
    let body = json!({ "model": "chatbot", "prompt": "x", "max_tokens": 1 }).to_string();
    let host = host(name);
    let mut request = client.post_request("/v1/completions", body, &[])?;
    request.headers_mut().insert("host", host.parse()?);
    Ok(client.send(request).await?.status.as_u16())
}

/// Asks until 200; everything before must be 404. Returns the time until the request was sent that is answered 200:
/// how long its model takes is not the route's.
async fn until_answered(client: &Client, name: &str) -> Result<Duration> {
    let start = Instant::now();
    loop {
        let sent = start.elapsed();
        match ask(client, name).await? {
            200 => return Ok(sent),
            404 => {}
            status => bail!("{name} is answered {status} before it is answered 200"),
        }
        ensure!(start.elapsed() < PATIENCE, "{name} is not answered");
        sleep(POLL).await;
    }
}

/// Measures both, as far as `only` wants them.
pub(super) async fn measure(cluster: &TestCluster, client: &Client, only: &str) -> Result<()> {
    let routes = Objects::routes().await?;
    // The guide's own route answers for every host.
    routes.delete_everything().await?;
    let replicas = ControlPlane::replicas(&scenario::control_planes(cluster)?).await?;
    if "route_to_200_ms_p99_3000".contains(only) || "rss_mb_control_plane_1000_routes".contains(only) {
        growth(client, &routes, &replicas).await?;
    }
    if "cluster_churn_failed".contains(only) {
        churn(client, &routes, &replicas).await?;
    }
    Ok(())
}

async fn growth(client: &Client, routes: &Objects, replicas: &ControlPlane) -> Result<()> {
    let mut there = 0;
    for existing in EXISTING {
        routes.create_all((there..existing).map(|n| route(&format!("there-{n}")))).await?;
        there = existing;
        for n in [0, existing - 1] {
            until_answered(client, &format!("there-{n}")).await?;
        }
        // Statuses of the last ones are still being written.
        sleep(Duration::from_secs(10)).await;
        if existing == 1_000 {
            let usage = replicas.usage().await?;
            let most = usage.iter().map(|usage| usage.resident_mb).fold(0.0, f64::max);
            tell(
                "rss_mb_control_plane_1000_routes",
                most,
                "VmRSS of the larger of two replicas with 1,000 HTTPRoutes on a Gateway with two Envoys, ten seconds after the last of them was made",
            )?;
        }
        let heard = routes.watch().await?;
        let (mut took, mut heard_after) = (Vec::new(), Vec::new());
        for n in 0..NEW {
            let name = format!("new-{n}");
            routes.create(route(&name)).await?;
            let made = Instant::now();
            took.push(until_answered(client, &name).await?);
            let at = heard.of(&name).context("the watch hears of what is served")?;
            heard_after.push(at.saturating_duration_since(made));
        }
        took.sort();
        heard_after.sort();
        let how = format!(
            "from the API server's answer to the create request until the first request is sent to the new route's host that is answered 200, {NEW} routes one after the other beside {existing}, asked every {} ms; two Envoys, two replicas, all parts on one machine of two cores",
            POLL.as_millis()
        );
        for (word, quantile) in [("p50", 0.5), ("p99", 0.99)] {
            let at = |times: &[Duration]| {
                times[((times.len() - 1) as f64 * quantile).round() as usize].as_secs_f64() * 1e3
            };
            let name = format!("route_to_200_ms_{word}_{existing}");
            tell_beside(&name, at(&took), Some(at(&heard_after)), &how)?;
        }
        for n in 0..NEW {
            routes.delete(&format!("new-{n}")).await?;
        }
        sleep(Duration::from_secs(5)).await;
    }
    routes.delete_all().await
}

/// Routes come and go at a steady rate; those that are watched answer 404 until they answer 200, and 200 from then on.
async fn churn(client: &Client, routes: &Objects, replicas: &ControlPlane) -> Result<()> {
    let before = replicas.usage().await?;
    let mut turns = interval(CHURN / u32::try_from(CHURNED)?);
    let mut early = before.clone();
    let (mut wrong, mut watched) = (Vec::new(), 0);
    let start = Instant::now();
    let mut watching = tokio::task::JoinSet::new();
    for n in 0..CHURNED {
        turns.tick().await;
        let name = format!("churn-{n}");
        routes.create(route(&name)).await?;
        if n % WATCHED == 0 {
            let client = client.clone();
            watched += 1;
            watching.spawn(async move {
                until_answered(&client, &name).await?;
                for _ in 0..10 {
                    let status = ask(&client, &name).await?;
                    ensure!(status == 200, "{name} is answered {status} after 200");
                    sleep(Duration::from_millis(500)).await;
                }
                anyhow::Ok(())
            });
        }
        if n >= CHURNING {
            routes.delete(&format!("churn-{}", n - CHURNING)).await?;
        }
        if n == CHURNED / 4 {
            early = replicas.usage().await?;
        }
    }
    let took = start.elapsed();
    let after = replicas.usage().await?;
    while let Some(ended) = watching.join_next().await {
        if let Err(error) = ended? {
            wrong.push(format!("{error:#}"));
        }
    }
    for wrong in &wrong {
        tracing::warn!(wrong, "churn");
    }
    let how = format!(
        "{CHURNED} HTTPRoutes made and deleted one by one over {:.0} s, {CHURNING} at a time there; of {watched} that were asked for all along, those that were answered anything but 404 and then 200",
        took.as_secs_f64()
    );
    tell("cluster_churn_failed", wrong.len() as f64, &how)?;
    let grown = early.iter().zip(&after).map(|(early, after)| after.resident_mb - early.resident_mb);
    let how = format!(
        "resident memory of the replicas after the churn of cluster_churn_failed less that after a quarter of it, the larger of two; first {:.1} MB",
        early.iter().map(|usage| usage.resident_mb).fold(0.0, f64::max)
    );
    tell("cluster_churn_rss_growth_mb", grown.fold(f64::MIN, f64::max), &how)?;
    routes.delete_all().await
}
