//! Whether the guide comes true: its manifest as users copy it, its requests, and streaming.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use serde_json::json;

use super::{
    context::Context,
    figure::{Aim, Figure},
    installation::{Installation, Picks, pod_configs, pods},
    manifests::{GUIDE, pool},
};
use crate::client::Client;

/// The figure's name.
pub const NAMES: &[&str] = &["guide_ok"];

const TOKENS: usize = 20;

/// Checks it. An answer that is wrong makes the figure 0, and the figure says which.
///
/// # Errors
/// When the installation does not start.
pub async fn measure(context: &Context) -> Result<Vec<Figure>> {
    let mut installation = Installation::new(context, "guide", Picks::Ours)?;
    let (gemma, deepseek) = (installation.pods(0, 3), installation.pods(10, 2));
    let mut configs = pod_configs("gemma3", &gemma, &["chatbot"], "h100");
    configs.extend(pod_configs("deepseek-r1", &deepseek, &["recommender"], "h100"));
    let _fleet = pods(configs).await?;
    installation.manifests.write("gemma3.yaml", &pool("gemma3", &gemma))?;
    installation.manifests.write("deepseek-r1.yaml", &pool("deepseek-r1", &deepseek))?;
    installation.manifests.write_text("route.yaml", GUIDE)?;
    installation.start("chatbot").await?;
    let checked = check(&installation.client()).await;
    installation.end().await?;
    let (value, how) = match checked {
        Ok(()) => (
            1.0,
            "the guide's HTTPRoute as it is; both completions answered by the right pool, a chat streamed token by \
             token, an unknown model refused with 404 in the OpenAI shape"
                .to_owned(),
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
    // Tokens are 12 ms apart.
    let span = last.at - first.at;
    ensure!(
        span > Duration::from_millis(6 * TOKENS as u64),
        "all events come within {span:?}: they are held back"
    );
    Ok(())
}
