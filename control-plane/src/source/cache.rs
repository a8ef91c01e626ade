//! Parsed files by content, so that a reload parses only what has changed and shares the objects of the rest.
//!
//! A file is not even read again when its stamp is the same and was settled when it was read: any write after that
//! reading has a later change time. A stamp younger than the clock's granularity proves nothing.

use std::{collections::BTreeMap, fs, io::Read as _, path::Path, sync::Arc, time::SystemTime};

use xxhash_rust::xxh3::xxh3_128;

use super::{
    Diagnostic, Loaded, Manifest, collection, manifest,
    tree::{self, File, Stamp, Tree},
};

/// One parsed file.
#[derive(Clone, Debug)]
struct Parsed {
    hash: u128,
    /// The stamp, if it was settled when the file was read.
    settled: Option<Stamp>,
    manifest: Arc<Manifest>,
}

/// Files of the last reading, by name.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    files: BTreeMap<String, Parsed>,
}

/// The result of reading a directory.
pub(crate) struct Reading {
    /// The objects, or why none is taken.
    pub(crate) result: Result<Loaded, Vec<Diagnostic>>,
    /// Whether anything differs from the reading before.
    pub(crate) changed: bool,
    /// Files that were read.
    pub(crate) opened: usize,
    /// Files that were parsed.
    pub(crate) parsed: usize,
}

impl Cache {
    /// Reads the files of a tree, walked not before `now`. Blocks on the file system.
    pub(crate) fn read(&mut self, tree: &Tree, now: SystemTime) -> Reading {
        let mut before = std::mem::take(&mut self.files);
        let mut others = tree.diagnostics.clone();
        let (mut opened, mut parsed) = (0, 0);
        for (name, file) in &tree.files {
            let known = before.remove_entry(name);
            if let Some((name, known)) = known.as_ref().filter(|(_, known)| known.settled == Some(file.stamp))
            {
                self.files.insert(name.clone(), known.clone());
                continue;
            }
            opened += 1;
            match contents(file) {
                Ok(bytes) => {
                    let hash = xxh3_128(&bytes);
                    let same = known.filter(|(_, known)| known.hash == hash).map(|(_, known)| known.manifest);
                    let manifest = same.unwrap_or_else(|| {
                        parsed += 1;
                        Arc::new(manifest::parse(name, &bytes))
                    });
                    let settled = file.stamp.is_settled(now).then_some(file.stamp);
                    self.files.insert(name.clone(), Parsed { hash, settled, manifest });
                }
                Err(error) => {
                    others.push(tree::unreadable(name, &error));
                    before.extend(known);
                }
            }
        }
        let manifests: Vec<_> = self.files.values().map(|file| Arc::clone(&file.manifest)).collect();
        // What is left in `before` is gone or could not be read.
        let changed = parsed > 0 || !before.is_empty();
        Reading { result: collection::join(&manifests, others), changed, opened, parsed }
    }
}

/// Reads a file that may grow while it is read; the size limit holds all the same.
pub(super) fn contents(file: &File) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(&file.path)?.take(manifest::MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn open(path: &Path) -> std::io::Result<fs::File> {
    fs::File::open(path)
}
