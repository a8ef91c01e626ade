//! The guide's example, `deploy/standalone/multi-model`, on the addresses of one test.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::Directory;
use crate::{
    loopback::Block,
    simulator::{PodConfig, config},
};

/// The example's directory within the repository.
pub const EXAMPLE: &str = "deploy/standalone/multi-model";

/// Pods' addresses in the example begin with this; the last number is kept when it is moved.
const PODS: &str = "127.0.1.";
/// The Gateway's address and port in the example.
const GATEWAY: &str = "127.0.0.10";
const PORT: &str = "port: 80\n";

/// Manifests and the simulator's Pods.
#[derive(Debug)]
pub struct Example {
    /// A copy of the manifests.
    pub manifests: Directory,
    /// The Pods, on the addresses that the manifests name.
    pub pods: Vec<PodConfig>,
    /// The addresses.
    pub block: Block,
}

impl Example {
    /// The example on addresses that nobody else uses, with a port for which no privilege is needed.
    ///
    /// # Errors
    /// When the example's files are not as expected.
    pub fn relocated() -> Result<Self> {
        let block = Block::claim();
        let manifests = Directory::new()?;
        for file in yaml_files(&directory())? {
            let text = fs::read_to_string(&file)?;
            let name = file.file_name().and_then(|name| name.to_str()).context("file names are text")?;
            manifests.write(name, &relocate(&text, block))?;
        }
        let pods = fs::read_to_string(directory().join("simulator/pods.conf"))?;
        Ok(Self { manifests, pods: config::parse_pods(&relocate(&pods, block))?, block })
    }
}

/// The example's directory.
fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(EXAMPLE)
}

fn yaml_files(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    Ok(paths
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect())
}

fn relocate(text: &str, block: Block) -> String {
    let gateway = block.gateway().to_string();
    let prefix = gateway.trim_end_matches(|c: char| c.is_ascii_digit());
    let port = format!("port: {}\n", Block::GATEWAY_PORT);
    text.replace(PODS, prefix).replace(GATEWAY, &gateway).replace(PORT, &port)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The manifest that users copy from the guide.
    const ROUTE: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: routes-to-llms
spec:
  parentRefs:
  - name: inference-gateway
  rules:
  - matches:
    - headers:
      - type: Exact
        name: X-Gateway-Model-Name
        value: chatbot
      path:
        type: PathPrefix
        value: /
    backendRefs:
    - name: gemma3
      kind: InferencePool
  - matches:
    - headers:
      - type: Exact
        name: X-Gateway-Model-Name
        value: recommender
      path:
        type: PathPrefix
        value: /
    backendRefs:
    - name: deepseek-r1
      kind: InferencePool
";

    #[test]
    fn the_guides_route_is_verbatim() {
        assert_eq!(fs::read_to_string(directory().join("routes-to-llms.yaml")).unwrap(), ROUTE);
    }

    #[test]
    fn the_simulators_pods_are_those_of_the_manifests() {
        let example = Example::relocated().unwrap();
        let manifests = example.manifests.read("pods.yaml").unwrap();
        assert_eq!(example.pods.len(), 5);
        for pod in &example.pods {
            assert_eq!((pod.listen.len(), pod.listen[0].port()), (1, 8000));
            assert!(manifests.contains(&format!("name: {}\n", pod.name)), "{}", pod.name);
            assert!(manifests.contains(&format!("podIP: {}\n", pod.listen[0].ip())), "{}", pod.name);
        }
    }
}
