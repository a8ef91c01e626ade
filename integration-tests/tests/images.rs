//! What is in the images that `deploy/images/build.sh` makes.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use integration_tests::envoy;

/// Envoy configuration with TLS to backends, as the control plane's own golden test holds it.
const CONFIGURATION: &str = include_str!("../../control-plane/tests/cases/backend-tls.out.yaml");

/// Runs a program to its end; what it printed.
fn output(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(output.status.success(), "{command:?}:\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

/// Makes an image; unpacks its archive into `directory` and returns its layers.
fn layers(image: &str, directory: &Path) -> Result<Vec<PathBuf>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/images/build.sh");
    let mut build = Command::new(script);
    build.arg(image).env("CARGO_TARGET_DIR", env!("CARGO_TARGET_TMPDIR")).env("ENVOY_BIN", envoy::binary()?);
    let archive = String::from_utf8(output(&mut build)?)?;
    output(Command::new("tar").arg("-xf").arg(archive.trim()).arg("-C").arg(directory))?;
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(directory.join("manifest.json"))?)?;
    let layers = manifest[0]["Layers"].as_array().context("a Docker archive names its layers")?;
    Ok(layers.iter().filter_map(|layer| Some(directory.join(layer.as_str()?))).collect())
}

/// `wellKnownCACertificates: System` is a file where Envoy runs.
#[test]
fn the_image_of_envoy_has_the_files_that_configuration_names() {
    let named: Vec<_> =
        CONFIGURATION.lines().filter_map(|line| line.trim().strip_prefix("filename: /")).collect();
    assert!(!named.is_empty(), "the configuration names the system's authorities");
    let directory = tempfile::tempdir().unwrap();
    let layers = layers("envoy", directory.path()).unwrap();
    let [layer] = &layers[..] else { panic!("one layer: {layers:?}") };
    for file in named {
        let tar = |flags: &str| output(Command::new("tar").arg(flags).arg(layer).arg(file));
        let listed = String::from_utf8(tar("-tvf").unwrap()).unwrap();
        assert!(listed.starts_with("-rw-r--r--"), "Envoy is not root: {listed}");
        let text = String::from_utf8(tar("-xOf").unwrap()).unwrap();
        assert!(
            text.matches("-----BEGIN CERTIFICATE-----").count() > 10,
            "{file} is no bundle of authorities"
        );
    }
}
