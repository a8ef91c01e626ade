//! A whole Signalbox on loopback for one test: simulated Pods, `signalbox standalone`, its Envoy and its picker.
//!
//! ```text
//! Stack ─▶ directory of manifests ◀─ edits by the test
//!   ├─ Fleet (in this process)      ▲ watches
//!   └─ Process: signalbox standalone ─▶ Envoy, picker
//! ```
//! Each stack has its own directory and its own addresses, so that tests run side by side.

pub mod binaries;
mod directory;
mod example;
pub mod manifests;
mod process;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

pub use self::{
    directory::Directory,
    example::{EXAMPLE, Example},
    process::{Process, children_of},
};
use crate::{client::Client, envoy, simulator::Fleet};

/// How long a stack may take until it answers. Everything is started, on a machine that may be busy.
pub const START: Duration = Duration::from_secs(60);

/// A running stack.
pub struct Stack {
    /// The simulated Pods.
    pub fleet: Fleet,
    /// The manifests.
    pub manifests: Directory,
    /// A client of the Gateway.
    pub client: Client,
    process: Process,
    run_dir: PathBuf,
}

impl Stack {
    /// Starts Signalbox on a directory; `fleet` is what its Pods are. Returns when the first listener answers.
    ///
    /// # Errors
    /// When it does not become ready within [`START`]; the error shows the log's end.
    pub async fn start(manifests: Directory, fleet: Fleet) -> Result<Self> {
        let run_dir = manifests.path().join(".signalbox");
        let mut process = standalone(&manifests, &run_dir)?;
        let address = ready(&mut process, 0).await?;
        Ok(Self { fleet, manifests, client: Client::new(address), process, run_dir })
    }

    /// Starts the guide's example, with its addresses replaced by those of this test.
    ///
    /// # Errors
    /// As [`Stack::start`].
    pub async fn guide() -> Result<Self> {
        Self::guide_at(1.0).await
    }

    /// Starts the guide's example with Pods that are faster by a factor.
    ///
    /// # Errors
    /// As [`Stack::start`].
    pub async fn guide_at(speed: f64) -> Result<Self> {
        let mut example = Example::relocated()?;
        for pod in &mut example.pods {
            pod.speed = speed;
        }
        let fleet = Fleet::start(example.pods).await?;
        Self::start(example.manifests, fleet).await
    }

    /// The Gateway's address.
    pub fn address(&self) -> SocketAddr {
        self.client.address()
    }

    /// The run directory.
    pub fn run_dir(&self) -> &Path {
        &self.run_dir
    }

    /// What `signalbox status` says: its exit code and its text.
    ///
    /// # Errors
    /// When it cannot be run.
    pub async fn signalbox_status(&self) -> Result<(i32, String)> {
        let mut command = tokio::process::Command::new(binaries::named("signalbox")?);
        let output = command.args(["status", "--run-dir"]).arg(&self.run_dir).output().await?;
        let text = [output.stdout, output.stderr].concat();
        Ok((output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned()))
    }

    /// The process `signalbox standalone`.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// The status file of an object, as text; empty when there is none. `object` is `kind.namespace.name`, in small
    /// letters.
    pub fn status(&self, object: &str) -> String {
        std::fs::read_to_string(self.run_dir.join("status").join(format!("{object}.yaml")))
            .unwrap_or_default()
    }

    /// Waits until something is so.
    ///
    /// # Errors
    /// When it is not within `within`; the error names `what` and shows the log's end.
    pub async fn eventually(
        &self,
        what: &str,
        within: Duration,
        mut so: impl AsyncFnMut() -> bool,
    ) -> Result<()> {
        let wait = async {
            while !so().await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(within, wait)
            .await
            .with_context(|| format!("not within {within:?}: {what}\n{}", self.process.tail(30)))
    }

    /// The process id of a child of `signalbox standalone` whose name begins with `name`: `envoy`, `signalbox-picke`
    /// (the system keeps 15 letters).
    ///
    /// # Errors
    /// When there is none.
    pub fn child(&self, name: &str) -> Result<i32> {
        let children = self.process.children();
        let found = children.iter().find(|(_, child)| child.starts_with(name));
        found.map(|(pid, _)| *pid).with_context(|| format!("no child {name} among {children:?}"))
    }

    /// Kills a child of `signalbox standalone` with SIGKILL; see [`Stack::child`].
    ///
    /// # Errors
    /// When there is none.
    pub fn kill_child(&self, name: &str) -> Result<i32> {
        let pid = self.child(name)?;
        kill(Pid::from_raw(pid), Signal::SIGKILL)?;
        Ok(pid)
    }

    /// Kills `signalbox standalone` with SIGKILL and starts it anew with the same directories. Returns when it is
    /// ready.
    ///
    /// # Errors
    /// As [`Stack::start`].
    pub async fn crash_and_restart(&mut self) -> Result<()> {
        self.process.signal(Signal::SIGKILL)?;
        self.process.wait(START).await?;
        self.process = standalone(&self.manifests, &self.run_dir)?;
        let address = ready(&mut self.process, 0).await?;
        ensure!(address == self.address(), "the address moved from {} to {address}", self.address());
        Ok(())
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let logs = self.logs();
            if let Err(error) = std::io::Write::write_all(&mut std::io::stderr(), logs.as_bytes()) {
                tracing::debug!(%error, "stderr is closed");
            }
        }
    }
}

impl Stack {
    /// The ends of all logs, for people.
    pub fn logs(&self) -> String {
        let mut text = format!("--- signalbox standalone\n{}\n", self.process.tail(60));
        let files = std::fs::read_dir(self.run_dir.join("logs")).into_iter().flatten().flatten();
        for file in files {
            let log = std::fs::read_to_string(file.path()).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(30)..];
            text.push_str(&format!("--- {}\n{}\n", file.file_name().display(), tail.join("\n")));
        }
        text
    }
}

fn standalone(manifests: &Directory, run_dir: &Path) -> Result<Process> {
    let (envoy, picker) = (envoy::binary()?, binaries::named("signalbox-picker")?);
    let arguments = [manifests.path(), Path::new("--run-dir"), run_dir, Path::new("--envoy"), &envoy];
    let mut arguments: Vec<&str> = arguments.iter().filter_map(|path| path.to_str()).collect();
    arguments.insert(0, "standalone");
    arguments.extend(["--picker", picker.to_str().context("the target directory's name is text")?]);
    let log = manifests.scratch().join("signalbox.log");
    Process::spawn("signalbox standalone", &binaries::named("signalbox")?, &arguments, log)
}

/// Waits for the next `ready http://ADDRESS:PORT`.
async fn ready(process: &mut Process, from: usize) -> Result<SocketAddr> {
    let (rest, _) = process.wait_for("ready http://", from, START).await?;
    rest.trim().parse().with_context(|| format!("{rest:?} is no address"))
}
