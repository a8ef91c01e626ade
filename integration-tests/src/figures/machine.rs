//! What the figures were measured on.

use std::{fmt, fs, process::Command, thread};

/// A machine, in the words of its kernel.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Processors that this process may use.
    pub cores: usize,
    /// Model of the processor.
    pub cpu: String,
    /// Kernel and its release.
    pub kernel: String,
    /// Memory in MiB; 0 when unknown.
    pub memory_mib: u64,
}

impl Machine {
    /// This one.
    pub fn here() -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        Self {
            cores: thread::available_parallelism().map_or(0, usize::from),
            cpu: field(&info, "model name").unwrap_or("unknown").to_owned(),
            kernel: said_by("uname", &["-sr"]).unwrap_or_else(|| "unknown".to_owned()),
            memory_mib: field(&memory, "MemTotal").and_then(kib).map_or(0, |kib| kib / 1024),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cores, cpu, kernel, memory_mib } = self;
        write!(f, "{cores} cores, {cpu}, {memory_mib} MiB, {kernel}")
    }
}

/// The value of a line `name: value` of a file in /proc.
pub(super) fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found.trim() == name).then_some(value.trim())
    })
}

/// The number of `123 kB`.
pub(super) fn kib(text: &str) -> Option<u64> {
    text.strip_suffix("kB")?.trim().parse().ok()
}

/// What a program prints, without the line's end.
pub(super) fn said_by(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_proc() {
        let text = "processor\t: 0\nmodel name\t: AMD EPYC\nMemTotal:       24000 kB\n";
        assert_eq!(field(text, "model name"), Some("AMD EPYC"));
        assert_eq!(field(text, "MemTotal").and_then(kib), Some(24000));
        assert_eq!(field(text, "model"), None);
    }
}
