//! A process that the run starts: its output goes to a file, and it never outlives the run.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    net::TcpStream,
    process::Command,
    time::{Instant, sleep, timeout},
};

/// How long a process has to become ready.
const START: Duration = Duration::from_secs(30);
/// How long a process has to end when asked to.
const END: Duration = Duration::from_secs(10);
/// Lines of its log that an error shows.
const SHOWN: usize = 12;

/// A running process; killed when dropped.
pub(super) struct Child {
    name: String,
    pid: u32,
    log: PathBuf,
    inner: tokio::process::Child,
}

impl Child {
    /// Starts a process whose output goes to `<logs>/<name>.log`, after what an earlier one of the name has written.
    ///
    /// # Errors
    /// When the program does not run.
    pub(super) fn start(name: &str, mut command: Command, logs: &Path) -> Result<Self> {
        let log = logs.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).kill_on_drop(true);
        let inner =
            command.spawn().with_context(|| format!("{name}: {:?} does not run", command.as_std()))?;
        let pid = inner.id().context("a process that was not waited for has an id")?;
        Ok(Self { name: name.to_owned(), pid, log, inner })
    }

    /// Process id.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until `check` says that the process is ready.
    ///
    /// # Errors
    /// When it ends, or is not ready in half a minute; with the end of its log.
    pub(super) async fn until(&mut self, what: &str, mut check: impl AsyncFnMut() -> bool) -> Result<()> {
        let deadline = Instant::now() + START;
        while !check().await {
            self.running()?;
            if Instant::now() > deadline {
                bail!("{}: not {what} in {START:?}\n{}", self.name, self.last_words());
            }
            sleep(Duration::from_millis(20)).await;
        }
        self.running()
    }

    /// Waits until an address accepts connections.
    ///
    /// # Errors
    /// As [`Child::until`].
    pub(super) async fn until_listening(&mut self, address: SocketAddr) -> Result<()> {
        let what = format!("listening on {address}");
        self.until(&what, async || TcpStream::connect(address).await.is_ok()).await
    }

    /// Says whether it is still there.
    ///
    /// # Errors
    /// When it has ended; with the end of its log.
    pub(super) fn running(&mut self) -> Result<()> {
        match self.inner.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{}: ended with {status}\n{}", self.name, self.last_words()),
        }
    }

    /// Kills it at once, and waits until it is gone.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub(super) async fn kill(mut self) -> Result<()> {
        self.inner.kill().await.with_context(|| format!("{}: cannot be killed", self.name))
    }

    /// Asks it to end, and kills it when it does not.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub(super) async fn end(mut self) -> Result<()> {
        if let Some(pid) = self.inner.id().and_then(|id| i32::try_from(id).ok()) {
            kill(Pid::from_raw(pid), Signal::SIGTERM).context("a process of ours takes signals")?;
        }
        match timeout(END, self.inner.wait()).await {
            Ok(ended) => ended.map(drop).with_context(|| format!("{}: cannot be waited for", self.name)),
            Err(_) => self.kill().await,
        }
    }

    fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(SHOWN)..].join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn an_end_is_told_with_the_last_words() {
        let logs = tempfile::tempdir().unwrap();
        let mut child = Child::start("short", shell("echo no such file; exit 3"), logs.path()).unwrap();
        let error = child.until("ready", async || false).await.unwrap_err().to_string();
        assert!(error.contains("no such file") && error.contains("short: ended"), "{error}");
    }

    #[tokio::test]
    async fn a_child_is_ended() {
        let logs = tempfile::tempdir().unwrap();
        let child = Child::start("long", shell("exec sleep 100"), logs.path()).unwrap();
        let pid = child.pid();
        child.end().await.unwrap();
        assert!(crate::figures::process::cpu(pid).is_err());
    }
}
