//! Entry point of `signalbox-picker`.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use data_plane::cli::{Args, Cli, Command};
use data_plane::config::Config;
use data_plane::{app, telemetry};

fn main() -> ExitCode {
    let Cli { command, serve: args } = Cli::parse();
    if let Some(Command::Simulate(simulate)) = command {
        return match simulate.run().and_then(|text| Ok(std::io::stdout().write_all(text.as_bytes())?)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&error),
        };
    }
    if let Err(error) = telemetry::start(args.log_format, &args.log_level) {
        return failed(&error);
    }
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// The runtime here carries what is not per request: pools, scrapes, admin. ext_proc has threads of its own.
fn run(args: Args) -> anyhow::Result<()> {
    let config = Config::new(args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let result = runtime.block_on(app::run(config));
    // A worker that still has streams after the drain timeout is not waited for.
    runtime.shutdown_background();
    result
}

#[expect(clippy::print_stderr, reason = "the log may not be running, and this is the process's last word")]
fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("signalbox-picker: {error:#}");
    ExitCode::FAILURE
}
