//! Signalbox in the test cluster, installed as a user would, once for all tests of a session; and what tests apply.

use std::{env, net::SocketAddr, process::Command};

use anyhow::{Context, Result};

use super::{TestCluster, images::TAG, run};
use crate::client::Client;

/// Held while one test installs and the others wait.
const LOCKED: &str = r#"flock "$LOCK" sh -ec '
  if kubectl -n signalbox-system rollout status deployment/signalbox --timeout=1s 2>/dev/null; then exit; fi
  "$SCRIPTS/install.sh" --set gatewayClass.parametersRef.name=small
  kubectl apply --server-side -f "$SCRIPTS/manifests/small.yaml"'"#;

impl TestCluster {
    /// Loads the images and installs the chart as it is.
    ///
    /// # Errors
    /// What the scripts, Helm or the cluster say.
    pub fn install_defaults(&self) -> Result<()> {
        self.install_with(&[])
    }

    /// Loads the images and installs the chart with these flags of Helm.
    ///
    /// # Errors
    /// What the scripts, Helm or the cluster say.
    pub fn install_with(&self, flags: &[&str]) -> Result<()> {
        self.load_images()?;
        run(Command::new(self.scripts.join("install.sh")).args(flags), "")?;
        Ok(())
    }

    /// Applies the definitions of the Gateway API and of its inference extension.
    ///
    /// # Errors
    /// What the scripts or the cluster say.
    pub fn apply_definitions(&self) -> Result<()> {
        run(Command::new(self.scripts.join("crds.sh")).arg("apply"), "")?;
        Ok(())
    }

    /// Uninstalls the chart, if it is there.
    ///
    /// # Errors
    /// What Helm says.
    pub fn uninstall(&self) -> Result<()> {
        let arguments =
            ["uninstall", "signalbox", "--namespace", "signalbox-system", "--ignore-not-found", "--wait"];
        run(Command::new("helm").args(arguments), "")?;
        Ok(())
    }

    /// Loads the images and installs the chart, unless it is there, for a small node with many Gateways: their Envoys
    /// ask for little. Returns the images' tag.
    ///
    /// # Errors
    /// What the scripts, Helm or the cluster say.
    pub fn install(&self) -> Result<&'static str> {
        let kubeconfig = env::var("KUBECONFIG").context("the session sets KUBECONFIG")?;
        self.load_images()?;
        let mut install = Command::new("sh");
        install.args(["-c", LOCKED]).env("LOCK", format!("{kubeconfig}.install"));
        run(install.env("SCRIPTS", &self.scripts), "")?;
        Ok(TAG)
    }

    /// Makes a namespace and applies manifests in it.
    ///
    /// # Errors
    /// What kubectl says.
    pub fn apply_in(&self, namespace: &str, manifests: &str) -> Result<()> {
        self.apply(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n"))?;
        let arguments = ["-n", namespace, "apply", "--server-side", "--force-conflicts", "-f", "-"];
        self.kubectl_with(&arguments, manifests)?;
        Ok(())
    }

    /// Deletes a namespace of [`Self::apply_in`]; does not wait for its end.
    ///
    /// # Errors
    /// What kubectl says.
    pub fn delete(&self, namespace: &str) -> Result<()> {
        self.kubectl(&["delete", "namespace", namespace, "--wait=false"])?;
        Ok(())
    }

    /// A client for a Gateway's port, as soon as the Gateway is programmed.
    ///
    /// # Errors
    /// When it does not get there.
    pub async fn client_of(&self, namespace: &str, gateway: &str, port: u16) -> Result<Client> {
        let object = ["-n", namespace, "gateway", gateway];
        self.wait_for("Programmed", &["-n", namespace, &format!("gateway/{gateway}")])?;
        let address = self.field(&object, "{.status.addresses[0].value}").await?;
        Ok(Client::new(SocketAddr::new(address.parse()?, port)))
    }
}
