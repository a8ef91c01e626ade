//! An installation whose parts can be killed one by one: control plane, Envoy and picker, each a child of the run.
//!
//! ```text
//! manifests ─▶ signalbox standalone --external ─┬─ ADS ──────▶ Envoy (bootstrap that signalbox wrote) ─▶ Pods
//!                                               └─ tier API ─▶ picker: ours, or one that does nothing
//! ```

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use anyhow::Result;
use http::StatusCode;

use super::{
    child::Child,
    context::Context,
    extproc,
    manifests::{GATEWAY, MODEL_PORT, Manifests, gateway},
};
use crate::{
    client::Client,
    loopback::Block,
    simulator::{Fleet, PodConfig},
};

const XDS_PORT: u16 = 18000;
const POOLS_PORT: u16 = 18001;
const PICKER_PORT: u16 = 9002;

/// The parts, running.
pub struct Installation<'a> {
    context: &'a Context,
    /// Its loopback addresses; 1 is the Gateway's, 2 the control plane's, 3 the picker's, from 10 on are Pods'.
    block: Block,
    dir: PathBuf,
    picks: Picks,
    /// Its manifests.
    pub manifests: Manifests,
    /// `signalbox standalone`.
    pub control_plane: Option<Child>,
    /// Envoy.
    pub envoy: Option<Child>,
    /// The picker.
    pub picker: Option<Child>,
}

/// Who picks endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picks {
    /// Our picker.
    Ours,
    /// A server that does nothing but name this endpoint.
    Naive(SocketAddr),
}

impl<'a> Installation<'a> {
    /// With a Gateway and no routes; nothing runs yet.
    ///
    /// # Errors
    /// When there is no place for files.
    pub fn new(context: &'a Context, name: &str, picks: Picks) -> Result<Self> {
        let dir = context.directory(name)?;
        let block = Block::claim();
        let manifests = Manifests::new(dir.join("manifests"))?;
        manifests.write("gateway.yaml", &gateway(block.gateway(), Block::GATEWAY_PORT))?;
        Ok(Self { context, block, dir, picks, manifests, control_plane: None, envoy: None, picker: None })
    }

    /// Addresses for Pods, the first being number `from`.
    pub fn pods(&self, from: u8, count: u8) -> Vec<IpAddr> {
        (from..from + count).map(|n| self.block.address(10 + n)).collect()
    }

    /// Where the Gateway listens.
    pub fn gateway(&self) -> SocketAddr {
        SocketAddr::new(self.block.gateway(), Block::GATEWAY_PORT)
    }

    /// A client of the Gateway.
    pub fn client(&self) -> Client {
        Client::new(self.gateway())
    }

    /// Directory of logs and the like.
    pub fn dir(&self) -> &std::path::Path {
        &self.dir
    }

    /// Starts the three parts; returns when a completion of this model is answered.
    ///
    /// # Errors
    /// When a part does not start, or there is no answer in time.
    pub async fn start(&mut self, model: &str) -> Result<()> {
        self.start_control_plane().await?;
        self.start_picker().await?;
        let gateway = format!("{}.{}", GATEWAY.0, GATEWAY.1);
        let bootstrap = self.dir.join("run/envoy").join(gateway).join("bootstrap.yaml");
        if let Some(control_plane) = &mut self.control_plane {
            control_plane.until("writing a bootstrap", || async { bootstrap.is_file() }).await?;
        }
        let mut envoy = self.context.envoy("envoy", &bootstrap, &self.dir)?;
        let client = self.client();
        let answered = async || {
            let reply = client.completion(model, "Are you there?").await;
            reply.is_ok_and(|reply| reply.status == StatusCode::OK)
        };
        envoy.until("answering requests", answered).await?;
        self.envoy = Some(envoy);
        Ok(())
    }

    /// Starts the control plane.
    ///
    /// # Errors
    /// When it does not listen in time.
    pub async fn start_control_plane(&mut self) -> Result<()> {
        let (xds, pools) = (self.control_address(XDS_PORT), self.control_address(POOLS_PORT));
        let mut command = self.context.program("signalbox")?;
        command.arg("standalone").arg(self.manifests.path()).arg("--external");
        command.arg("--picker-address").arg(self.picker_address().to_string());
        command.arg("--xds-listen").arg(xds.to_string()).arg("--pools-listen").arg(pools.to_string());
        command.arg("--run-dir").arg(self.dir.join("run"));
        let mut child = Child::start("signalbox", command, &self.dir)?;
        child.until_listening(xds).await?;
        child.until_listening(pools).await?;
        self.control_plane = Some(child);
        Ok(())
    }

    /// Starts the picker.
    ///
    /// # Errors
    /// When it does not listen in time.
    pub async fn start_picker(&mut self) -> Result<()> {
        let listen = self.picker_address();
        let mut child = match self.picks {
            Picks::Ours => self.context.picker(listen, self.control_address(POOLS_PORT), &self.dir)?,
            Picks::Naive(endpoint) => extproc::naive(self.context, listen, endpoint, &self.dir)?,
        };
        child.until_listening(listen).await?;
        self.picker = Some(child);
        Ok(())
    }

    /// Ends all parts.
    ///
    /// # Errors
    /// When one cannot be waited for.
    pub async fn end(self) -> Result<()> {
        for child in [self.envoy, self.picker, self.control_plane].into_iter().flatten() {
            child.end().await?;
        }
        Ok(())
    }

    fn control_address(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.block.address(2), port)
    }

    fn picker_address(&self) -> SocketAddr {
        SocketAddr::new(self.block.address(3), PICKER_PORT)
    }
}

/// Simulated Pods that serve these models, each on its own address; `<name>-<address>` is their name.
pub fn pod_configs(name: &str, addresses: &[IpAddr], models: &[&str], profile: &str) -> Vec<PodConfig> {
    let config = |address: &IpAddr| PodConfig {
        served_names: models.iter().map(|&model| model.to_owned()).collect(),
        profile: profile.to_owned(),
        ..PodConfig::new(&format!("{name}-{address}"), SocketAddr::new(*address, MODEL_PORT), name)
    };
    addresses.iter().map(config).collect()
}

/// Starts Pods in this process.
///
/// # Errors
/// When an address is taken.
pub async fn pods(configs: Vec<PodConfig>) -> Result<Fleet> {
    Fleet::start(configs).await
}
