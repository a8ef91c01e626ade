//! Decides where the product's binaries are: beside the tests, built when they are not up to date.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use anyhow::{Context, Result, ensure};

/// Packages whose binaries a stack runs.
const PACKAGES: &[&str] = &["signalbox-control-plane", "signalbox-data-plane", "signalbox-integration-tests"];

/// Variables that Cargo sets for the program of a package.
const OF_A_PACKAGE: &[&str] =
    &["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_", "CARGO_TARGET_TMPDIR"];

/// The directory of the binaries. `SIGNALBOX_BIN_DIR` names another one, in which nothing is built.
///
/// # Errors
/// When they do not build.
pub fn directory() -> Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| find().map_err(|error| format!("{error:#}")));
    built.clone().map_err(anyhow::Error::msg)
}

/// A binary by name.
///
/// # Errors
/// When it is not there.
pub fn named(name: &str) -> Result<PathBuf> {
    let path = directory()?.join(name);
    ensure!(path.is_file(), "{} is not there", path.display());
    Ok(path)
}

fn find() -> Result<PathBuf> {
    if let Some(given) = env::var_os("SIGNALBOX_BIN_DIR") {
        return Ok(given.into());
    }
    let own = env::current_exe()?;
    let directory = own.parent().context("an executable is in a directory")?;
    // Tests are one level below the binaries.
    let directory =
        if directory.ends_with("deps") { directory.parent().unwrap_or(directory) } else { directory };
    // Cargo names itself to what it runs. The library that a test links says nothing about the age of the binaries.
    if let Some(cargo) = env::var_os("CARGO") {
        build(Path::new(&cargo), directory)?;
    }
    Ok(directory.to_owned())
}

/// Cargo in this workspace, for a test that Cargo runs.
pub fn fresh(cargo: &Path) -> Command {
    let mut command = Command::new(cargo);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    // What Cargo tells a test about its package would make build scripts run again, and all that depends on them.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if OF_A_PACKAGE.iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command
}

fn build(cargo: &Path, directory: &Path) -> Result<()> {
    let profile = match directory.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let mut command = fresh(cargo);
    command.args(["build", "--quiet", "--bins", "--profile", profile]);
    command.args(PACKAGES.iter().flat_map(|package| ["--package", package]));
    if let Some(target) = directory.parent() {
        command.arg("--target-dir").arg(target);
    }
    let output = command.output().context("cargo does not run")?;
    ensure!(
        output.status.success(),
        "the binaries do not build:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
