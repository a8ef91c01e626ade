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
    time::{Duration, SystemTime},
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
        Cache::default().read(&tree::walk(directory), SystemTime::now()).result
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
    /// `None` only while a reading is under way.
    state: Option<State>,
}

/// What a reading works on.
#[derive(Default)]
struct State {
    cache: Cache,
    tree: Tree,
    /// Diagnostics that were sent last, none after a good reading.
    sent: Option<Vec<Diagnostic>>,
    watch: Option<Watch>,
    /// That there are no events has been said.
    deaf: bool,
}

impl State {
    /// Watches the directory that the path leads to; goes on without events when there are none. To be called
    /// before each walk, so that whatever changes after it gives a signal.
    fn watch(&mut self, directory: &Path, signal: &Arc<Notify>) {
        if self.watch.as_ref().is_some_and(|watch| !watch.is_stale(directory)) {
            return;
        }
        let watch = Watch::new(directory, Arc::clone(signal));
        if let Err(error) = &watch
            && !self.deaf
        {
            let directory = directory.display();
            tracing::warn!(%directory, %error, "no file events: changes are seen within two seconds");
        }
        self.deaf = watch.is_err();
        self.watch = watch.ok();
    }
}

impl Follower {
    fn new(directory: PathBuf) -> Self {
        Self { directory, signal: Arc::default(), state: Some(State::default()) }
    }

    async fn follow(mut self, sender: &mpsc::Sender<Reload>) {
        let mut poll = interval_at(Instant::now() + POLL, POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut due = true;
        loop {
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
        self.blocking(|state, directory| {
            let (started, now) = (std::time::Instant::now(), SystemTime::now());
            state.tree = tree::walk(directory);
            let Reading { result, changed, opened, parsed } = state.cache.read(&state.tree, now);
            let refused = result.as_ref().err().cloned();
            if !changed && state.sent == Some(refused.clone().unwrap_or_default()) {
                return None;
            }
            state.sent = Some(refused.unwrap_or_default());
            let files = state.tree.files.len();
            let took = started.elapsed();
            tracing::debug!(files, opened, parsed, ?took, accepted = result.is_ok(), "read the manifests");
            Some(result.map_or_else(Reload::Refused, Reload::Loaded))
        })
        .await
    }

    async fn stamps_differ(&mut self) -> bool {
        self.blocking(|state, directory| tree::walk(directory) != state.tree).await
    }

    /// Runs `work` on a thread that may block, with the directory watched.
    async fn blocking<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut State, &Path) -> T + Send + 'static,
    ) -> T {
        let mut state = self.state.take().unwrap_or_default();
        let (directory, signal) = (self.directory.clone(), Arc::clone(&self.signal));
        let task = tokio::task::spawn_blocking(move || {
            state.watch(&directory, &signal);
            let result = work(&mut state, &directory);
            (state, result)
        });
        match task.await {
            Ok((state, result)) => {
                self.state = Some(state);
                result
            }
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is shutting down and takes this task with it.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

#[cfg(test)]
mod tests;
