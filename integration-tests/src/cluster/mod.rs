//! A Kubernetes cluster for tests: the one that `integration-tests/cluster/choose.sh` names.
//!
//! ```text
//! #[test] ─▶ cluster::test(name, body) ─ in the cluster's network? ─ yes ─▶ body(TestCluster)
//!                └─ no ─▶ Session (one for the process) ─ in.sh ─▶ cluster
//!                            └─ the same test again, in that network
//! ```
//! The node launcher's cluster has a network namespace of its own, which a process with threads cannot enter: each test
//! is run by a child that was started there. Within `in.sh cargo test …` there is nothing to do.

mod images;
mod install;
mod session;

use std::{
    env,
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use self::session::Session;

/// How long images, Pods and addresses may take, on a machine that may be busy.
pub const SOON: Duration = Duration::from_secs(120);

/// Runs a test in a cluster. `name` is the test's own, as the test runner shows it.
///
/// Where no cluster is to be had, it says so on stderr and passes.
///
/// # Errors
/// What the test returns, or that the cluster does not start.
pub fn test<F: Future<Output = Result<()>>>(name: &str, body: impl FnOnce(TestCluster) -> F) -> Result<()> {
    if let Some(cluster) = TestCluster::here() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        return runtime.block_on(body(cluster?));
    }
    let Some(session) = Session::of_process()? else {
        // Past the test runner's capture: a skipped test is to be seen.
        writeln!(std::io::stderr(), "SKIPPED {name}: there is no test cluster")?;
        return Ok(());
    };
    let output = session.command(env::current_exe()?).args([name, "--exact", "--nocapture"]).output()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    ensure!(text.contains("1 passed") || !output.status.success(), "{name} is no test's name:\n{text}");
    ensure!(output.status.success(), "in the cluster:\n{text}");
    Ok(())
}

/// The cluster whose network this process is in.
#[derive(Clone, Debug)]
pub struct TestCluster {
    scripts: PathBuf,
}

impl TestCluster {
    /// The cluster of the environment that `in.sh` makes; `None` outside of it.
    pub(crate) fn here() -> Option<Result<Self>> {
        env::var_os("SIGNALBOX_CLUSTER").filter(|kind| kind != "none")?;
        // A wish alone is no cluster.
        env::var_os("KUBECONFIG")?;
        Some(Ok(Self { scripts: session::scripts() }))
    }

    /// Applies manifests, server side.
    ///
    /// # Errors
    /// What kubectl says.
    pub fn apply(&self, manifests: &str) -> Result<String> {
        self.kubectl_with(&["apply", "--server-side", "--force-conflicts", "-f", "-"], manifests)
    }

    /// Runs kubectl and returns what it prints: `kubectl(&["-n", "x", "get", "pods"])`.
    ///
    /// # Errors
    /// What kubectl says.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.kubectl_with(arguments, "")
    }

    /// Waits for a condition of objects: `wait_for("Ready", &["-n", "images", "pod", "--all"])`.
    ///
    /// # Errors
    /// When it is not true within [`SOON`]; the error shows the namespace's events.
    pub fn wait_for(&self, condition: &str, objects: &[&str]) -> Result<()> {
        let (condition, timeout) =
            (format!("--for=condition={condition}"), format!("--timeout={}s", SOON.as_secs()));
        let arguments = [&["wait", &condition, &timeout], objects].concat();
        self.kubectl(&arguments).with_context(|| {
            self.kubectl(&["get", "events", "-A", "--sort-by=.lastTimestamp"]).unwrap_or_default()
        })?;
        Ok(())
    }

    /// Waits until a field is not empty and returns it: `field(&["-n", "x", "service", "y"], "{.spec.clusterIP}")`.
    ///
    /// # Errors
    /// When it is empty for [`SOON`].
    pub async fn field(&self, object: &[&str], path: &str) -> Result<String> {
        let (output, deadline) = (format!("jsonpath={path}"), Instant::now() + SOON);
        let arguments = [&["get", "-o", &output], object].concat();
        while Instant::now() < deadline {
            match self.kubectl(&arguments) {
                Ok(value) if !value.is_empty() => return Ok(value),
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        bail!("{path} of {object:?} is empty")
    }

    fn kubectl_with(&self, arguments: &[&str], input: &str) -> Result<String> {
        run(Command::new("kubectl").args(arguments), input)
    }
}

/// Runs a program to its end and returns its output.
pub(crate) fn run(command: &mut Command, input: &str) -> Result<String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{command:?}"))?;
    let mut stdin = child.stdin.take().context("stdin is piped")?;
    // It reads all of its input before it writes, and a closed pipe shows in its exit code.
    let written = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success() && written.is_ok(),
        "{command:?}:\n{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(text)
}
