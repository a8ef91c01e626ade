//! The manifest files of a directory.
//!
//! `*.yaml`, `*.yml` and `*.json`, recursively and through symbolic links; names with a leading dot are skipped
//! (kubelet keeps a ConfigMap's generations in such directories and links into them).

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{Diagnostic, manifest::MAX_FILE_BYTES};

/// Levels of directories.
const MAX_LEVELS: usize = 32;

/// What a walk found, by name relative to the directory.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tree {
    /// Files to read.
    pub(crate) files: BTreeMap<String, File>,
    /// What cannot be read.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// A file to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// What changes when the file is written or replaced: size, times and identity.
    pub(crate) stamp: Stamp,
}

/// A cheap fingerprint of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    identity: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            identity: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether a write from `now` on is sure to give another stamp: change times of file systems are up to two
    /// seconds coarse.
    pub(crate) fn is_settled(&self, now: SystemTime) -> bool {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        i64::try_from(now).is_ok_and(|now| self.changed.0 + 3 <= now)
    }
}

/// Walks a directory, or takes a single file.
pub(crate) fn walk(root: &Path) -> Tree {
    let mut tree = Tree::default();
    let shown = root.display().to_string();
    match fs::metadata(root) {
        Ok(metadata) if metadata.is_dir() => directory(root, "", &mut vec![identity(&metadata)], &mut tree),
        Ok(metadata) => file(root, &shown, &metadata, &mut tree),
        Err(error) => tree.diagnostics.push(unreadable(&shown, &error)),
    }
    tree
}

fn identity(metadata: &fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// Reads a directory; `above` are the directories that lead to it, itself included.
fn directory(path: &Path, name: &str, above: &mut Vec<(u64, u64)>, tree: &mut Tree) {
    let entries = match fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
        Ok(entries) => entries,
        Err(error) => {
            let shown = if name.is_empty() { path.display().to_string() } else { name.to_owned() };
            tree.diagnostics.push(unreadable(&shown, &error));
            return;
        }
    };
    for entry in entries {
        let file_name = entry.file_name();
        let file_name = file_name.to_string_lossy();
        if file_name.starts_with('.') {
            continue;
        }
        let child = entry.path();
        let child_name = if name.is_empty() { file_name.to_string() } else { format!("{name}/{file_name}") };
        match fs::metadata(&child) {
            Ok(metadata) if metadata.is_dir() => {
                if above.contains(&identity(&metadata)) {
                    let message = "this link leads back to a directory above it";
                    tree.diagnostics.push(Diagnostic::file(child_name, message, "remove the link"));
                } else if above.len() >= MAX_LEVELS {
                    let message = format!("directories are nested more than {MAX_LEVELS} levels deep");
                    tree.diagnostics.push(Diagnostic::file(child_name, message, ""));
                } else {
                    above.push(identity(&metadata));
                    directory(&child, &child_name, above, tree);
                    above.pop();
                }
            }
            Ok(metadata) if is_manifest(&file_name) => file(&child, &child_name, &metadata, tree),
            Err(error) if is_manifest(&file_name) || is_link_loop(&error) => {
                tree.diagnostics.push(unreadable(&child_name, &error));
            }
            Ok(_) | Err(_) => {}
        }
    }
}

fn file(path: &Path, name: &str, metadata: &fs::Metadata, tree: &mut Tree) {
    if !metadata.is_file() {
        // Opening a pipe would wait for a writer for ever.
        tree.diagnostics.push(Diagnostic::file(name, "not a regular file", "remove it"));
    } else if metadata.len() > MAX_FILE_BYTES {
        let message = format!("the file is larger than {} MiB", MAX_FILE_BYTES >> 20);
        tree.diagnostics.push(Diagnostic::file(name, message, "split it"));
    } else {
        let stamp = Stamp::of(metadata);
        tree.files.insert(name.to_owned(), File { path: path.to_owned(), stamp });
    }
}

fn is_manifest(name: &str) -> bool {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    ["yaml", "yml", "json"].iter().any(|known| extension.eq_ignore_ascii_case(known))
}

fn is_link_loop(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ELOOP)
}

/// The diagnostic for a file or directory that cannot be read.
pub(crate) fn unreadable(name: &str, error: &io::Error) -> Diagnostic {
    let remedy = match error.kind() {
        io::ErrorKind::NotFound => "create it, or remove the link that leads to it",
        io::ErrorKind::PermissionDenied => "let the user that Signalbox runs as read it",
        _ if is_link_loop(error) => "remove the link that leads back to itself",
        _ => "",
    };
    Diagnostic::file(name, format!("cannot be read: {error}"), remedy)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn walks_links_and_skips_hidden_names_and_other_files() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("sub/deep")).unwrap();
        fs::create_dir_all(at("..2026")).unwrap();
        for name in
            ["a.yaml", "sub/b.yml", "sub/deep/c.JSON", ".hidden.yaml", "..2026/d.yaml", "readme.md", "yaml"]
        {
            fs::write(at(name), "").unwrap();
        }
        symlink("..2026", at("..data")).unwrap();
        symlink("..data/d.yaml", at("d.yaml")).unwrap();
        let tree = walk(dir.path());
        assert_eq!(
            tree.files.keys().collect::<Vec<_>>(),
            ["a.yaml", "d.yaml", "sub/b.yml", "sub/deep/c.JSON"]
        );
        assert_eq!(tree.diagnostics, []);
    }

    #[test]
    fn loops_sockets_and_dangling_links_are_diagnostics() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("sub")).unwrap();
        symlink("..", at("sub/up")).unwrap();
        symlink("self", at("self")).unwrap();
        symlink("nowhere", at("gone.yaml")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket.yaml")).unwrap();
        let tree = walk(dir.path());
        let mut lines: Vec<_> = tree.diagnostics.iter().map(ToString::to_string).collect();
        lines.sort();
        assert_eq!(lines.len(), 4, "{lines:#?}");
        assert!(lines[0].starts_with("gone.yaml: cannot be read"), "{}", lines[0]);
        assert_eq!(lines[2], "socket.yaml: not a regular file; remove it");
        assert!(lines[1].starts_with("self: cannot be read"), "{}", lines[1]);
        assert_eq!(lines[3], "sub/up: this link leads back to a directory above it; remove the link");
        assert!(tree.files.is_empty());
    }

    #[test]
    fn a_missing_directory_is_a_diagnostic() {
        let tree = walk(Path::new("/nonexistent/manifests"));
        assert_eq!(tree.diagnostics.len(), 1);
    }
}
