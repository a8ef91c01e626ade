//! Writes statuses to the API server: the leader only, only what differs, each object on its own.
//!
//! ```text
//! StatusWriter::set(plan, world) ─ watch: the latest wins ─▶ Queue ─ at most 8 at once ─▶ patch ─▶ API server
//!                                        leader (watch) ─────▶ │ ◀─ written, conflict, gone, failed ─┘
//! ```
//!
//! Nothing is queued but names of objects, so the queue is bounded by the number of objects; an object that changes
//! again while it waits is written once, with its latest content.

mod metrics;
mod observed;
mod patch;
mod queue;

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use jiff::Timestamp;
use kube::Client;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

pub use metrics::Metrics;
use patch::Patcher;
pub use patch::rights;
use queue::Queue;

use super::Plan;
use crate::world::World;

/// Requests that are under way at once.
const IN_FLIGHT: usize = 8;
/// Objects that are compared before other tasks get their turn.
const COMPARED_AT_ONCE: usize = 256;

/// What is to be written, and what there is.
#[derive(Debug)]
struct Input {
    plan: Arc<Plan>,
    world: World,
}

/// Says what statuses should be. Clones speak to the same task.
#[derive(Clone, Debug)]
pub struct StatusWriter(watch::Sender<Option<Arc<Input>>>);

impl StatusWriter {
    /// Every object of ours should have the status in `plan`; `world` is what the plan was made from, with the statuses
    /// that were read. Replaces what was said before. Returns at once.
    pub fn set(&self, plan: Plan, world: World) {
        self.0.send_replace(Some(Arc::new(Input { plan: Arc::new(plan), world })));
    }
}

/// The task that writes.
#[derive(Debug)]
pub struct StatusTask {
    inputs: watch::Receiver<Option<Arc<Input>>>,
    leader: watch::Receiver<bool>,
    queue: Queue,
    patcher: Patcher,
    metrics: Metrics,
}

/// A writer and its task. `controller` is the name under which entries in shared lists are ours; nothing is written
/// while `leader` is false.
pub fn writer(
    client: Client,
    controller: &str,
    leader: watch::Receiver<bool>,
    metrics: Metrics,
) -> (StatusWriter, StatusTask) {
    let (sender, inputs) = watch::channel(None);
    let patcher = Patcher::new(client, metrics.clone());
    let queue = Queue::new(controller);
    (StatusWriter(sender), StatusTask { inputs, leader, queue, patcher, metrics })
}

impl StatusTask {
    /// Writes until `cancel` fires. Requests under way are given up when leadership is lost: one that arrived all the
    /// same was made against the version that this replica had seen, so it cannot undo the next leader's.
    ///
    /// # Errors
    /// When there is nobody left who says what to write.
    pub async fn run(mut self, cancel: CancellationToken) -> anyhow::Result<()> {
        let mut writes = FuturesUnordered::new();
        self.lead();
        loop {
            let mut busy = false;
            if self.queue.is_leading() {
                busy = self.queue.compare(COMPARED_AT_ONCE, Instant::now().into_std(), &now());
                while writes.len() < IN_FLIGHT
                    && let Some(write) = self.queue.next()
                {
                    let patcher = self.patcher.clone();
                    writes.push(async move { patcher.write(write).await });
                }
            }
            self.metrics.depth(self.queue.depth());
            let wake = self.queue.wakes_at().map(Instant::from_std);
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Ok(()),
                changed = self.leader.changed() => {
                    if changed.is_err() {
                        self.queue.follow();
                        writes.clear();
                        cancel.cancelled().await;
                        return Ok(());
                    }
                    if !self.lead() {
                        writes.clear();
                    }
                }
                Some((object, outcome)) = writes.next(), if !writes.is_empty() => {
                    self.queue.done(&object, outcome, Instant::now().into_std());
                }
                changed = self.inputs.changed() => {
                    changed?;
                    self.take_input();
                }
                () = tokio::time::sleep_until(wake.unwrap_or_else(far)), if wake.is_some() => {}
                () = tokio::task::yield_now(), if busy => {}
            }
        }
    }

    /// Takes up or drops the work, as the election says; says whether this replica leads.
    fn lead(&mut self) -> bool {
        // What was said before leadership is what the first comparison is made with.
        self.take_input();
        let leads = *self.leader.borrow_and_update();
        match leads {
            true => self.queue.lead(),
            false => self.queue.follow(),
        }
        leads
    }

    fn take_input(&mut self) {
        let input = self.inputs.borrow_and_update().clone();
        if let Some(input) = input {
            self.queue.set(input.plan.clone(), &input.world);
        }
    }
}

/// A moment that does not come.
fn far() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
