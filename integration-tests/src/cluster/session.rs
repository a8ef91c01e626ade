//! A cluster held for this process: `in.sh` runs a command that ends when our end of its input closes, so that the
//! cluster is taken down however this process ends.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsStr,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{ChildStdin, Command, Stdio},
    sync::OnceLock,
};

use anyhow::{Context, Result, bail};

/// Prints the environment and waits for the end of its input.
const HOLD: &str = "env; echo held; cat >/dev/null";

/// The exit code of `in.sh` where there is no cluster to be had.
const NONE: i32 = 77;

/// The directory of the cluster's scripts.
pub(super) fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster")
}

/// A cluster that is up while this value is.
pub(super) struct Session {
    environment: BTreeMap<String, String>,
    /// Open as long as the cluster is wanted.
    _hold: ChildStdin,
}

impl Session {
    /// The process's session; started by the first that asks. `None`: there is no cluster to be had.
    pub(super) fn of_process() -> Result<Option<&'static Self>> {
        static SESSION: OnceLock<Result<Option<Session>, String>> = OnceLock::new();
        let session = SESSION.get_or_init(|| Self::start().map_err(|error| format!("{error:#}")));
        session.as_ref().map(Option::as_ref).map_err(|error| anyhow::Error::msg(error.clone()))
    }

    fn start() -> Result<Option<Self>> {
        let mut child = Command::new(scripts().join("in.sh"))
            .args(["sh", "-c", HOLD])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("integration-tests/cluster/in.sh")?;
        let hold = child.stdin.take().context("stdin is piped")?;
        let mut environment = BTreeMap::new();
        for line in BufReader::new(child.stdout.take().context("stdout is piped")?).lines() {
            let line = line?;
            if line == "held" {
                return Ok(Some(Self { environment, _hold: hold }));
            }
            if let Some((name, value)) = line.split_once('=') {
                environment.insert(name.to_owned(), value.to_owned());
            }
        }
        match child.wait()?.code() {
            Some(NONE) => Ok(None),
            code => bail!("the test cluster did not start (exit code {code:?}); what it said is above"),
        }
    }

    /// A command in the cluster's network, with its environment.
    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = match self.environment.get("SIGNALBOX_NETNS") {
            Some(namespace) => {
                let mut enter = Command::new("nsenter");
                enter.arg(format!("--net={namespace}")).arg(program);
                enter
            }
            None => Command::new(program),
        };
        for name in
            ["SIGNALBOX_CLUSTER", "SIGNALBOX_NETNS", "KUBECONFIG", "CLUSTER", "PATH", "CARGO_NET_OFFLINE"]
        {
            if let Some(value) = self.environment.get(name) {
                command.env(name, value);
            }
        }
        command
    }
}
