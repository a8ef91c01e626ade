//! `signalbox simulate`: what the endpoint picker would do with a trace. Runs `signalbox-picker simulate`.

use std::{
    ffi::OsString,
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result};
use clap::Args;

use crate::app;

/// Plays a trace against a model of a pool: times, goodput, cost and use of accelerators, for planning.
///
/// Passes its arguments to `signalbox-picker simulate`; `signalbox simulate --help` shows what that takes.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(super) struct Simulate {
    /// Arguments of `signalbox-picker simulate`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    arguments: Vec<OsString>,
    /// The picker binary [default: `signalbox-picker` beside this binary, else on PATH].
    #[arg(long)]
    picker: Option<PathBuf>,
}

impl Simulate {
    /// Runs to the end of the picker, whose exit code it answers.
    ///
    /// # Errors
    /// When there is no picker, or it does not run.
    pub(super) fn run(self) -> Result<ExitCode> {
        let picker = app::picker_binary(self.picker)?;
        let status = Command::new(&picker).arg("simulate").args(self.arguments).status();
        let status = status.with_context(|| format!("{} does not run", picker.display()))?;
        Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
    }
}
