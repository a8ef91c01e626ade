//! HTTP load of bounded rate and duration, with every failure counted by what it was.
//!
//! ```text
//! Pace ─ closed: each of N clients asks again when answered │ open: arrivals do not wait for answers ─▶ request
//!   request ─▶ Outcome: checked answer with latency (and time to the first token) │ Failure ─▶ Report
//! ```

mod failure;
mod latency;
mod pace;
mod request;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

pub use self::{failure::Failure, latency::Latency, pace::Pace, request::LoadRequest};
use crate::client::{Client, DEADLINE};

/// What is sent, and how often.
#[derive(Clone)]
pub struct Load {
    /// The client. Its connections are kept alive and shared.
    pub client: Client,
    /// The requests, in turn.
    pub requests: Vec<LoadRequest>,
    /// How often.
    pub pace: Pace,
    /// For how long requests are begun.
    pub duration: Duration,
    /// How long one request may take.
    pub deadline: Duration,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Requests begun.
    pub sent: u64,
    /// Requests answered as they should be.
    pub good: u64,
    /// Good answers by Pod.
    pub by_pod: BTreeMap<String, u64>,
    /// The others by kind.
    pub failures: BTreeMap<Failure, u64>,
    /// The first failures in full, with the time since the load's start.
    pub examples: Vec<String>,
    /// Time to the end of good answers.
    pub latency: Latency,
    /// Time to the first token of good streams.
    pub first_token: Latency,
}

/// Failures described in full.
const EXAMPLES: usize = 10;

/// Load under way; [`Running::stop`] ends it.
pub struct Running {
    task: JoinSet<()>,
    stop: CancellationToken,
    report: Arc<Mutex<Report>>,
}

impl Load {
    /// A load of one kind of request.
    pub fn of(client: &Client, request: LoadRequest, pace: Pace, duration: Duration) -> Self {
        Self { client: client.clone(), requests: vec![request], pace, duration, deadline: DEADLINE }
    }

    /// Runs to the end of the duration and of the last answer.
    pub async fn run(self) -> Report {
        self.start().finish().await
    }

    /// Begins in the background.
    pub fn start(self) -> Running {
        assert!(!self.requests.is_empty(), "a load has requests");
        let stop = CancellationToken::new();
        let report = Arc::<Mutex<Report>>::default();
        let mut task = JoinSet::new();
        task.spawn(pace::drive(self, Arc::clone(&report), stop.clone()));
        Running { task, stop, report }
    }
}

impl Running {
    /// What has come of it so far.
    pub fn so_far(&self) -> Report {
        self.report.lock().clone()
    }

    /// Waits until so many more requests have been answered well.
    ///
    /// # Errors
    /// When they are not within `within`; the text shows the report.
    pub async fn more(&self, count: u64, within: Duration) -> anyhow::Result<()> {
        let goal = self.report.lock().good + count;
        let reached = async {
            while self.report.lock().good < goal {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(within, reached).await.map_err(|_| {
            anyhow::anyhow!("not {count} more answers within {within:?}: {}", self.report.lock())
        })
    }

    /// Begins no more requests, waits for the answers.
    pub async fn stop(self) -> Report {
        self.stop.cancel();
        self.finish().await
    }

    async fn finish(mut self) -> Report {
        while let Some(ended) = self.task.join_next().await {
            ended.expect("the load's task does not panic");
        }
        self.report.lock().clone()
    }
}

impl Report {
    /// Requests that were not answered as they should be.
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    fn record(&mut self, outcome: Result<request::Good, (Failure, String)>, since_start: Duration) {
        match outcome {
            Ok(good) => {
                self.good += 1;
                *self.by_pod.entry(good.pod).or_default() += 1;
                self.latency.record(good.latency);
                if let Some(first) = good.first_token {
                    self.first_token.record(first);
                }
            }
            Err((failure, text)) => {
                *self.failures.entry(failure).or_default() += 1;
                if self.examples.len() < EXAMPLES {
                    self.examples.push(format!("at {since_start:.3?}: {failure}: {text}"));
                }
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} sent, {} good, {} failed; latency {}",
            self.sent,
            self.good,
            self.failed(),
            self.latency
        )?;
        if self.first_token.count() > 0 {
            write!(f, "; first token {}", self.first_token)?;
        }
        for (failure, count) in &self.failures {
            write!(f, "\n  {count} × {failure}")?;
        }
        for example in &self.examples {
            write!(f, "\n  {example}")?;
        }
        Ok(())
    }
}

/// Sends one request of the load and records what came of it.
async fn once(load: Arc<Load>, number: u64, start: Instant, report: Arc<Mutex<Report>>) {
    report.lock().sent += 1;
    let index = usize::try_from(number % load.requests.len() as u64).expect("below the number of requests");
    let outcome = load.requests[index].send(&load.client, load.deadline).await;
    report.lock().record(outcome, start.elapsed());
}

#[cfg(test)]
mod tests;
