//! One slice of load: Poisson arrivals of streamed completions through a Gateway, every answer read to its end.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{
    compared::COMPARED_POLICY,
    scene::{MODEL, OUTPUT, PROMPT},
};
use crate::client::{Client, Events};

/// Requests of a slice: their times, and the tokens of their prompts.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan(Vec<(Duration, usize)>);

/// What became of a request.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    /// Seconds to the first token.
    pub(super) first: f64,
    /// Seconds to the end.
    pub(super) end: f64,
    /// Who answered.
    pub(super) pod: String,
}

impl Plan {
    /// `rate` requests a second for `span`.
    pub(super) fn draw(rate: f64, span: Duration, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut at = 0.0;
        let mut requests = Vec::new();
        loop {
            at += -(1.0 - random.f64()).ln() / rate;
            if at > span.as_secs_f64() {
                return Self(requests);
            }
            requests.push((Duration::from_secs_f64(at), random.usize(PROMPT)));
        }
    }

    /// Sends them; returns when all are answered. `salt` makes the prompts different from those of other slices, so that
    /// nobody finds them in a cache.
    ///
    /// # Errors
    /// When a request is not answered as it should be: a figure of failed requests means nothing.
    pub(super) async fn run(
        &self,
        client: &Client,
        policy: &'static str,
        salt: u64,
    ) -> Result<Vec<Answered>> {
        let start = Instant::now();
        let mut open = JoinSet::new();
        for (index, (at, tokens)) in self.0.iter().enumerate() {
            sleep_until(start + *at).await;
            let (client, prompt) = (client.clone(), prompt(*tokens, salt << 32 | index as u64));
            open.spawn(async move { ask(&client, policy, &prompt).await });
        }
        let mut answered = Vec::new();
        while let Some(ended) = open.join_next().await {
            answered.push(ended?.with_context(|| policy)?);
        }
        Ok(answered)
    }
}

/// Words of one token each.
fn prompt(tokens: usize, seed: u64) -> String {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut text = String::with_capacity(tokens * 6);
    for _ in 0..tokens {
        text.extend((0..random.usize(2..=6)).map(|_| random.lowercase()));
        text.push(' ');
    }
    text
}

async fn ask(client: &Client, policy: &str, prompt: &str) -> Result<Answered> {
    let body = json!({
        "model": MODEL, "prompt": prompt, "max_tokens": OUTPUT, "stream": true, "ignore_eos": true,
    });
    let start = Instant::now();
    let mut events: Events = client.stream("/v1/completions", &body, &[(COMPARED_POLICY, policy)]).await?;
    let (status, mut first, mut seen, mut last) = (events.status, None, 0, String::new());
    ensure!(status.is_success(), "{status}");
    let pod = events.headers.get("x-inference-pod").and_then(|pod| pod.to_str().ok()).unwrap_or_default();
    let pod = pod.to_owned();
    while let Some(event) = events.next().await? {
        first.get_or_insert(event.at - start);
        seen += 1;
        last = event.data;
    }
    ensure!(seen > OUTPUT && last == "[DONE]", "{seen} events, the last one {last:?}");
    let first = first.context("a stream without events")?.as_secs_f64();
    Ok(Answered { first, end: start.elapsed().as_secs_f64(), pod })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::tokens::tokenize;

    #[test]
    fn a_plan_is_a_function_of_its_seed() {
        let draw = |seed| Plan::draw(50.0, Duration::from_secs(20), seed);
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!((900..1100).contains(&draw(1).0.len()), "{}", draw(1).0.len());
    }

    #[test]
    fn prompts_have_their_tokens_and_nothing_in_common() {
        assert_eq!(tokenize(&prompt(500, 1)).count(), 500);
        assert_ne!(prompt(500, 1)[..20], prompt(500, 2)[..20]);
    }
}
