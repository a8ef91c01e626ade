//! The command line: one file per subcommand.

mod bootstrap;
mod check;
mod controller;
mod explain;
mod offline;
mod output;
mod simulate;
mod standalone;
mod status;
mod translate;

pub use check::problems;
pub use offline::resolve;
pub use output::print;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// An inference gateway for Kubernetes: Gateway API and InferencePools to Envoy.
#[derive(Debug, Parser)]
#[command(name = "signalbox", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Controller(controller::Controller),
    Standalone(standalone::Standalone),
    Check(check::Check),
    Translate(translate::Translate),
    Status(status::Status),
    Explain(explain::Explain),
    Simulate(simulate::Simulate),
    Bootstrap(bootstrap::Bootstrap),
}

impl Cli {
    /// Runs the subcommand.
    ///
    /// # Errors
    /// What the user is told, outermost first.
    pub fn run(self) -> Result<ExitCode> {
        match self.command {
            Command::Controller(command) => command.run(),
            Command::Standalone(command) => command.run(),
            Command::Check(command) => command.run(),
            Command::Translate(command) => command.run(),
            Command::Status(command) => command.run(),
            Command::Explain(command) => command.run(),
            Command::Simulate(command) => command.run(),
            Command::Bootstrap(command) => command.run(),
        }
    }
}
