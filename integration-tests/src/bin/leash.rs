//! Runs a command that ends with its parent: `leash PROGRAM [ARGUMENT…]`.
//!
//! The parent is the thread that started it: when that ends, the program gets SIGKILL. A test that is killed leaves
//! nothing behind this way.

use std::{env, os::unix::process::CommandExt, process::Command};

use anyhow::{Context, Result};
use nix::sys::{prctl, signal::Signal};

fn main() -> Result<()> {
    let mut arguments = env::args_os().skip(1);
    let program = arguments.next().context("usage: leash PROGRAM [ARGUMENT…]")?;
    // The setting outlives exec.
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    let error = Command::new(&program).args(arguments).exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}
