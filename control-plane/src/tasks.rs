//! Tasks with names, and what happens when one ends.
//!
//! ```text
//! spawn("watch pods", …)   runs until shutdown; ending earlier, failing or panicking ends the run
//! spawn_brief("stream", …) may end at any time; a panic costs only itself, and is logged
//! shutdown() ─▶ token() is cancelled ─▶ wait(grace) ─▶ Ok, or which task ended the run
//! ```
//!
//! This is the only place that spawns on the runtime.

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A set of tasks that end together. Clones share state.
#[derive(Clone, Debug, Default)]
pub struct TaskSet {
    tracker: TaskTracker,
    token: CancellationToken,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Why the run ends, if a task ended it: the first one.
    failure: Mutex<Option<TaskFailure>>,
    panics: AtomicU64,
}

/// Why a run ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum TaskFailure {
    /// A task returned although the run goes on.
    #[error("task {0:?} ended although nothing told it to")]
    Ended(&'static str),
    /// A task failed.
    #[error("task {0:?} failed: {1:#}")]
    Failed(&'static str, anyhow::Error),
    /// A task panicked.
    #[error("task {0:?} panicked: {1}")]
    Panicked(&'static str, String),
    /// Tasks did not end in the time they were given.
    #[error("{0} tasks did not end in time")]
    Stuck(usize),
}

impl TaskSet {
    /// A set whose shutdown also happens when `parent` is cancelled.
    pub fn under(parent: &CancellationToken) -> Self {
        Self { token: parent.child_token(), ..Self::default() }
    }

    /// Cancelled when the run ends. Tasks watch it.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Runs a task that the process needs: it ends only after the token is cancelled.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        let set = self.clone();
        self.run(async move {
            let failure = match AssertUnwindSafe(task).catch_unwind().await {
                Ok(Ok(())) if set.token.is_cancelled() => return,
                Ok(Ok(())) => TaskFailure::Ended(name),
                Ok(Err(error)) => TaskFailure::Failed(name, error),
                Err(panic) => TaskFailure::Panicked(name, text_of(&*panic)),
            };
            tracing::error!(task = name, error = %failure, "a task ended the run");
            set.shared.failure.lock().get_or_insert(failure);
            set.token.cancel();
        });
    }

    /// Runs a task that may end at any time, for example one client's stream.
    pub fn spawn_brief(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let set = self.clone();
        self.run(async move {
            if let Err(panic) = AssertUnwindSafe(task).catch_unwind().await {
                set.shared.panics.fetch_add(1, Ordering::Relaxed);
                tracing::error!(task = name, error = text_of(&*panic), "a task panicked");
            }
        });
    }

    /// Panics of brief tasks so far.
    pub fn panics(&self) -> u64 {
        self.shared.panics.load(Ordering::Relaxed)
    }

    /// Tasks that are running.
    pub fn running(&self) -> usize {
        self.tracker.len()
    }

    /// Tells all tasks to end.
    pub fn shutdown(&self) {
        self.token.cancel();
    }

    /// Waits until the run ends, then at most `grace` until all tasks have ended.
    ///
    /// # Errors
    /// The first task that ended the run, or how many did not end.
    pub async fn wait(&self, grace: Duration) -> Result<(), TaskFailure> {
        self.token.cancelled().await;
        self.tracker.close();
        let ended = tokio::time::timeout(grace, self.tracker.wait()).await;
        match self.shared.failure.lock().take() {
            Some(failure) => Err(failure),
            None if ended.is_err() => Err(TaskFailure::Stuck(self.tracker.len())),
            None => Ok(()),
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one place: the task is tracked, and its end is looked at"
    )]
    fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(tokio::spawn(self.tracker.track_future(task)));
    }
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_task_that_ends_early_ends_the_run() {
        let tasks = TaskSet::default();
        tasks.spawn("short", async { Ok(()) });
        assert!(matches!(tasks.wait(GRACE).await, Err(TaskFailure::Ended("short"))));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_and_panics_say_which_task() {
        let tasks = TaskSet::default();
        tasks.spawn("bad", async { anyhow::bail!("no disk") });
        assert_eq!(tasks.wait(GRACE).await.unwrap_err().to_string(), "task \"bad\" failed: no disk");
        let tasks = TaskSet::default();
        tasks.spawn("worse", async { panic!("oh") });
        assert_eq!(tasks.wait(GRACE).await.unwrap_err().to_string(), "task \"worse\" panicked: oh");
    }

    #[tokio::test(start_paused = true)]
    async fn shutdown_is_graceful_and_bounded() {
        let parent = CancellationToken::new();
        let tasks = TaskSet::under(&parent);
        let token = tasks.token().clone();
        tasks.spawn("good", async move {
            token.cancelled().await;
            Ok(())
        });
        tasks.spawn_brief("stubborn", std::future::pending());
        parent.cancel();
        assert!(matches!(tasks.wait(GRACE).await, Err(TaskFailure::Stuck(1))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_brief_task_costs_only_itself() {
        let tasks = TaskSet::default();
        tasks.spawn_brief("stream", async { panic!("oh") });
        tasks.spawn_brief("stream", async {});
        tokio::task::yield_now().await;
        assert_eq!((tasks.panics(), tasks.running(), tasks.token().is_cancelled()), (1, 0, false));
        tasks.shutdown();
        assert!(tasks.wait(GRACE).await.is_ok());
    }
}
