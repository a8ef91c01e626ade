//! What a process has used: CPU time to the nanosecond, and memory.

use std::{fs, time::Duration};

use anyhow::{Context, Result};
use nix::{
    time::{clock_getcpuclockid, clock_gettime},
    unistd::Pid,
};

use super::machine::{field, kib};

/// CPU time of all threads of a process since its start, those that have ended included; user and system.
///
/// # Errors
/// When there is no such process.
pub(super) fn cpu(pid: u32) -> Result<Duration> {
    let id = Pid::from_raw(i32::try_from(pid).context("a process id")?);
    let clock = clock_getcpuclockid(id).with_context(|| format!("process {pid} has no CPU clock"))?;
    let used = clock_gettime(clock).with_context(|| format!("process {pid} is gone"))?;
    Ok(Duration::from(used))
}

/// Resident memory of a process, in MB (10⁶ bytes).
///
/// # Errors
/// When there is no such process.
pub(super) fn resident_mb(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the process is gone")?;
    let resident = field(&status, "VmRSS").and_then(kib).context("/proc/…/status without VmRSS")?;
    Ok(resident as f64 * 1024.0 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_this_process() {
        let me = std::process::id();
        let before = cpu(me).unwrap();
        let mut sum = 0u64;
        while cpu(me).unwrap() - before < Duration::from_millis(2) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(cpu(me).unwrap() > before, "{sum}");
        assert!(resident_mb(me).unwrap() > 1.0);
        assert!(cpu(0x7fff_fff0).is_err());
    }
}
