//! Signalbox's images in the test cluster: made of the binaries that the tests run, loaded once for a process.

use std::{process::Command, sync::OnceLock};

use anyhow::{Context, Result};

use super::{TestCluster, run};
use crate::{envoy, stack::binaries};

/// The tag of the images; their names are `localhost/signalbox/{control-plane,picker,envoy,model-server}`.
pub(super) const TAG: &str = env!("CARGO_PKG_VERSION");

impl TestCluster {
    /// Makes the images and loads them. Returns their tag.
    ///
    /// # Errors
    /// When they cannot be made, or the cluster takes none.
    pub fn load_images(&self) -> Result<&'static str> {
        static LOADED: OnceLock<Result<(), String>> = OnceLock::new();
        let loaded = LOADED.get_or_init(|| self.make_and_load().map_err(|error| format!("{error:#}")));
        loaded.clone().map_err(anyhow::Error::msg)?;
        Ok(TAG)
    }

    fn make_and_load(&self) -> Result<()> {
        let binaries = binaries::directory()?;
        let profile = binaries.file_name().context("a profile's directory")?;
        let target = binaries.parent().context("a target directory")?;
        let mut build = Command::new(self.scripts.join("../../deploy/images/build.sh"));
        build.env("PROFILE", profile).env("CARGO_TARGET_DIR", target).env("TAG", TAG);
        let archives = run(build.env("ENVOY_BIN", envoy::binary()?), "")?;
        run(Command::new(self.scripts.join("load.sh")).args(archives.lines()), "")?;
        Ok(())
    }
}
