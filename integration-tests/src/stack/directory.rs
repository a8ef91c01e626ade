//! A directory of manifests that a test edits while it is watched.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

/// The directory. It goes with the value, unless the test fails: then it is kept and named.
#[derive(Debug)]
pub struct Directory {
    root: Option<TempDir>,
    path: PathBuf,
}

impl Directory {
    /// An empty directory.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new() -> Result<Self> {
        let root = tempfile::Builder::new().prefix("signalbox-test-").tempdir()?;
        let path = root.path().join("manifests");
        fs::create_dir(&path)?;
        Ok(Self { root: Some(root), path })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A directory beside it for what is no manifest.
    pub fn scratch(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    /// The text of a file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, file: &str) -> Result<String> {
        fs::read_to_string(self.path.join(file)).with_context(|| format!("reading {file}"))
    }

    /// Writes a file as editors and `kubectl` users' tools do: in one step, by renaming.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, file: &str, text: &str) -> Result<()> {
        let (path, temporary) = (self.path.join(file), self.scratch().join("being-written"));
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&temporary, text)
            .and_then(|()| fs::rename(&temporary, &path))
            .with_context(|| format!("writing {file}"))
    }

    /// Replaces a part of a file.
    ///
    /// # Errors
    /// When the part is not there.
    pub fn replace(&self, file: &str, part: &str, by: &str) -> Result<()> {
        let text = self.read(file)?;
        ensure!(text.contains(part), "{file} has no {part:?}");
        self.write(file, &text.replace(part, by))
    }

    /// Removes a file.
    ///
    /// # Errors
    /// When it is not there.
    pub fn remove(&self, file: &str) -> Result<()> {
        fs::remove_file(self.path.join(file)).with_context(|| format!("removing {file}"))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(root) = self.root.take()
        {
            let kept = root.keep();
            tracing::error!(directory = %kept.display(), "the test's files are kept");
        }
    }
}
