//! A directory of manifests as a source: read once, or followed.
//!
//! ```text
//! signal (notify) ─▶ 30 ms of quiet ─▶ walk, read, parse what changed ─▶ Reload::{Loaded, Refused}
//! every 2 s ──────── stamps differ? ─┘        (off the runtime)
//! ```
//!
//! All or nothing: with any diagnostic nothing is taken, and the objects read last stay in force.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, MissedTickBehavior, interval_at, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Diagnostic, Loaded,
    cache::{Cache, Reading},
    tree::{self, Tree},
    watch::Watch,
};

/// Quiet time after the last signal, so that a writer of many files is read once.
const QUIET: Duration = Duration::from_millis(30);
/// A directory that never falls quiet is read this often.
const MAX_DELAY: Duration = Duration::from_millis(300);
/// How often stamps are compared, for file systems without events.
const POLL: Duration = Duration::from_secs(2);

/// What became of a reading.
#[derive(Clone, Debug)]
pub enum Reload {
    /// Everything was read; the batch replaces all objects.
    Loaded(Loaded),
    /// Something is wrong; the objects of the last [`Self::Loaded`] stay.
    Refused(Vec<Diagnostic>),
}

/// A directory of manifests (or one file).
#[derive(Debug)]
pub struct FileSource;

impl FileSource {
    /// Reads a directory once. Blocks on the file system.
    ///
    /// # Errors
    /// All diagnostics, when there is any.
    pub fn load(directory: &Path) -> Result<Loaded, Vec<Diagnostic>> {
        Cache::default().read(&tree::walk(directory)).result
    }

    /// Follows a directory until `cancel`: sends the first reading, then one for each change of content.
    ///
    /// `sender` is bounded. While it is full no reading is made, and what changes meanwhile is in the next one, so
    /// nothing is lost and no counter is needed. Ends early when the receiver is gone.
    pub async fn run(directory: PathBuf, sender: mpsc::Sender<Reload>, cancel: CancellationToken) {
        let follow = Follower::new(directory).follow(&sender);
        if cancel.run_until_cancelled(follow).await.is_none() {
            tracing::debug!("stopped to follow the manifests");
        }
    }
}

/// State between readings.
struct Follower {
    directory: PathBuf,
    signal: Arc<Notify>,
    watch: Option<Watch>,
    /// `None` only while a reading is under way.
    state: Option<State>,
}

/// What a reading works on.
#[derive(Default)]
struct State {
    cache: Cache,
    tree: Tree,
    /// Diagnostics of the files' places (not their content) that were sent last.
    sent: Option<Vec<Diagnostic>>,
}

impl Follower {
    fn new(directory: PathBuf) -> Self {
        Self { directory, signal: Arc::default(), watch: None, state: Some(State::default()) }
    }

    async fn follow(mut self, sender: &mpsc::Sender<Reload>) {
        let mut poll = interval_at(Instant::now() + POLL, POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut due = true;
        loop {
            self.watch();
            if due
                && let Some(reload) = self.read().await
                && sender.send(reload).await.is_err()
            {
                return;
            }
            tokio::select! {
                () = self.signal.notified() => {
                    self.settle().await;
                    due = true;
                }
                _ = poll.tick() => due = self.stamps_differ().await,
            }
        }
    }

    /// Watches the directory that the path leads to; goes on without events when there are none.
    fn watch(&mut self) {
        if self.watch.as_ref().is_some_and(|watch| !watch.is_stale(&self.directory)) {
            return;
        }
        match Watch::new(&self.directory, Arc::clone(&self.signal)) {
            Ok(watch) => self.watch = Some(watch),
            Err(error) => {
                let directory = self.directory.display();
                tracing::warn!(%directory, %error, "no file events: changes are seen within two seconds");
                self.watch = None;
            }
        }
    }

    /// Waits until no signal has come for [`QUIET`], at most [`MAX_DELAY`].
    async fn settle(&self) {
        let quiet = async { while timeout(QUIET, self.signal.notified()).await.is_ok() {} };
        tokio::select! {
            () = quiet => {}
            () = sleep(MAX_DELAY) => {}
        }
    }

    /// Reads the directory; nothing when it is as it was.
    async fn read(&mut self) -> Option<Reload> {
        let directory = self.directory.clone();
        self.blocking(move |state| {
            let started = std::time::Instant::now();
            state.tree = tree::walk(&directory);
            let Reading { result, changed, parsed } = state.cache.read(&state.tree);
            let refused = result.as_ref().err().cloned();
            if !changed && state.sent == Some(refused.clone().unwrap_or_default()) {
                return None;
            }
            state.sent = Some(refused.unwrap_or_default());
            let files = state.tree.files.len();
            let took = started.elapsed();
            tracing::debug!(files, parsed, ?took, accepted = result.is_ok(), "read the manifests");
            Some(result.map_or_else(Reload::Refused, Reload::Loaded))
        })
        .await
    }

    async fn stamps_differ(&mut self) -> bool {
        let directory = self.directory.clone();
        self.blocking(move |state| tree::walk(&directory) != state.tree).await
    }

    /// Runs `work` on a thread that may block.
    async fn blocking<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut State) -> T + Send + 'static,
    ) -> T {
        let mut state = self.state.take().unwrap_or_default();
        let task = tokio::task::spawn_blocking(move || {
            let result = work(&mut state);
            (state, result)
        });
        match task.await {
            Ok((state, result)) => {
                self.state = Some(state);
                result
            }
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

#[cfg(test)]
mod tests;
