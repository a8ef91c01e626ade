//! An installation whose parts can be killed one by one: control plane, Envoy and picker, each a child of the run.
//!
//! ```text
//! manifests ─▶ signalbox standalone --external ─┬─ ADS ──────▶ Envoy (bootstrap that signalbox wrote) ─▶ Pods
//!                                               └─ tier API ─▶ picker: ours, one that does nothing, or one of simple policies
//! ```

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use anyhow::{Context as _, Result};
use http::StatusCode;

use super::{
    child::Child,
    context::{Context, METRICS_PORT},
    extproc,
    manifests::{MODEL_PORT, gateway, pod_name},
};
use crate::{client::Client, loopback::Block, simulator::PodConfig, stack::Directory};

const XDS_PORT: u16 = 18000;
const POOLS_PORT: u16 = 18001;
const PICKER_PORT: u16 = 9002;
/// Where signalbox writes the bootstrap of the Gateway's Envoy.
const BOOTSTRAP: &str = "run/envoy/default.inference-gateway/bootstrap.json";

/// The parts, running.
pub(super) struct Installation<'a> {
    context: &'a Context,
    /// Its loopback addresses: 1 for the Gateway, 2 for the control plane, 3 for the picker, from 10 on for Pods.
    block: Block,
    gateway: SocketAddr,
    dir: PathBuf,
    /// Who picks endpoints.
    pub(super) picks: Picks,
    /// Its manifests.
    pub(super) manifests: Directory,
    /// `signalbox standalone`.
    pub(super) control_plane: Option<Child>,
    /// Envoy.
    pub(super) envoy: Option<Child>,
    /// The picker.
    pub(super) picker: Option<Child>,
}

/// Who picks endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Picks {
    /// Our picker.
    Ours,
    /// A server that does nothing but name this endpoint.
    Naive(SocketAddr),
    /// One of simple policies, which the request names, over these endpoints, scraped so often.
    Compared { endpoints: Vec<SocketAddr>, scrape_ms: u64 },
}

impl<'a> Installation<'a> {
    /// With a Gateway and no routes; nothing runs yet.
    ///
    /// # Errors
    /// When there is no place for files.
    pub(super) fn new(context: &'a Context, name: &str) -> Result<Self> {
        let (block, manifests) = (Block::claim(), Directory::new()?);
        let listen = SocketAddr::new(block.gateway(), Block::GATEWAY_PORT);
        manifests.write("gateway.yaml", &gateway(listen))?;
        Self::on(block, context, name, manifests, listen, Picks::Ours)
    }

    /// With manifests whose Gateway listens there; nothing runs yet.
    ///
    /// # Errors
    /// When there is no place for files.
    pub(super) fn of(
        context: &'a Context,
        name: &str,
        manifests: Directory,
        gateway: SocketAddr,
        picks: Picks,
    ) -> Result<Self> {
        Self::on(Block::claim(), context, name, manifests, gateway, picks)
    }

    fn on(
        block: Block,
        context: &'a Context,
        name: &str,
        manifests: Directory,
        gateway: SocketAddr,
        picks: Picks,
    ) -> Result<Self> {
        let dir = context.directory(name)?;
        let (control_plane, envoy, picker) = (None, None, None);
        Ok(Self { context, block, gateway, dir, picks, manifests, control_plane, envoy, picker })
    }

    /// Addresses for Pods, the first being number `from`.
    pub(super) fn pods(&self, from: u8, count: u8) -> Vec<IpAddr> {
        (from..from + count).map(|n| self.block.address(10 + n)).collect()
    }

    /// Where the Gateway listens.
    pub(super) fn gateway(&self) -> SocketAddr {
        self.gateway
    }

    /// A client of the Gateway.
    pub(super) fn client(&self) -> Client {
        Client::new(self.gateway)
    }

    /// Starts the three parts; returns when a completion of this model is answered, with the picker asked.
    ///
    /// # Errors
    /// When a part does not start, or there is no answer in time.
    pub(super) async fn start(&mut self, model: &str) -> Result<()> {
        self.start_control_plane().await?;
        self.start_picker().await?;
        let bootstrap = self.dir.join(BOOTSTRAP);
        if let Some(control_plane) = &mut self.control_plane {
            control_plane.until("writing a bootstrap", async || bootstrap.is_file()).await?;
        }
        let mut envoy = self.context.envoy("envoy", &bootstrap, &self.dir)?;
        let client = self.client();
        let answered = async || {
            let reply = client.completion(model, "Are you there?").await;
            reply.is_ok_and(|reply| reply.status == StatusCode::OK)
                && self.picked().await.is_ok_and(|n| n > 0)
        };
        envoy.until("answering requests with the picker's choice", answered).await?;
        self.envoy = Some(envoy);
        Ok(())
    }

    /// Requests that the picker has given an endpoint; 1 for a picker that counts nothing.
    ///
    /// # Errors
    /// When its metrics cannot be read.
    pub(super) async fn picked(&self) -> Result<u64> {
        if self.picks != Picks::Ours {
            return Ok(1);
        }
        let page =
            Client::new(SocketAddr::new(self.picker_address().ip(), METRICS_PORT)).get("/metrics").await?;
        let text = page.text();
        let counts = text.lines().filter(|line| {
            line.starts_with("signalbox_picker_requests_total{") && line.contains("outcome=\"picked\"")
        });
        counts
            .map(|line| {
                let (_, count) = line.rsplit_once(' ').context("a sample without value")?;
                Ok(count.parse::<u64>()?)
            })
            .sum()
    }

    /// Starts the control plane.
    ///
    /// # Errors
    /// When it does not listen in time.
    pub(super) async fn start_control_plane(&mut self) -> Result<()> {
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
    pub(super) async fn start_picker(&mut self) -> Result<()> {
        let listen = self.picker_address();
        let mut child = match &self.picks {
            Picks::Ours => self.context.picker(listen, self.control_address(POOLS_PORT), true, &self.dir)?,
            Picks::Naive(endpoint) => extproc::naive(self.context, listen, *endpoint, true, &self.dir)?,
            Picks::Compared { endpoints, scrape_ms } => {
                let mut command = self.context.program("compared-picker")?;
                command.arg("--tls").arg("--listen").arg(listen.to_string());
                command.arg("--scrape-ms").arg(scrape_ms.to_string());
                for endpoint in endpoints {
                    command.arg("--endpoint").arg(endpoint.to_string());
                }
                Child::start("compared-picker", command, &self.dir)?
            }
        };
        child.until_listening(listen).await?;
        self.picker = Some(child);
        Ok(())
    }

    /// Ends all parts.
    ///
    /// # Errors
    /// When one cannot be waited for.
    pub(super) async fn end(self) -> Result<()> {
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

/// Simulated Pods of a pool that serve a model, each on its own address.
pub(super) fn pods(pool: &str, addresses: &[IpAddr], model: &str, profile: &str) -> Vec<PodConfig> {
    let config = |address: &IpAddr| PodConfig {
        profile: profile.to_owned(),
        ..PodConfig::new(&pod_name(pool, *address), SocketAddr::new(*address, MODEL_PORT), model)
    };
    addresses.iter().map(config).collect()
}
