//! What was learned about speeds, kept in a file over restarts.
//!
//! ```text
//! start ─ file ─▶ Book::restore        every 30 s: Book::learned ─ beside it, renamed ─▶ file
//! ```
//!
//! A file that is missing, damaged or too large costs nothing but a warning: seeds take its place. The number of kinds is
//! bounded by the book.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::accelerator::Learned;
use crate::pool::Pools;

/// Between writes, where something changed.
const EVERY: Duration = Duration::from_secs(30);
/// Files beyond this are not read.
const LARGEST: u64 = 4 << 20;

/// Takes over what `path` holds. Call before pools arrive.
pub fn restore(pools: &Pools, path: &Path) {
    match read(path) {
        Ok(Some(learned)) => {
            let (kinds, ignored) = (learned.groups.len(), pools.book().restore(learned));
            tracing::info!(path = %path.display(), kinds, ignored, "speeds restored");
        }
        Ok(None) => tracing::info!(path = %path.display(), "no speeds were kept; seeds are used"),
        Err(error) => {
            tracing::warn!(path = %path.display(), error = format!("{error:#}"), "kept speeds are not usable; seeds are used");
        }
    }
}

/// Writes what is learned to `path`, until dropped.
pub async fn keep(pools: Pools, path: PathBuf) {
    let mut kept = Learned::default();
    let mut ticks = tokio::time::interval(EVERY);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        save(&pools, &path, &mut kept);
    }
}

/// Writes what is learned to `path`, unless it is `kept` there.
pub fn save(pools: &Pools, path: &Path, kept: &mut Learned) {
    let learned = pools.book().learned();
    if learned == *kept {
        return;
    }
    match write(path, &learned) {
        Ok(()) => *kept = learned,
        Err(error) => {
            tracing::warn!(path = %path.display(), error = format!("{error:#}"), "speeds are not kept; tried again in half a minute");
        }
    }
}

fn read(path: &Path) -> anyhow::Result<Option<Learned>> {
    let length = match std::fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    ensure!(length <= LARGEST, "{length} bytes are more than {LARGEST}");
    let text = std::fs::read(path)?;
    Ok(Some(serde_json::from_slice(&text).context("not what this picker writes")?))
}

/// Readers see the old file or the new one, never a part: the rename is atomic.
fn write(path: &Path, learned: &Learned) -> anyhow::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    std::fs::write(&beside, serde_json::to_vec_pretty(learned)?)?;
    std::fs::rename(&beside, path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::accelerator::{GroupKey, Hardware, profile_of};

    #[test]
    fn speeds_survive_a_restart_and_damage_costs_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("speeds.json");
        let key =
            GroupKey { class: "nvidia-x".into(), count: 1, model: "ns/a".into(), ..GroupKey::default() };
        let seed = profile_of(Hardware { class: "nvidia-x", ..Hardware::default() });
        let pools = Pools::new(Instant::now());
        restore(&pools, &path);
        let calibration = pools.book().calibration(&key, seed);
        for tokens in (1..30).map(|i| i as f32 * 100.0) {
            calibration.first_token(tokens, 0.05 + tokens / 20_000.0, Instant::now());
            calibration.pace(tokens / 500.0, 0.010 + tokens / 500.0 * 0.0002, Instant::now());
        }
        let learned = calibration.profile();
        assert!(learned.prefill_tokens_per_s > 1.3 * seed.prefill_tokens_per_s, "{learned:?} from {seed:?}");
        save(&pools, &path, &mut Learned::default());

        let next = Pools::new(Instant::now());
        restore(&next, &path);
        let restored = next.book().calibration(&key, seed);
        let share = restored.profile().prefill_tokens_per_s / learned.prefill_tokens_per_s;
        assert!((0.9..1.1).contains(&share), "{share}");
        assert!(!restored.is_unknown(Instant::now()), "no tries for what is known");

        for damage in ["", "{", r#"{"groups":[{"key":1}]}"#] {
            std::fs::write(&path, damage).unwrap();
            let pools = Pools::new(Instant::now());
            restore(&pools, &path);
            assert_eq!(pools.book().calibration(&key, seed).profile(), seed, "{damage}");
        }
        let text = serde_json::to_string(&next.book().learned()).unwrap();
        let negative = text.replace("\"itl_s\":", "\"itl_s\":-");
        let learned: Learned = serde_json::from_str(&negative).unwrap();
        assert_eq!(Pools::new(Instant::now()).book().restore(learned), 1, "speeds that mean nothing");
    }
}
