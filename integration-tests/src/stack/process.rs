//! A child process: its lines are kept and can be waited for; it never outlives the test.

use std::{
    collections::VecDeque,
    fs,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader},
    process::{Child, Command},
    sync::watch,
    task::JoinSet,
};

use super::binaries;

/// Lines that are kept in memory; the file has all.
const KEPT: usize = 4000;

/// A child with its log.
pub struct Process {
    name: String,
    child: Child,
    pid: Pid,
    log: Arc<Log>,
    _readers: JoinSet<()>,
}

struct Log {
    /// The last lines and how many there have been; locked to add and to search, never over an await.
    lines: Mutex<VecDeque<String>>,
    count: watch::Sender<usize>,
    path: PathBuf,
}

impl Process {
    /// Starts a program in a group of its own; its output goes to `log`, which is appended to.
    ///
    /// Call it on the thread that runs the test: the program ends when that thread does.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(name: &str, program: &Path, arguments: &[&str], log: PathBuf) -> Result<Self> {
        let mut child = Command::new(binaries::named("leash")?)
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .env("NO_COLOR", "1")
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).context("it has just been started")?;
        let log = Arc::new(Log { lines: Mutex::default(), count: watch::Sender::new(0), path: log });
        let mut readers = JoinSet::new();
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        readers.spawn(keep(Arc::clone(&log), stdout.context("stdout is piped")?));
        readers.spawn(keep(Arc::clone(&log), stderr.context("stderr is piped")?));
        Ok(Self { name: name.into(), child, pid: Pid::from_raw(pid), log, _readers: readers })
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// The rest of the first line from number `from` on that contains `text`, and the number after it.
    ///
    /// # Errors
    /// When no such line comes in time, or the process ends before.
    pub async fn wait_for(&mut self, text: &str, from: usize, within: Duration) -> Result<(String, usize)> {
        let mut count = self.log.count.subscribe();
        let search = async {
            loop {
                count.borrow_and_update();
                if let Some(found) = self.log.find(text, from) {
                    return Ok(found);
                }
                tokio::select! {
                    changed = count.changed() => changed.context("the log's sender is kept")?,
                    status = self.child.wait() => {
                        // What it wrote last may still be in the pipe.
                        tokio::task::yield_now().await;
                        if let Some(found) = self.log.find(text, from) {
                            return Ok(found);
                        }
                        bail!("it ended with {}", status?);
                    }
                }
            }
        };
        match tokio::time::timeout(within, search).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => {
                Err(error).with_context(|| format!("{} before {text:?}\n{}", self.name, self.tail(40)))
            }
            Err(_) => bail!("{}: no {text:?} within {within:?}\n{}", self.name, self.tail(40)),
        }
    }

    /// The number of lines so far: what [`Process::wait_for`] searches from to hear of later ones only.
    pub fn lines(&self) -> usize {
        *self.log.count.borrow()
    }

    /// The last lines.
    pub fn tail(&self, count: usize) -> String {
        let lines = self.log.lines.lock();
        let skip = lines.len().saturating_sub(count);
        lines.iter().skip(skip).cloned().collect::<Vec<_>>().join("\n")
    }

    /// Sends a signal to the process alone.
    ///
    /// # Errors
    /// When it is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.pid, signal).with_context(|| format!("{signal} to {}", self.name))
    }

    /// Asks it to end and waits for that.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn terminate(&mut self, within: Duration) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        self.wait(within).await
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        let ended = tokio::time::timeout(within, self.child.wait()).await;
        Ok(ended
            .with_context(|| format!("{} does not end within {within:?}\n{}", self.name, self.tail(40)))??)
    }

    /// Its children: process id and name as `/proc` shows it.
    pub fn children(&self) -> Vec<(i32, String)> {
        children_of(self.pid())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None))
            && let Err(error) = killpg(self.pid, Signal::SIGKILL)
        {
            tracing::debug!(%error, name = self.name, "the process was faster to end");
        }
    }
}

impl Log {
    fn find(&self, text: &str, from: usize) -> Option<(String, usize)> {
        let lines = self.lines.lock();
        let first = *self.count.borrow() - lines.len();
        lines.iter().enumerate().skip(from.saturating_sub(first)).find_map(|(index, line)| {
            let (_, rest) = line.split_once(text)?;
            Some((rest.to_owned(), first + index + 1))
        })
    }

    fn push(&self, line: String) {
        let mut lines = self.lines.lock();
        lines.push_back(line);
        if lines.len() > KEPT {
            lines.pop_front();
        }
        // Under the lock, so that the count and the lines agree.
        self.count.send_modify(|count| *count += 1);
    }
}

async fn keep(log: Arc<Log>, output: impl AsyncRead + Unpin) {
    let file = tokio::fs::OpenOptions::new().create(true).append(true).open(&log.path).await;
    let mut file = file.expect("the test's own directory can be written");
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        file.write_all(format!("{line}\n").as_bytes())
            .await
            .expect("the test's own directory can be written");
        log.push(line);
    }
}

/// The children of a process: process id and name.
pub fn children_of(parent: i32) -> Vec<(i32, String)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: i32| {
        // `pid (name) state parent …`; the name may contain anything.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, rest) = stat.split_once('(')?;
        let (name, rest) = rest.rsplit_once(')')?;
        let mut fields = rest.split_ascii_whitespace();
        let running = fields.next()? != "Z";
        (running && fields.next()?.parse() == Ok(parent)).then(|| (pid, name.to_owned()))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    fn shell(script: &str) -> (tempfile::TempDir, Process) {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        (dir, Process::spawn("shell", Path::new("/bin/sh"), &["-c", script], log).unwrap())
    }

    #[tokio::test]
    async fn lines_are_waited_for() {
        let (dir, mut process) = shell("echo one; echo ready http://x; echo ready http://y >&2; sleep 60");
        let (first, next) = process.wait_for("ready ", 0, SOON).await.unwrap();
        let (second, _) = process.wait_for("ready ", next, SOON).await.unwrap();
        let mut both = [first, second];
        both.sort();
        assert_eq!(both, ["http://x", "http://y"]);
        let error = process.wait_for("never", 0, Duration::from_millis(50)).await.unwrap_err();
        assert!(error.to_string().contains("one"), "the tail is shown: {error}");
        let logged = fs::read_to_string(dir.path().join("log")).unwrap();
        assert_eq!(logged.lines().count(), 3);
    }

    #[tokio::test]
    async fn an_early_end_is_reported() {
        let (_dir, mut process) = shell("echo broken; exit 3");
        let error = format!("{:#}", process.wait_for("ready", 0, SOON).await.unwrap_err());
        assert!(error.contains("exit status: 3") && error.contains("broken"), "{error}");
    }

    #[tokio::test]
    async fn the_group_ends_with_the_value() {
        let (_dir, mut process) = shell("sleep 61 & echo started; wait");
        process.wait_for("started", 0, SOON).await.unwrap();
        // Between fork and exec it still has the shell's name.
        let named = async {
            loop {
                match process.children().first() {
                    Some((child, name)) if name == "sleep" => break *child,
                    _ => tokio::task::yield_now().await,
                }
            }
        };
        let child = tokio::time::timeout(SOON, named).await.unwrap();
        drop(process);
        let gone = async {
            while fs::read_to_string(format!("/proc/{child}/stat")).is_ok_and(|stat| !stat.contains(") Z")) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(SOON, gone).await.unwrap();
    }

    #[tokio::test]
    async fn termination() {
        let (_dir, mut process) =
            shell("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done");
        process.wait_for("up", 0, SOON).await.unwrap();
        assert!(process.terminate(SOON).await.unwrap().success());
        process.wait_for("bye", 0, SOON).await.unwrap();
    }
}
