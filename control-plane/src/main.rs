//! `signalbox`: the control plane's command line.

use std::process::ExitCode;

use clap::Parser as _;
use control_plane::cli::Cli;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.run() {
        Ok(code) => code,
        Err(error) => {
            cli_error(&error);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "the command line's own error output")]
fn cli_error(error: &anyhow::Error) {
    eprintln!("signalbox: {error:#}");
}
