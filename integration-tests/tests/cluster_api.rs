//! The control plane's own tests against an API server, `control-plane/tests/cluster_*.rs`, in the test cluster: without
//! one they test nothing.

use std::{collections::BTreeMap, env, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use integration_tests::{cluster, stack::binaries};
use serde_json::Value;

const TESTS: [&str; 4] = ["cluster_identity", "cluster_infra", "cluster_source", "cluster_status"];

/// The programs of tests by name; built when they are not up to date. All tests of the workspace, as `make test` has
/// built them: fewer have other features, and everything would be built again.
fn programs() -> Result<BTreeMap<String, String>> {
    let cargo = env::var_os("CARGO").context("cargo runs this test")?;
    let mut build = binaries::fresh(Path::new(&cargo));
    build.args(["test", "--workspace", "--no-run", "--quiet", "--message-format=json"]);
    let output = build.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let messages = String::from_utf8(output.stdout)?;
    let program = |line: &str| {
        let message: Value = serde_json::from_str(line).ok()?;
        let name = message["target"]["name"].as_str()?.to_owned();
        Some((name, message["executable"].as_str()?.to_owned()))
    };
    Ok(messages.lines().filter_map(program).collect())
}

#[test]
fn the_control_planes_own_tests_pass() -> Result<()> {
    cluster::test("the_control_planes_own_tests_pass", async |cluster| {
        // A cluster that stays may have what other tests installed, which would answer for these tests' classes.
        cluster.uninstall()?;
        cluster.apply_definitions()?;
        let programs = programs()?;
        for test in TESTS {
            let output = Command::new(programs.get(test).context(test)?).output()?;
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&text);
            ensure!(output.status.success(), "{test}: {text}");
            ensure!(text.contains("test result: ok.") && !text.contains("KUBECONFIG"), "not run: {text}");
        }
        Ok(())
    })
}
