//! Which `tokenizer.json` belongs to which model.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The file's name.
const FILE: &str = "tokenizer.json";
/// How deep names of models go: organisation and model.
const DEPTH: usize = 2;
/// How a cache of Hugging Face begins the names of its directories.
const CACHED: &str = "models--";

/// A model and where its tokenizer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The model's name, as requests say it; `*` for all without one.
    pub model: String,
    /// The file, or the directory that it is in.
    pub path: PathBuf,
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((model, path)) if !model.is_empty() && !path.is_empty() => {
                Ok(Self { model: model.to_owned(), path: path.into() })
            }
            _ => Err("not written MODEL=PATH".to_owned()),
        }
    }
}

/// Where tokenizers are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// By model; goes before the directory.
    pub named: Vec<Named>,
    /// A directory with one directory for each model.
    pub directory: Option<PathBuf>,
}

impl Places {
    /// There are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.named.is_empty() && self.directory.is_none()
    }

    /// The files there are now, by model; a named one also when it is not there. What cannot be read of the directory has
    /// none.
    #[must_use]
    pub fn find(&self) -> BTreeMap<String, PathBuf> {
        let mut found = BTreeMap::new();
        if let Some(directory) = &self.directory {
            search(directory, "", DEPTH, &mut found);
        }
        for Named { model, path } in &self.named {
            let path = if path.is_dir() { path.join(FILE) } else { path.clone() };
            found.insert(model.clone(), path);
        }
        found
    }
}

/// Adds what is in `directory`, whose models' names begin with `prefix`.
fn search(directory: &Path, prefix: &str, depth: usize, found: &mut BTreeMap<String, PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        // Mounted volumes keep their versions in directories that begin with a dot.
        if name.starts_with('.') || !path.is_dir() {
            continue;
        }
        let cached = name.strip_prefix(CACHED);
        let model = format!("{prefix}{}", cached.unwrap_or(name).replace("--", "/"));
        let file = match cached {
            Some(_) => snapshot(&path),
            None => Some(path.join(FILE)).filter(|file| file.is_file()),
        };
        match file {
            Some(file) => drop(found.insert(model, file)),
            None if depth > 1 && cached.is_none() => {
                search(&path, &format!("{model}/"), depth - 1, found);
            }
            None => {}
        }
    }
}

/// The file of a model in a cache of Hugging Face: of the revision that is `main`, or of the last one by name.
fn snapshot(model: &Path) -> Option<PathBuf> {
    let snapshots = model.join("snapshots");
    let main = fs::read_to_string(model.join("refs/main")).ok();
    let main = main.map(|revision| snapshots.join(revision.trim()).join(FILE));
    if let Some(file) = main.filter(|file| file.is_file()) {
        return Some(file);
    }
    let all = fs::read_dir(&snapshots).ok()?.flatten().map(|entry| entry.path().join(FILE));
    all.filter(|file| file.is_file()).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_by_the_names_of_models() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, content: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        };
        for path in [
            "llama/tokenizer.json",
            "org/model/tokenizer.json",
            "meta--small/tokenizer.json",
            "models--google--gemma/snapshots/aa/tokenizer.json",
            "models--google--gemma/snapshots/bb/tokenizer.json",
            "models--google--other/snapshots/aa/tokenizer.json",
            ".hidden/tokenizer.json",
            "too/deep/down/tokenizer.json",
            "nothing/config.json",
        ] {
            put(path, "{}");
        }
        put("models--google--gemma/refs/main", "aa\n");
        let named = ["llama=/nowhere", "*=org/model"].map(|text| text.parse::<Named>().unwrap());
        let named = named.map(|named| Named { path: dir.path().join(named.path), ..named }).to_vec();
        let found = Places { named, directory: Some(dir.path().to_owned()) }.find();
        let relative = |path: &Path| {
            path.strip_prefix(dir.path())
                .map_or_else(|_| path.to_owned(), Path::to_owned)
                .display()
                .to_string()
        };
        let found: Vec<_> = found.iter().map(|(model, path)| (model.as_str(), relative(path))).collect();
        let expected = [
            ("*", "org/model/tokenizer.json"),
            ("google/gemma", "models--google--gemma/snapshots/aa/tokenizer.json"),
            ("google/other", "models--google--other/snapshots/aa/tokenizer.json"),
            ("llama", "/nowhere"),
            ("meta/small", "meta--small/tokenizer.json"),
            ("org/model", "org/model/tokenizer.json"),
        ];
        assert_eq!(found, expected.map(|(model, path)| (model, path.to_owned())));
    }

    #[test]
    fn names_and_paths_are_written_with_an_equals_sign() {
        for wrong in ["", "llama", "=x", "llama="] {
            assert!(wrong.parse::<Named>().unwrap_err().contains("MODEL=PATH"), "{wrong}");
        }
    }
}
