//! How well weights are kept: two pools, nine to one.

use std::sync::Arc;

use anyhow::{Result, ensure};
use bytes::Bytes;
use serde_json::json;

use super::{
    closed_loop::{ClosedLoop, Until},
    context::Context,
    figure::{Aim, Figure},
    installation::{Installation, pods},
    manifests::pool,
};
use crate::{simulator::Fleet, stack::manifests::model_route};

/// The figure's name.
pub(super) const NAMES: &[&str] = &["weights_error_percent"];

const CONNECTIONS: usize = 8;
const REQUESTS: usize = 2000;

/// Measures it.
///
/// # Errors
/// When the installation does not start, or a request fails.
pub(super) async fn measure(context: &Context) -> Result<Vec<Figure>> {
    let mut installation = Installation::new(context, "weights")?;
    let (many, few) = (installation.pods(0, 2), installation.pods(10, 2));
    let configs = [pods("many", &many, "chatbot", "instant"), pods("few", &few, "chatbot", "instant")];
    let fleet = Fleet::start(configs.concat()).await?;
    installation.manifests.write("many.yaml", &pool("many", &many))?;
    installation.manifests.write("few.yaml", &pool("few", &few))?;
    let route = model_route("weighted", "chatbot", &[("many", 90), ("few", 10)]);
    installation.manifests.write("route.yaml", &route)?;
    installation.start("chatbot").await?;
    let body = json!({"model": "chatbot", "prompt": "What is the color of the sky", "max_tokens": 1});
    let bodies: Arc<[Bytes]> = [Bytes::from(body.to_string())].into();
    let mut load =
        ClosedLoop::connect(installation.gateway(), CONNECTIONS, "/v1/completions", bodies).await?;
    let seen = load.run(Until::Requests(REQUESTS / CONNECTIONS)).await?;
    drop(load);
    installation.end().await?;
    fleet.stop().await;
    let of = |pool: &str| seen.pods.iter().filter(|pod| pod.starts_with(pool)).count();
    let (many, few) = (of("many-"), of("few-"));
    ensure!(many + few == REQUESTS, "{many} and {few} of {REQUESTS} answers are from the pools");
    let error = (few as f64 / REQUESTS as f64 * 100.0 - 10.0).abs();
    let how = format!(
        "{REQUESTS} requests to one route with two pools of weights 90 and 10: {many} and {few}; the difference of the \
         share from 10 %, in percentage points (its standard deviation, for independent draws, is 0.67)"
    );
    Ok(vec![Figure::new(NAMES[0], error, "percent", how).aim(Aim::AtMost(2.0))])
}
