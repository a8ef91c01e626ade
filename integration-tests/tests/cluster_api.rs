//! The control plane's own tests against an API server, `control-plane/tests/cluster_*.rs`, in the test cluster: without
//! one they test nothing.

use std::{env, path::Path};

use anyhow::{Context as _, Result, ensure};
use integration_tests::{cluster, stack::binaries};

const TESTS: [&str; 4] = ["cluster_identity", "cluster_infra", "cluster_source", "cluster_status"];

#[test]
fn the_control_planes_own_tests_pass() -> Result<()> {
    cluster::test("the_control_planes_own_tests_pass", async |cluster| {
        // A cluster that stays may have what other tests installed, which would answer for these tests' classes.
        cluster.uninstall()?;
        cluster.apply_definitions()?;
        let cargo = env::var_os("CARGO").context("cargo runs this test")?;
        let mut tests = binaries::fresh(Path::new(&cargo));
        // The whole workspace, as everything of it is built with the same features then.
        tests.args(["test", "--workspace"]).args(TESTS.iter().flat_map(|test| ["--test", test]));
        let output = tests.output()?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        ensure!(output.status.success(), "{text}");
        let passed = text.matches("test result: ok.").count();
        ensure!(passed == TESTS.len() && !text.contains("KUBECONFIG"), "not all were run:\n{text}");
        Ok(())
    })
}
