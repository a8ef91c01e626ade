//! Decides which Envoy binary the tests run: the same order as `envoy.sh`, which installs one.
//!
//! `$ENVOY_BIN`, `$ENVOY` ─▶ `envoy` on PATH when new enough ─▶ the user cache ─▶ an error that says what to do.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

/// The release that `envoy.sh` installs and that Signalbox is tested on.
pub const VERSION: &str = "1.40.0";

/// The oldest release that is accepted from `PATH` or the environment.
pub const FLOOR: [u32; 2] = [1, 40];

/// The Envoy binary to run.
///
/// # Errors
/// When none is found, or the one asked for in the environment does not run or is too old.
pub fn binary() -> Result<PathBuf> {
    let cached = cached();
    for name in ["ENVOY_BIN", "ENVOY"] {
        let Some(given) = env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from) else {
            continue;
        };
        // The Makefile sets the cache's path before anything is installed.
        if cached.as_deref() == Some(&given) && !given.exists() {
            continue;
        }
        let version = version(&given).with_context(|| format!("{name} is {}", given.display()))?;
        ensure!(
            version >= floor(),
            "{name} is {}, Envoy {version:?}: at least {FLOOR:?} is needed",
            given.display()
        );
        return Ok(given);
    }
    if let Some(found) = on_path().filter(|path| version(path).is_ok_and(|v| v >= floor())) {
        return Ok(found);
    }
    match cached.filter(|path| path.exists()) {
        Some(path) => Ok(path),
        None => bail!(
            "no Envoy of version {FLOOR:?} or later found: run integration-tests/envoy.sh, or set ENVOY_BIN"
        ),
    }
}

fn floor() -> [u32; 3] {
    [FLOOR[0], FLOOR[1], 0]
}

fn cached() -> Option<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME")
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")))?;
    Some(cache.join("signalbox/envoy").join(VERSION).join("envoy/_bin/envoy"))
}

fn on_path() -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join("envoy")).find(|path| path.is_file())
}

fn version(binary: &Path) -> Result<[u32; 3]> {
    let output = Command::new(binary).arg("--version").output().context("it does not run")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    parse_version(&text).with_context(|| format!("it reports no version: {text:?}"))
}

/// Finds `1.40.0` in `envoy  version: 9d25…/1.40.0/Clean/RELEASE/BoringSSL`.
fn parse_version(text: &str) -> Option<[u32; 3]> {
    text.split('/').find_map(|part| {
        let mut numbers = part.split('-').next()?.split('.').map(str::parse);
        let version = [numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?];
        numbers.next().is_none().then_some(version)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (text, expected) in [
            ("\nenvoy  version: 9d25a2/1.40.0/Clean/RELEASE/BoringSSL\n", Some([1, 40, 0])),
            ("envoy  version: 9d25a2/1.41.0-dev/Clean/RELEASE/BoringSSL", Some([1, 41, 0])),
            ("Usage: envoy", None),
            ("a/1.40/b", None),
        ] {
            assert_eq!(parse_version(text), expected, "{text}");
        }
    }

    #[test]
    fn an_envoy_is_found() {
        let path = binary().unwrap();
        assert!(version(&path).unwrap() >= floor(), "{}", path.display());
    }
}
