//! The tokenizers at hand, by model; follows their files.
//!
//! ```text
//! Places ─ every 2 s: which files, changed? ─▶ read (a blocking thread) ─ swap ─▶ get(model)
//!                                               └─ broken: told once, the one before stays
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;

use super::places::Places;
use super::vocabulary::Vocabulary;

/// How often files are looked at.
const INTERVAL: Duration = Duration::from_secs(2);
/// Larger files are refused; those of models have 1 to 35 MB.
const LARGEST: u64 = 256 << 20;
/// Files that are read; each takes some ten times its size in memory.
const MOST: usize = 64;
/// Stands for all models without one of their own.
const ANY: &str = "*";

/// Tokenizers by model.
#[derive(Debug, Default)]
pub struct Shelf {
    places: Places,
    models: ArcSwap<BTreeMap<String, Arc<Vocabulary>>>,
    broken: AtomicUsize,
    loaded: AtomicUsize,
}

/// What tells that a file is another one.
type Stamp = (u64, Option<SystemTime>, u64);

/// A file as it was looked at last.
#[derive(Debug)]
struct Seen {
    /// None: it could not be looked at.
    stamp: Option<Stamp>,
    vocabulary: Option<Arc<Vocabulary>>,
    broken: bool,
}

/// All files, as they were looked at last.
#[derive(Debug, Default)]
pub(super) struct Files(BTreeMap<PathBuf, Seen>);

impl Shelf {
    /// Of the files in `places`; nothing is read yet.
    #[must_use]
    pub fn new(places: Places) -> Self {
        Self { places, ..Self::default() }
    }

    /// The tokenizer of `model`.
    #[must_use]
    pub fn get(&self, model: &str) -> Option<Arc<Vocabulary>> {
        let models = self.models.load();
        models.get(model).or_else(|| models.get(ANY)).cloned()
    }

    /// Files that are in use, and files that cannot be read as they are.
    #[must_use]
    pub fn files(&self) -> (usize, usize) {
        (self.loaded.load(Relaxed), self.broken.load(Relaxed))
    }

    /// Reads the files, and again when they change, for ever.
    pub async fn follow(self: Arc<Self>) -> anyhow::Result<()> {
        let mut files = Files::default();
        let mut ticks = tokio::time::interval(INTERVAL);
        loop {
            ticks.tick().await;
            let shelf = Arc::clone(&self);
            files = tokio::task::spawn_blocking(move || {
                shelf.look(&mut files);
                files
            })
            .await?;
        }
    }

    /// Reads what has changed.
    pub(super) fn look(&self, files: &mut Files) {
        let mut found = self.places.find();
        let paths: std::collections::BTreeSet<_> = found.values().cloned().collect();
        let first = files.0.is_empty();
        files.0.retain(|path, _| paths.contains(path));
        for path in &paths {
            if files.0.len() < MOST || files.0.contains_key(path) {
                files.look(path);
            } else if first {
                tracing::warn!(path = %path.display(), most = MOST, "a tokenizer is one too many and not read");
            }
        }
        found.retain(|_, path| files.0.contains_key(path));
        let read = found
            .into_iter()
            .filter_map(|(model, path)| Some((model, files.0.get(&path)?.vocabulary.clone()?)));
        self.models.store(Arc::new(read.collect()));
        self.loaded.store(files.0.values().filter(|seen| seen.vocabulary.is_some()).count(), Relaxed);
        self.broken.store(files.0.values().filter(|seen| seen.broken).count(), Relaxed);
    }
}

impl Files {
    /// Reads the file at `path`, unless it is as it was.
    fn look(&mut self, path: &Path) {
        let stamp = fs::metadata(path).ok().map(|data| (data.len(), data.modified().ok(), data.ino()));
        let before = self.0.remove(path);
        if let Some(seen) = before.as_ref().filter(|seen| seen.stamp == stamp) {
            let Seen { vocabulary, broken, .. } = seen;
            self.0.insert(path.to_owned(), Seen { stamp, vocabulary: vocabulary.clone(), broken: *broken });
            return;
        }
        let kept = before.and_then(|seen| seen.vocabulary);
        let (vocabulary, broken) = match read(path) {
            Ok(vocabulary) => {
                tracing::info!(path = %path.display(), "tokens are counted with this tokenizer");
                (Some(Arc::new(vocabulary)), false)
            }
            Err(error) => {
                let then = if kept.is_some() { "the one before is used on" } else { "counts are estimated" };
                tracing::warn!(path = %path.display(), error, then, "a tokenizer cannot be read");
                (kept, true)
            }
        };
        self.0.insert(path.to_owned(), Seen { stamp, vocabulary, broken });
    }
}

fn read(path: &Path) -> Result<Vocabulary, String> {
    let size = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > LARGEST {
        return Err(format!("it has {size} bytes, more than {LARGEST}"));
    }
    Vocabulary::parse(&fs::read(path).map_err(|error| error.to_string())?)
}
