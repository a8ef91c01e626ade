//! Status as files: one YAML document per object in a directory, as `kubectl get -o yaml` would show it.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{Plan, with_times};
use crate::api::{Kind, ObjectRef, group};

/// Writes plans to a directory; only what differs is written, atomically.
#[derive(Debug)]
pub struct StatusFiles {
    dir: PathBuf,
    written: BTreeMap<ObjectRef, Value>,
}

impl StatusFiles {
    /// Uses `dir`, which is created and emptied of statuses of an earlier run.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn new(dir: PathBuf) -> io::Result<Self> {
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir_all(&dir)?;
        Ok(Self { dir, written: BTreeMap::new() })
    }

    /// Makes the directory hold exactly `plan`.
    ///
    /// # Errors
    /// When a file cannot be written; the others are written all the same and the next call tries again.
    pub fn write(&mut self, plan: &Plan, now: &str) -> io::Result<()> {
        let mut failure = None;
        let gone: Vec<_> =
            self.written.keys().filter(|object| !plan.contains_key(*object)).cloned().collect();
        for object in gone {
            match fs::remove_file(self.path(&object)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => failure = Some(error),
                _ => drop(self.written.remove(&object)),
            }
        }
        for (object, status) in plan {
            let previous = self.written.get(object);
            let status = with_times(Value::clone(status), previous, now);
            if previous == Some(&status) {
                continue;
            }
            match self.write_one(object, &status) {
                Ok(()) => drop(self.written.insert(object.clone(), status)),
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(()), Err)
    }

    fn write_one(&self, object: &ObjectRef, status: &Value) -> io::Result<()> {
        let mut metadata = json!({ "name": object.key.name });
        if object.kind.is_namespaced() {
            metadata["namespace"] = json!(object.key.namespace);
        }
        let document = json!({ "apiVersion": api_version(object.kind), "kind": object.kind, "metadata": metadata, "status": status });
        let text = serde_saphyr::to_string(&document).map_err(io::Error::other)?;
        replace_file(&self.path(object), text.as_bytes())
    }

    fn path(&self, object: &ObjectRef) -> PathBuf {
        let kind = object.kind.as_str().to_ascii_lowercase();
        let name = object.key.to_string().replace('/', ".");
        self.dir.join(format!("{kind}.{name}.yaml"))
    }
}

fn api_version(kind: Kind) -> String {
    let group = if kind == Kind::InferencePool { group::INFERENCE } else { group::GATEWAY };
    format!("{group}/v1")
}

/// Replaces a file in one step, so that a reader never sees half of it.
///
/// # Errors
/// When the file's directory cannot be written.
pub fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = path.with_file_name(name);
    let mut file = fs::File::create(&temporary)?;
    file.write_all(bytes)?;
    drop(file);
    fs::rename(temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::NamespacedName;

    #[test]
    fn the_directory_holds_exactly_the_plan() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = StatusFiles::new(dir.path().join("status")).unwrap();
        let object = ObjectRef::new(Kind::Gateway, NamespacedName::new("ns", "gw"));
        let path = dir.path().join("status/gateway.ns.gw.yaml");
        let status =
            |s: &str| json!({ "conditions": [{ "type": "Programmed", "status": s, "reason": "r" }] });
        files.write(&Plan::from([(object.clone(), status("True").into())]), "2026-01-01T00:00:00Z").unwrap();
        let first = fs::read_to_string(&path).unwrap();
        assert!(first.contains("kind: Gateway") && first.contains("2026-01-01"), "{first}");
        files.write(&Plan::from([(object, status("True").into())]), "2026-02-02T00:00:00Z").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), first);
        files.write(&Plan::new(), "2026-03-03T00:00:00Z").unwrap();
        assert!(!path.exists());
    }
}
