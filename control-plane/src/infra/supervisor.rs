//! Runs one child process: restarts it with backoff, drains it at the end, leaves no orphan.

use std::{
    ffi::OsString,
    fs::OpenOptions,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    process::{Child, Command},
    sync::watch,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::envoy_admin;

/// What to run and how to end it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildSpec {
    /// Name in logs and in `signalbox status`, for example `envoy default/inference-gateway`.
    pub name: String,
    /// Program.
    pub program: PathBuf,
    /// Arguments.
    pub args: Vec<OsString>,
    /// File that its output is appended to.
    pub log: PathBuf,
    /// How it ends.
    pub end: End,
}

/// How a child ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// SIGTERM; it drains by itself, for this long at most.
    Terminate(Duration),
    /// An Envoy: its listeners are drained through the admin interface (the file that holds its address) until no request
    /// is left or the time is over, then SIGTERM.
    DrainEnvoy {
        /// The file of `--admin-address-path`.
        admin: PathBuf,
        /// Time for requests to end.
        timeout: Duration,
    },
}

/// What a child is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ChildState {
    /// Not started yet.
    #[default]
    Starting,
    /// Runs.
    Running {
        /// Process id.
        pid: u32,
        /// How often it was restarted.
        restarts: u32,
    },
    /// Ended by itself; a restart is due.
    Restarting {
        /// How it ended, for people.
        why: String,
        /// How often it was restarted.
        restarts: u32,
    },
    /// Ended as asked.
    Ended,
}

/// First wait before a restart; doubles up to [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// A child that ran this long is considered sound: its backoff starts anew.
const SOUND: Duration = Duration::from_secs(10);
/// Between SIGTERM and SIGKILL.
const KILL_AFTER: Duration = Duration::from_secs(3);

/// Keeps the child running until `cancel` fires, then drains and ends it. Returns when it is gone.
pub async fn supervise(spec: ChildSpec, state: watch::Sender<ChildState>, cancel: CancellationToken) {
    let mut backoff = BACKOFF_MIN;
    let mut restarts = 0;
    while !cancel.is_cancelled() {
        let started = Instant::now();
        let why = match start(&spec) {
            Ok(mut child) => {
                state.send_replace(ChildState::Running { pid: child.id().unwrap_or_default(), restarts });
                tokio::select! {
                    () = cancel.cancelled() => {
                        end(&spec, &mut child).await;
                        break;
                    }
                    status = child.wait() => describe(status),
                }
            }
            Err(error) => format!("{error:#}"),
        };
        if started.elapsed() >= SOUND {
            backoff = BACKOFF_MIN;
        }
        tracing::warn!(child = spec.name, why, ?backoff, log = %spec.log.display(), "child process ended; it is restarted");
        state.send_replace(ChildState::Restarting { why, restarts });
        restarts += 1;
        tokio::select! {
            () = cancel.cancelled() => break,
            () = tokio::time::sleep(backoff) => {}
        }
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
    state.send_replace(ChildState::Ended);
}

fn describe(status: std::io::Result<ExitStatus>) -> String {
    status.map_or_else(|error| format!("cannot be waited for: {error}"), |status| status.to_string())
}

fn start(spec: &ChildSpec) -> Result<Child> {
    if let Some(parent) = spec.log.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    }
    let log = OpenOptions::new().create(true).append(true).open(&spec.log);
    let log = log.with_context(|| format!("cannot write {}", spec.log.display()))?;
    // A group of its own: Ctrl-C in the terminal reaches the parent alone, which then drains its children in order.
    Command::new(&spec.program)
        .args(&spec.args)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot run {}", spec.program.display()))
}

async fn end(spec: &ChildSpec, child: &mut Child) {
    let grace = match &spec.end {
        End::Terminate(grace) => *grace,
        End::DrainEnvoy { admin, timeout } => {
            let drained = tokio::time::timeout(*timeout, drain_envoy(admin)).await;
            if !matches!(drained, Ok(Ok(()))) {
                tracing::warn!(child = spec.name, "requests were still running when the drain time was over");
            }
            Duration::ZERO
        }
    };
    signal(child, Signal::SIGTERM);
    if tokio::time::timeout(grace + KILL_AFTER, child.wait()).await.is_err() {
        tracing::warn!(child = spec.name, "child process did not end in time and is killed");
        if let Err(error) = child.kill().await {
            tracing::error!(child = spec.name, %error, "child process cannot be killed");
        }
    }
}

async fn drain_envoy(admin: &std::path::Path) -> Result<()> {
    let address = envoy_admin::address(admin)?;
    envoy_admin::drain(address).await?;
    while envoy_admin::active_requests(address).await? > 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

fn signal(child: &Child, signal: Signal) {
    let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) else { return };
    if let Err(error) = kill(Pid::from_raw(pid), signal) {
        tracing::debug!(pid, %error, "child process was gone before it was signalled");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(script: &str, dir: &std::path::Path) -> ChildSpec {
        ChildSpec {
            name: "test".into(),
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            log: dir.join("logs/child.log"),
            end: End::Terminate(Duration::from_secs(1)),
        }
    }

    #[tokio::test]
    async fn a_child_that_dies_is_restarted_and_its_output_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (sender, mut state) = watch::channel(ChildState::default());
        let cancel = CancellationToken::new();
        let run = supervise(spec("echo hello; exit 3", dir.path()), sender, cancel.clone());
        let watch = async {
            let restarted = |s: &ChildState| matches!(s, ChildState::Restarting { why, restarts: 1 } if why.contains('3'));
            state.wait_for(restarted).await.unwrap();
            cancel.cancel();
        };
        tokio::join!(run, watch);
        assert_eq!(*state.borrow(), ChildState::Ended);
        assert_eq!(std::fs::read_to_string(dir.path().join("logs/child.log")).unwrap(), "hello\nhello\n");
    }

    #[tokio::test]
    async fn the_end_is_announced_by_sigterm_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let marker = dir.path().join("ended");
        let script = format!(
            "trap 'echo x > {}; exit 0' TERM; echo up; while :; do sleep 0.05; done",
            marker.display()
        );
        let (sender, mut state) = watch::channel(ChildState::default());
        let cancel = CancellationToken::new();
        let log = dir.path().join("logs/child.log");
        let run = supervise(spec(&script, dir.path()), sender, cancel.clone());
        let watch = async {
            let running = |s: &ChildState| matches!(s, ChildState::Running { .. });
            let ChildState::Running { pid, .. } = state.wait_for(running).await.unwrap().clone() else {
                unreachable!()
            };
            while std::fs::read_to_string(&log).unwrap_or_default().is_empty() {
                tokio::task::yield_now().await;
            }
            cancel.cancel();
            pid
        };
        let ((), pid) = tokio::join!(run, watch);
        assert!(marker.exists());
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (sender, mut state) = watch::channel(ChildState::default());
        let cancel = CancellationToken::new();
        let spec = ChildSpec { program: "/nonexistent/envoy".into(), ..spec("", dir.path()) };
        let run = supervise(spec, sender, cancel.clone());
        let watch = async {
            let failed = |s: &ChildState| matches!(s, ChildState::Restarting { why, .. } if why.contains("/nonexistent/envoy"));
            state.wait_for(failed).await.unwrap();
            cancel.cancel();
        };
        tokio::join!(run, watch);
    }
}
