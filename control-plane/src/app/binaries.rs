//! Finds the programs that standalone mode and `simulate` run.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

/// The oldest Envoy that has all that the configuration uses.
const ENVOY_FLOOR: (u32, u32) = (1, 40);
/// The version that `make` installs into the user cache.
const ENVOY_CACHED: &str = "1.40.0";

/// The Envoy binary: as given, else `envoy` on PATH if it is recent enough, else the one in the user cache.
///
/// # Errors
/// When there is none, or the given one is too old; the message says how to get one.
pub(super) fn envoy(given: Option<PathBuf>) -> Result<PathBuf> {
    if let Some(path) = given {
        let version = envoy_version(&path)?;
        if version < ENVOY_FLOOR {
            bail!(
                "--envoy {}: version {}.{} is too old, 1.40 or later is needed",
                path.display(),
                version.0,
                version.1
            );
        }
        return Ok(path);
    }
    let on_path =
        on_path("envoy").filter(|path| envoy_version(path).is_ok_and(|version| version >= ENVOY_FLOOR));
    let cached =
        user_cache().map(|cache| cache.join(format!("signalbox/envoy/{ENVOY_CACHED}/envoy/_bin/envoy")));
    on_path.or(cached.filter(|path| path.is_file())).context(
        "Envoy 1.40 or later was not found: run `make envoy`, or put an `envoy` on PATH, or name one with --envoy \
         (the official image holds it at /usr/local/bin/envoy; `brew install envoy` and `func-e` bring it as well)",
    )
}

/// The picker binary: as given, else beside this program, else on PATH.
///
/// # Errors
/// When there is none.
pub(crate) fn picker(given: Option<PathBuf>) -> Result<PathBuf> {
    if let Some(path) = given {
        anyhow::ensure!(path.is_file(), "--picker {}: there is no such file", path.display());
        return Ok(path);
    }
    let name = format!("signalbox-picker{}", env::consts::EXE_SUFFIX);
    let beside = env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join(&name)));
    beside.filter(|path| path.is_file()).or_else(|| on_path(&name)).context(
        "signalbox-picker was not found beside this program or on PATH: build it with `make build`, or name it with --picker",
    )
}

fn envoy_version(path: &Path) -> Result<(u32, u32)> {
    let output = Command::new(path).arg("--version").output();
    let output = output.with_context(|| format!("{} cannot be run", path.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    parse_version(&text)
        .with_context(|| format!("{} --version says nothing that names an Envoy version", path.display()))
}

/// Reads `envoy  version: <sha>/1.40.0/Clean/RELEASE/BoringSSL`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let (_, version) = text.split_once("version:")?;
    let mut parts = version.split('/').nth(1)?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn on_path(name: &str) -> Option<PathBuf> {
    let paths = env::var_os("PATH")?;
    env::split_paths(&paths).map(|dir| dir.join(name)).find(|path| path.is_file())
}

fn user_cache() -> Option<PathBuf> {
    let named = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    named.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(
            parse_version("\n/x/envoy  version: 9e55/1.40.0/Clean/RELEASE/BoringSSL\n"),
            Some((1, 40))
        );
        assert_eq!(parse_version("envoy  version: 9e55/1.40.0/Clean/RELEASE/BoringSSL"), Some((1, 40)));
        assert_eq!(parse_version("hello"), None);
    }
}
