//! `signalbox bootstrap`: the bootstrap of an Envoy that somebody else runs.

use std::{fs, net::SocketAddr, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::Args;

use super::output::print;
use crate::translate::{self, AdsMode, BootstrapParams, BootstrapTls, OverloadLimits};

/// Prints the bootstrap of an Envoy that joins a Gateway's fleet.
#[derive(Debug, Args)]
pub(super) struct Bootstrap {
    /// The Gateway, as NAMESPACE/NAME.
    #[arg(long)]
    gateway: String,
    /// Where the control plane serves ADS, as HOST:PORT.
    #[arg(long)]
    ads: String,
    /// Name of this Envoy, unique in the fleet [default: the host's name].
    #[arg(long)]
    node_id: Option<String>,
    /// Where Envoy's admin interface listens.
    #[arg(long, default_value = "127.0.0.1:19000")]
    admin: SocketAddr,
    /// Where `/ready` and `/stats/prometheus` are served; not at all by default.
    #[arg(long)]
    status: Option<SocketAddr>,
    /// Directory with tls.crt, tls.key and ca.crt: the stream is mutual TLS. It is watched; replace the files by a rename.
    #[arg(long, value_name = "DIRECTORY", requires = "sds_dir")]
    identity_dir: Option<PathBuf>,
    /// Directory where the files that tell Envoy of the identity are written.
    #[arg(long, value_name = "DIRECTORY", requires = "identity_dir")]
    sds_dir: Option<PathBuf>,
    /// Name in the control plane's certificate [default: the host of --ads].
    #[arg(long, value_name = "NAME", requires = "identity_dir")]
    ads_server_name: Option<String>,
    /// Ask for the state of the world at each change, not for differences.
    #[arg(long)]
    sotw: bool,
}

impl Bootstrap {
    /// Prints the bootstrap.
    ///
    /// # Errors
    /// When an argument is malformed.
    pub(super) fn run(self) -> Result<ExitCode> {
        anyhow::ensure!(
            self.gateway.split('/').filter(|part| !part.is_empty()).count() == 2,
            "--gateway {}: write NAMESPACE/NAME",
            self.gateway
        );
        let node_id = self.node_id.unwrap_or_else(|| {
            nix::unistd::gethostname().map_or_else(|_| "envoy".into(), |n| n.to_string_lossy().into_owned())
        });
        let (host, port) = self.ads.rsplit_once(':').context("--ads: write HOST:PORT")?;
        let host = host.trim_matches(['[', ']']).to_owned();
        let tls = match (self.identity_dir, self.sds_dir) {
            (Some(identity), Some(sds)) => {
                let server_name = self.ads_server_name.unwrap_or_else(|| host.clone());
                let tls = BootstrapTls { identity, sds, server_name };
                fs::create_dir_all(&tls.sds)
                    .with_context(|| format!("--sds-dir: cannot create {}", tls.sds.display()))?;
                for (name, content) in translate::sds_files(&tls) {
                    let path = tls.sds.join(name);
                    fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
                }
                Some(tls)
            }
            _ => None,
        };
        let params = BootstrapParams {
            node_id,
            cluster: self.gateway,
            ads_host: host,
            ads_port: port.parse().with_context(|| format!("--ads: {port} is not a port"))?,
            tls,
            ads_mode: if self.sotw { AdsMode::Sotw } else { AdsMode::Delta },
            admin: self.admin,
            status: self.status,
            drain: None,
            overload: OverloadLimits::default(),
        };
        print(&translate::bootstrap(&params))?;
        Ok(ExitCode::SUCCESS)
    }
}
