//! Where the run finds programs and keeps files.

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use tokio::process::Command;

use super::child::Child;
use crate::{envoy, simulator::PodConfig};

/// What every measurement is given.
pub struct Context {
    binaries: PathBuf,
    scratch: TempDir,
}

impl Context {
    /// For programs that lie beside the running one.
    ///
    /// # Errors
    /// When there is no place for files.
    pub fn new() -> Result<Self> {
        let me = env::current_exe().context("this program's own path")?;
        let binaries = me.parent().context("a program lies in a directory")?.to_owned();
        let scratch = tempfile::Builder::new().prefix("signalbox-figures.").tempdir()?;
        Ok(Self { binaries, scratch })
    }

    /// The workspace.
    pub fn workspace() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
    }

    /// A new directory for a measurement; gone after the run.
    ///
    /// # Errors
    /// When it cannot be created.
    pub(super) fn directory(&self, name: &str) -> Result<PathBuf> {
        let path = self.scratch.path().join(name);
        fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// A command for a program of the workspace; it ends with the run.
    ///
    /// # Errors
    /// When it is not built.
    pub(super) fn program(&self, name: &str) -> Result<Command> {
        self.leashed(&self.built(name)?)
    }

    /// A command that ends when the thread that starts it does: the run's main thread.
    fn leashed(&self, program: &Path) -> Result<Command> {
        let mut command = Command::new(self.built("leash")?);
        command.arg(program);
        Ok(command)
    }

    pub(super) fn built(&self, name: &str) -> Result<PathBuf> {
        let path = self.binaries.join(name);
        ensure!(path.is_file(), "{} is not there: build it with `make figures`", path.display());
        Ok(path)
    }

    /// Starts model servers in a process of their own; their ports are open when this returns.
    ///
    /// # Errors
    /// When they do not start.
    pub(super) async fn model_servers(&self, name: &str, pods: &[PodConfig], dir: &Path) -> Result<Child> {
        let file = dir.join(format!("{name}.yaml"));
        fs::write(&file, serde_json::to_vec(&serde_json::json!({"pods": pods}))?)?;
        let mut command = self.program("model-server")?;
        command.arg("--pods").arg(&file);
        let mut child = Child::start(name, command, dir)?;
        for address in pods.iter().flat_map(|pod| &pod.listen) {
            child.until_listening(*address).await?;
        }
        Ok(child)
    }

    /// Starts an Envoy with a bootstrap.
    ///
    /// # Errors
    /// When none is installed.
    pub(super) fn envoy(&self, name: &str, bootstrap: &Path, dir: &Path) -> Result<Child> {
        let mut command = self.leashed(&envoy::binary()?)?;
        command.arg("--config-path").arg(bootstrap);
        command.arg("--admin-address-path").arg(dir.join(format!("{name}.admin")));
        command.args(["--use-dynamic-base-id", "--concurrency", "2", "--log-level", "warning"]);
        Child::start(name, command, dir)
    }

    /// Starts our picker on an address, fed by a control plane, over TLS or not.
    ///
    /// # Errors
    /// When it does not start.
    pub(super) fn picker(
        &self,
        listen: SocketAddr,
        control_plane: SocketAddr,
        tls: bool,
        dir: &Path,
    ) -> Result<Child> {
        let mut command = self.program("signalbox-picker")?;
        command.arg("--listen").arg(listen.to_string()).arg(format!("--secure-serving={tls}"));
        command.arg("--control-plane").arg(format!("http://{control_plane}"));
        let beside = |port| SocketAddr::new(listen.ip(), port).to_string();
        command.arg("--health-listen").arg(beside(HEALTH_PORT));
        command.arg("--metrics-listen").arg(beside(METRICS_PORT));
        Child::start("picker", command, dir)
    }
}

/// Port of the picker's health checks, on the picker's address.
pub(super) const HEALTH_PORT: u16 = 9003;
/// Port of the picker's metrics, on the picker's address.
pub(super) const METRICS_PORT: u16 = 9090;
