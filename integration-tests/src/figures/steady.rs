//! A constant load in the background: requests at a fixed rate, however long their answers take, each counted under
//! what was done to the installation when its answer ended.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use http::StatusCode;
use parking_lot::Mutex;
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use crate::client::Client;

/// Requests that may be under way at once; beyond, the load has failed to be constant and says so.
const MOST: usize = 2000;
/// Of each this many requests, one is streamed.
const STREAMED: u64 = 4;
/// Failures of a phase that are kept word for word.
const KEPT: usize = 5;

/// What happened to the requests of a phase.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Requests that ended.
    pub requests: u64,
    /// Those that were not answered with 200 and a whole body.
    pub failed: u64,
    /// What the first failures were.
    pub failures: Vec<String>,
    /// Requests by Pod.
    pub pods: BTreeMap<String, u64>,
}

#[derive(Default)]
struct Shared {
    phase: &'static str,
    tallies: BTreeMap<&'static str, Tally>,
}

/// A running load.
pub struct Steady {
    shared: Arc<Mutex<Shared>>,
    stop: CancellationToken,
    task: JoinSet<()>,
}

impl Steady {
    /// Starts a load of so many requests a second for this model.
    pub fn start(client: &Client, model: &str, rate: u32, phase: &'static str) -> Self {
        let shared = Arc::new(Mutex::new(Shared { phase, ..Default::default() }));
        let stop = CancellationToken::new();
        let mut task = JoinSet::new();
        let load = load(client.clone(), model.to_owned(), rate, Arc::clone(&shared), stop.clone());
        task.spawn(load);
        Self { shared, stop, task }
    }

    /// What is done from now on.
    pub fn phase(&self, name: &'static str) {
        self.shared.lock().phase = name;
    }

    /// What happened so far in a phase.
    pub fn tally(&self, name: &'static str) -> Tally {
        self.shared.lock().tallies.get(name).cloned().unwrap_or_default()
    }

    /// Ends the load after the answers under way.
    pub async fn stop(mut self) -> BTreeMap<&'static str, Tally> {
        self.stop.cancel();
        while self.task.join_next().await.is_some() {}
        std::mem::take(&mut self.shared.lock().tallies)
    }
}

async fn load(client: Client, model: String, rate: u32, shared: Arc<Mutex<Shared>>, stop: CancellationToken) {
    let mut ticks = interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut requests = JoinSet::new();
    for number in 0.. {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = ticks.tick() => {}
        }
        while requests.try_join_next().is_some() {}
        let (client, model, shared, full) =
            (client.clone(), model.clone(), shared.clone(), requests.len() >= MOST);
        requests.spawn(async move {
            let outcome = match full {
                true => Err(anyhow::anyhow!("not sent: {MOST} requests are under way")),
                false => ask(&client, &model, number).await,
            };
            shared.lock().count(outcome);
        });
    }
    while requests.join_next().await.is_some() {}
}

impl Shared {
    fn count(&mut self, outcome: Result<String>) {
        let tally = self.tallies.entry(self.phase).or_default();
        tally.requests += 1;
        match outcome {
            Ok(pod) => *tally.pods.entry(pod).or_default() += 1,
            Err(error) => {
                tally.failed += 1;
                if tally.failures.len() < KEPT {
                    tally.failures.push(format!("{error:#}"));
                }
            }
        }
    }
}

/// One request; the Pod that has answered it.
async fn ask(client: &Client, model: &str, number: u64) -> Result<String> {
    let streamed = number.is_multiple_of(STREAMED);
    let body = json!({
        "model": model,
        "messages": [{"role": "user", "content": format!("Question {number}: what is the colour of the sky?")}],
        "max_tokens": if streamed { 16 } else { 4 },
        "stream": streamed,
    });
    let reply = client.post("/v1/chat/completions", body.to_string(), &[]).await?;
    ensure!(reply.status == StatusCode::OK, "{}: {}", reply.status, reply.text());
    let whole = if streamed {
        reply.text().trim_end().ends_with("data: [DONE]")
    } else {
        reply.text().ends_with('}')
    };
    ensure!(whole, "the answer is cut off: {}", reply.text());
    Ok(reply.pod().to_owned())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::{
        loopback::Block,
        simulator::{Faults, Fleet, PodConfig},
    };

    #[tokio::test]
    async fn failures_are_counted_under_their_phase() {
        let address = SocketAddr::new(Block::claim().address(10), 8000);
        let fleet = Fleet::start([PodConfig::new("pod", address, "m")]).await.unwrap();
        let steady = Steady::start(&Client::new(address), "m", 200, "well");
        while steady.tally("well").requests < 10 {
            tokio::task::yield_now().await;
        }
        fleet.pod("pod").set_faults(Faults { status: Some(503), ..Default::default() });
        steady.phase("ill");
        while steady.tally("ill").failed < 5 {
            tokio::task::yield_now().await;
        }
        let tallies = steady.stop().await;
        assert_eq!(tallies["well"].failed, 0, "{:?}", tallies["well"].failures);
        assert!(tallies["ill"].failures[0].contains("503"), "{:?}", tallies["ill"]);
    }
}
