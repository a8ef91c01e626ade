//! Parsed files by content, so that a reload parses only what has changed and shares the objects of the rest.

use std::{collections::BTreeMap, fs, io::Read as _, path::Path, sync::Arc};

use xxhash_rust::xxh3::xxh3_128;

use super::{
    Diagnostic, Loaded, Manifest, collection, manifest,
    tree::{self, File, Tree},
};

/// One parsed file.
#[derive(Debug)]
struct Parsed {
    hash: u128,
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
    /// Files that were parsed.
    pub(crate) parsed: usize,
}

impl Cache {
    /// Reads the files of a tree. Blocks on the file system.
    pub(crate) fn read(&mut self, tree: &Tree) -> Reading {
        let mut before = std::mem::take(&mut self.files);
        let mut others = tree.diagnostics.clone();
        let mut parsed = 0;
        for (name, file) in &tree.files {
            match contents(file) {
                Ok(bytes) => {
                    let hash = xxh3_128(&bytes);
                    let known = before.remove(name).filter(|known| known.hash == hash);
                    let entry = known.unwrap_or_else(|| {
                        parsed += 1;
                        Parsed { hash, manifest: Arc::new(manifest::parse(name, &bytes)) }
                    });
                    self.files.insert(name.clone(), entry);
                }
                Err(error) => others.push(tree::unreadable(name, &error)),
            }
        }
        let manifests: Vec<_> = self.files.values().map(|file| Arc::clone(&file.manifest)).collect();
        // What is left in `before` is gone or could not be read.
        let changed = parsed > 0 || !before.is_empty();
        Reading { result: collection::join(&manifests, others), changed, parsed }
    }
}

/// Reads a file that may grow while it is read; the size limit holds all the same.
fn contents(file: &File) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(&file.path)?.take(manifest::MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn open(path: &Path) -> std::io::Result<fs::File> {
    fs::File::open(path)
}
