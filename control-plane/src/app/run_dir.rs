//! The run directory: one process at a time, and nothing left over from an earlier one.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

/// A run directory that this process owns until it is dropped.
#[derive(Debug)]
pub(super) struct RunDir {
    path: PathBuf,
    /// Holds the lock; the system releases it however the process ends.
    _lock: File,
}

impl RunDir {
    /// Takes the directory, creating it when absent.
    ///
    /// # Errors
    /// When it cannot be written, or another process owns it.
    pub(super) fn claim(path: &Path) -> Result<Self> {
        fs::create_dir_all(path)
            .with_context(|| format!("--run-dir {}: cannot be created", path.display()))?;
        let path = path.canonicalize()?;
        let file = path.join("lock");
        let lock = File::create(&file).with_context(|| format!("{} cannot be written", file.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "another `signalbox standalone` uses {}: end it, or give this one its own --run-dir",
                path.display()
            ),
            Err(TryLockError::Error(error)) => {
                return Err(error).context("the run directory cannot be locked");
            }
        }
        Ok(Self { path, _lock: lock })
    }

    /// The directory, absolute.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_directory_has_one_owner() {
        let dir = tempfile::tempdir().unwrap();
        let first = RunDir::claim(dir.path()).unwrap();
        let error = RunDir::claim(dir.path()).unwrap_err().to_string();
        assert!(error.contains("--run-dir"), "{error}");
        drop(first);
        RunDir::claim(dir.path()).unwrap();
    }
}
