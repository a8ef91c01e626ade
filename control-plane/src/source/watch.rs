//! Signals that something in a directory may have changed.
//!
//! ```text
//! directory, recursively ─┐
//! parent directories ─────┴▶ notify ─▶ relevant? ─▶ one pending signal
//! ```
//!
//! The parents are watched because the directory itself may be renamed or be a link that is replaced. Signals carry
//! nothing: whoever gets one reads the directory again, so one pending signal stands for any number.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use notify::{
    EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode},
};
use tokio::sync::Notify;

/// Watches a directory while it lives.
#[derive(Debug)]
pub(crate) struct Watch {
    _watcher: RecommendedWatcher,
    identity: Option<(u64, u64)>,
}

impl Watch {
    /// Starts to watch; `signal` gets at most one pending notification.
    ///
    /// # Errors
    /// When the system has no more watches, or none at all. A directory that does not exist is no error: its parents
    /// are watched for it.
    pub(crate) fn new(directory: &Path, signal: Arc<Notify>) -> notify::Result<Self> {
        let absolute = std::path::absolute(directory)?;
        let real = fs::canonicalize(&absolute).ok();
        let roots: Vec<PathBuf> = [Some(absolute), real.clone()].into_iter().flatten().collect();
        let filter = roots.clone();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // An error may mean lost events: read again.
            if event.map_or(true, |event| is_relevant(&event, &filter)) {
                signal.notify_one();
            }
        })?;
        if let Some(real) = &real {
            watcher.watch(real, RecursiveMode::Recursive)?;
        }
        let mut parents: Vec<PathBuf> = roots.iter().filter_map(|root| existing_parent(root)).collect();
        parents.sort();
        parents.dedup();
        for parent in parents.iter().filter(|parent| Some(*parent) != real.as_ref()) {
            watcher.watch(parent, RecursiveMode::NonRecursive)?;
        }
        Ok(Self { _watcher: watcher, identity: identity(directory) })
    }

    /// Whether the path leads to another directory than when the watch began.
    pub(crate) fn is_stale(&self, directory: &Path) -> bool {
        self.identity != identity(directory)
    }
}

fn identity(directory: &Path) -> Option<(u64, u64)> {
    fs::metadata(directory).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// The nearest directory above that exists.
fn existing_parent(path: &Path) -> Option<PathBuf> {
    path.ancestors().skip(1).find(|parent| parent.is_dir()).map(Path::to_owned)
}

/// Events within the directory, or of a directory on the way to it. Reading is no change: our own reading would
/// signal for ever.
fn is_relevant(event: &notify::Event, roots: &[PathBuf]) -> bool {
    let changes = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    };
    let concerns = |path: &PathBuf| roots.iter().any(|root| path.starts_with(root) || root.starts_with(path));
    changes && (event.need_rescan() || event.paths.iter().any(concerns))
}

#[cfg(test)]
mod tests {
    use notify::{
        Event,
        event::{CreateKind, Flag},
    };

    use super::*;

    #[test]
    fn only_changes_that_concern_the_directory_matter() {
        let roots = [PathBuf::from("/etc/manifests")];
        let event = |kind, path: &str| Event::new(kind).add_path(path.into());
        let create = EventKind::Create(CreateKind::Any);
        let read = EventKind::Access(AccessKind::Open(AccessMode::Any));
        let written = EventKind::Access(AccessKind::Close(AccessMode::Write));
        for (event, expected) in [
            (event(create, "/etc/manifests/a.yaml"), true),
            (event(create, "/etc/manifests/..data"), true),
            (event(create, "/etc/manifests"), true),
            (event(create, "/etc/hosts"), false),
            (event(create, "/etc/manifests-old"), false),
            (event(read, "/etc/manifests/a.yaml"), false),
            (event(written, "/etc/manifests/a.yaml"), true),
            (Event::new(EventKind::Other).set_flag(Flag::Rescan), true),
        ] {
            assert_eq!(is_relevant(&event, &roots), expected, "{event:?}");
        }
    }
}
