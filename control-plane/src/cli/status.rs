//! `signalbox status`: what runs, and what is wrong.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::Args;

use super::output::print;
use crate::status::overview::Overview;

/// Shows Gateways, pools, processes and problems of a running `signalbox standalone`.
///
/// Exit code 0: all is well; 2: there are problems, each is named; 1: nothing runs there.
#[derive(Debug, Args)]
pub(super) struct Status {
    /// The directory that `signalbox standalone` was given.
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Its run directory [default: DIR/.signalbox].
    #[arg(long)]
    run_dir: Option<PathBuf>,
    /// Print the machine-readable document.
    #[arg(long)]
    json: bool,
}

impl Status {
    /// Prints the overview.
    ///
    /// # Errors
    /// When nothing runs there.
    pub(super) fn run(self) -> Result<ExitCode> {
        let run_dir = self.run_dir.unwrap_or_else(|| self.dir.join(".signalbox"));
        let path = run_dir.join("overview.json");
        let text = fs::read_to_string(&path).with_context(|| {
            format!(
                "{} is not there: start `signalbox standalone` first, or name its --run-dir",
                path.display()
            )
        })?;
        let overview: Overview =
            serde_json::from_str(&text).with_context(|| format!("{} is not readable", path.display()))?;
        anyhow::ensure!(
            PathBuf::from(format!("/proc/{}", overview.pid)).exists() || !cfg!(target_os = "linux"),
            "no `signalbox standalone` is running in {} (process {} is gone); its last state is in {}",
            run_dir.display(),
            overview.pid,
            path.display()
        );
        if self.json {
            print(&text)?
        } else {
            print(&overview.render())?
        }
        let well = overview.problems.is_empty() && overview.refused.is_empty();
        Ok(if well { ExitCode::SUCCESS } else { ExitCode::from(2) })
    }
}
