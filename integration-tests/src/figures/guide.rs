//! Whether the guide comes true: its manifests as users copy them, its requests, and streaming.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use serde_json::json;

use super::{
    context::Context,
    figure::{Aim, Figure},
    installation::{Installation, Picks},
};
use crate::{
    client::Client,
    loopback::Block,
    simulator::Fleet,
    stack::{EXAMPLE, Example},
};

/// The figure's name.
pub(super) const NAMES: &[&str] = &["guide_ok"];

const TOKENS: usize = 20;
/// The simulated accelerator takes longer for a token.
const TOKEN: Duration = Duration::from_millis(20);

/// Checks it. An answer that is wrong makes the figure 0, and the figure says which.
///
/// # Errors
/// When the installation does not start.
pub(super) async fn measure(context: &Context) -> Result<Vec<Figure>> {
    let Example { manifests, pods, block } = Example::relocated()?;
    let _fleet = Fleet::start(pods).await?;
    let gateway = SocketAddr::new(block.gateway(), Block::GATEWAY_PORT);
    let mut installation = Installation::of(context, "guide", manifests, gateway, Picks::Ours)?;
    installation.start("chatbot").await?;
    let checked = check(&installation.client()).await;
    installation.end().await?;
    let (value, how) = match checked {
        Ok(()) => (
            1.0,
            format!(
                "{EXAMPLE} with the guide's HTTPRoute as it is: both completions answered by the right pool, a chat \
                 streamed token by token, an unknown model refused with 404 in the OpenAI shape"
            ),
        ),
        Err(error) => (0.0, format!("not as the guide says: {error:#}")),
    };
    Ok(vec![Figure::new(NAMES[0], value, "bool", how).aim(Aim::Exactly(1.0))])
}

async fn check(client: &Client) -> Result<()> {
    for (model, prompt, pool) in [
        ("chatbot", "What is the color of the sky", "gemma3-"),
        ("recommender", "Give me restaurant recommendations in Paris", "deepseek-r1-"),
    ] {
        let reply = client.completion(model, prompt).await?;
        ensure!(reply.status == StatusCode::OK, "{model}: {} {}", reply.status, reply.text());
        ensure!(reply.pod().starts_with(pool), "{model} is answered by {:?}", reply.pod());
        ensure!(reply.text().contains("text_completion"), "{model}: no completion: {}", reply.text());
    }
    let unknown = client.completion("no-such-model", "Are you there?").await?;
    ensure!(unknown.status == StatusCode::NOT_FOUND, "an unknown model is answered with {}", unknown.status);
    let refusal = unknown.text();
    ensure!(
        refusal.contains("model_not_found") && refusal.contains("chatbot"),
        "it is refused with {refusal}"
    );
    stream(client).await.context("streaming")
}

async fn stream(client: &Client) -> Result<()> {
    let body = json!({
        "model": "chatbot",
        "messages": [{"role": "user", "content": "What is the color of the sky"}],
        "max_tokens": TOKENS,
        "stream": true,
    });
    let events = client.stream("/v1/chat/completions", &body, &[]).await?;
    ensure!(events.status == StatusCode::OK, "{}", events.status);
    let kind = events.headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    ensure!(kind.starts_with("text/event-stream"), "the content type is {kind:?}");
    let events = events.collect().await?;
    ensure!(events.len() > TOKENS, "{} events for {TOKENS} tokens", events.len());
    let (first, last) = (&events[0], &events[events.len() - 1]);
    ensure!(last.data == "[DONE]", "the last event is {:?}", last.data);
    let span = last.at - first.at;
    ensure!(span > TOKEN * TOKENS as u32, "all events come within {span:?}: they are held back");
    Ok(())
}
