//! Pools from a YAML or JSON file, for a picker that runs alone. Read again when it changes, all or nothing.
//!
//! ```yaml
//! pools:
//! - name: default/llama
//!   endpoints:
//!   - address: 10.0.0.1:8000
//!     engine: vllm
//!     accelerator: {class: nvidia-h100-80gb, count: 1}
//!   objectives:
//!   - {name: interactive, priority: 100}
//!   rewrites:
//!   - {source: canary, models: [llama], targets: [{model: llama-v2, weight: 10}, {model: llama-v1, weight: 90}]}
//! ```

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use proto::tier::v1;
use serde::Deserialize;

use crate::pool::{PoolKey, Pools};

/// Larger files are refused.
const LARGEST_FILE: u64 = 64 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    pools: Vec<PoolEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct PoolEntry {
    name: String,
    #[serde(default)]
    endpoints: Vec<EndpointEntry>,
    #[serde(default)]
    objectives: Vec<ObjectiveEntry>,
    #[serde(default)]
    rewrites: Vec<RewriteEntry>,
    #[serde(default)]
    annotations: HashMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct EndpointEntry {
    address: SocketAddr,
    #[serde(default)]
    pod: String,
    #[serde(default)]
    node: String,
    #[serde(default)]
    rank: u32,
    #[serde(default)]
    draining: bool,
    #[serde(default)]
    engine: String,
    #[serde(default)]
    accelerator: AcceleratorEntry,
    #[serde(default)]
    labels: HashMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct AcceleratorEntry {
    class: String,
    count: u32,
    memory_bytes: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ObjectiveEntry {
    name: String,
    #[serde(default)]
    priority: i32,
    #[serde(default)]
    annotations: HashMap<String, String>,
    #[serde(default)]
    models: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RewriteEntry {
    source: String,
    #[serde(default)]
    models: Vec<String>,
    targets: Vec<TargetEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct TargetEntry {
    model: String,
    #[serde(default = "one")]
    weight: u32,
}

fn one() -> u32 {
    1
}

impl From<EndpointEntry> for v1::Endpoint {
    fn from(entry: EndpointEntry) -> Self {
        let state = if entry.draining { v1::EndpointState::Draining } else { v1::EndpointState::Ready };
        let AcceleratorEntry { class, count, memory_bytes } = entry.accelerator;
        Self {
            address: entry.address.ip().to_string(),
            port: entry.address.port().into(),
            pod: entry.pod,
            node: entry.node,
            rank: entry.rank,
            state: state.into(),
            engine: entry.engine,
            accelerator: Some(v1::Accelerator { class, count, memory_bytes }),
            labels: entry.labels,
        }
    }
}

impl From<ObjectiveEntry> for v1::Objective {
    fn from(entry: ObjectiveEntry) -> Self {
        let ObjectiveEntry { name, priority, annotations, models } = entry;
        Self { name, priority, annotations, models }
    }
}

impl From<RewriteEntry> for v1::RewriteRule {
    fn from(entry: RewriteEntry) -> Self {
        let target = |TargetEntry { model, weight }| v1::RewriteTarget { model, weight };
        let targets = entry.targets.into_iter().map(target).collect();
        Self { source: entry.source, models: entry.models, targets }
    }
}

/// The pools that `text` describes, all of them changed.
///
/// # Errors
/// It is not YAML or JSON of this shape; the message names line and field.
pub fn parse(text: &str) -> anyhow::Result<v1::WatchResponse> {
    let file: File = serde_saphyr::from_str(text)?;
    let revision = xxhash_rust::xxh3::xxh3_64(text.as_bytes());
    let mut changed = Vec::with_capacity(file.pools.len());
    for entry in file.pools {
        let key: PoolKey = entry.name.parse()?;
        changed.push(v1::PoolSnapshot {
            name: Some(v1::PoolName { namespace: key.namespace().into(), name: key.name().into() }),
            revision,
            endpoints_revision: revision,
            endpoints: entry.endpoints.into_iter().map(Into::into).collect(),
            objectives: entry.objectives.into_iter().map(Into::into).collect(),
            rewrites: entry.rewrites.into_iter().map(Into::into).collect(),
            annotations: entry.annotations,
            ..v1::PoolSnapshot::default()
        });
    }
    Ok(v1::WatchResponse { changed, synced: true, ..v1::WatchResponse::default() })
}

/// Reads `path` and makes `pools` what it says. Answers what could not be used.
///
/// # Errors
/// The file cannot be read or parsed; `pools` is unchanged.
pub fn load(pools: &Pools, path: &Path) -> anyhow::Result<Vec<String>> {
    let size = std::fs::metadata(path).with_context(|| format!("reading {}", path.display()))?.len();
    anyhow::ensure!(
        size <= LARGEST_FILE,
        "{} has {size} bytes, at most {LARGEST_FILE} are read",
        path.display()
    );
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let mut response = parse(&text).with_context(|| format!("parsing {}", path.display()))?;
    let kept = |name: &Option<v1::PoolName>| response.changed.iter().any(|pool| pool.name == *name);
    response.removed =
        pools.known().into_iter().filter(|known| !kept(&known.name)).filter_map(|known| known.name).collect();
    Ok(pools.apply(response))
}

/// Loads `path` when its modification time or size changes, looking every `every`, until dropped. A file that cannot be
/// used is logged once per change, and the last good pools stay.
pub async fn run(pools: Pools, path: PathBuf, every: Duration) {
    let mut seen: Option<(SystemTime, u64)> = None;
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let stamp = tokio::fs::metadata(&path).await.ok().and_then(|m| Some((m.modified().ok()?, m.len())));
        if stamp.is_none() || stamp == seen {
            continue;
        }
        seen = stamp;
        load_and_tell(&pools, &path);
    }
}

fn load_and_tell(pools: &Pools, path: &Path) {
    match load(pools, path) {
        Ok(problems) => {
            tracing::info!(file = %path.display(), pools = pools.all().len(), "pool file loaded");
            for problem in problems {
                tracing::warn!(%problem, "part of a pool cannot be used");
            }
        }
        Err(error) => {
            tracing::warn!(
                error = format!("{error:#}"),
                "pool file cannot be used; last good pools are kept"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const GOOD: &str = "
pools:
- name: default/llama
  annotations: {signalbox.dev/policy: balanced}
  endpoints:
  - {address: '10.0.0.1:8000', engine: vllm, accelerator: {class: nvidia-h100-80gb, count: 2}}
  - {address: '[fd00::1]:8000', draining: true, labels: {role: decode}}
  objectives: [{name: interactive, priority: 100, models: [llama]}]
  rewrites: [{source: canary, models: [llama], targets: [{model: v2, weight: 10}, {model: v1}]}]
- name: default/other
";

    #[test]
    fn yaml_becomes_pools_and_mistakes_change_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pools.yaml");
        let pools = Pools::new(Instant::now());
        assert!(load(&pools, &path).is_err());
        assert!(!pools.is_synced());

        std::fs::write(&path, GOOD).unwrap();
        assert_eq!(load(&pools, &path).unwrap(), Vec::<String>::new());
        assert!(pools.is_synced() && pools.all().len() == 2);
        let snapshot = pools.get("default/llama").unwrap().snapshot();
        assert_eq!(snapshot.endpoints.len(), 2);
        assert!(snapshot.endpoints[0].ready && !snapshot.endpoints[1].ready);
        assert_eq!(snapshot.objectives["interactive"].priority, 100);
        assert_eq!(snapshot.model_objectives["llama"], "interactive");
        assert_eq!(snapshot.rewrites[0].targets, vec![("v2".to_owned(), 10), ("v1".to_owned(), 1)]);

        std::fs::write(&path, "pools: [{name: default/llama, endpoint: []}]").unwrap();
        let error = format!("{:#}", load(&pools, &path).unwrap_err());
        assert!(error.contains("endpoint"), "{error}");
        assert_eq!(pools.get("default/llama").unwrap().snapshot().endpoints.len(), 2);

        std::fs::write(&path, r#"{"pools": [{"name": "default/llama"}]}"#).unwrap();
        load(&pools, &path).unwrap();
        assert_eq!(pools.only().unwrap().snapshot().endpoints.len(), 0);
    }

    #[tokio::test]
    async fn a_changed_file_is_loaded_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pools.yaml");
        let pools = Pools::new(Instant::now());
        let watching = run(pools.clone(), path.clone(), Duration::from_millis(2));
        let script = async {
            for count in [1, 2] {
                let names: Vec<String> = (0..count).map(|i| format!("{{name: ns/p{i}}}")).collect();
                std::fs::write(&path, format!("pools: [{}]", names.join(", "))).unwrap();
                while pools.all().len() != count {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), async {
            tokio::select! { () = watching => (), () = script => () }
        })
        .await
        .expect("the changes are seen");
    }
}
