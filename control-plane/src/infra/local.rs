//! Local infrastructure: addresses on loopback, one Envoy per Gateway and one picker as child processes.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    addresses::{self, Addresses},
    desired::Desired,
    picker_admin,
    supervisor::{ChildSpec, ChildState, End, supervise},
};
use crate::{
    api::NamespacedName,
    status::files::replace_file,
    tasks::TaskSet,
    translate::{self, AdsMode, BootstrapParams, OverloadLimits},
};

/// Where things are and how long they may take.
#[derive(Clone, Debug)]
pub struct LocalConfig {
    /// Directory for bootstraps, logs and addresses.
    pub run_dir: PathBuf,
    /// The Envoy binary.
    pub envoy: PathBuf,
    /// The picker binary.
    pub picker: PathBuf,
    /// Where the control plane serves ADS.
    pub xds: SocketAddr,
    /// Where the control plane serves the tier API.
    pub pools: SocketAddr,
    /// Time for requests to end when a child is ended.
    pub drain: Duration,
}

/// Runs Envoys and the picker on this machine, or only decides addresses when somebody else runs them.
pub struct Local {
    config: LocalConfig,
    addresses: Addresses,
    picker_address: Option<SocketAddr>,
    external: bool,
    children: BTreeMap<String, RunningChild>,
    changed: watch::Sender<u64>,
}

struct RunningChild {
    spec: ChildSpec,
    state: watch::Receiver<ChildState>,
    cancel: CancellationToken,
}

impl Local {
    /// With `external_picker`, nothing is run: Envoys use the bootstraps in the run directory and the picker listens there.
    pub fn new(config: LocalConfig, external_picker: Option<SocketAddr>) -> Self {
        Self {
            config,
            addresses: Addresses::default(),
            picker_address: external_picker,
            external: external_picker.is_some(),
            children: BTreeMap::new(),
            changed: watch::Sender::new(0),
        }
    }

    /// Hears whenever a child starts or ends.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Decides the addresses of every Gateway's Envoy; empty when there is none left.
    pub fn place(&mut self, desired: &Desired) -> BTreeMap<NamespacedName, Vec<IpAddr>> {
        self.addresses.retain(|gateway| desired.envoys.contains_key(gateway));
        let placed = desired
            .envoys
            .iter()
            .map(|(gateway, asked)| (gateway.clone(), self.addresses.of(gateway, asked).unwrap_or_default()));
        placed.collect()
    }

    /// Where the picker listens; chosen once.
    ///
    /// # Errors
    /// When loopback has no free port.
    pub fn picker_address(&mut self) -> Result<SocketAddr> {
        if let Some(address) = self.picker_address {
            return Ok(address);
        }
        let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let port = addresses::free_port(ip).context("no free port for the picker on 127.0.0.1")?;
        let address = SocketAddr::new(ip, port);
        self.picker_address = Some(address);
        Ok(address)
    }

    /// Starts what should run and does not, ends what should not.
    ///
    /// # Errors
    /// When a bootstrap cannot be written; children that could be started run all the same.
    pub fn reconcile(&mut self, desired: &Desired, tasks: &TaskSet) -> Result<()> {
        let mut wanted = BTreeMap::new();
        let mut failure = None;
        for gateway in desired.envoys.keys() {
            match self.envoy_spec(gateway) {
                Ok(spec) => drop(wanted.insert(spec.name.clone(), spec)),
                Err(error) => failure = Some(error),
            }
        }
        if !desired.picker_services.is_empty() {
            let spec = self.picker_spec()?;
            wanted.insert(spec.name.clone(), spec);
        }
        if self.external {
            return failure.map_or(Ok(()), Err);
        }
        self.children.retain(|name, child| {
            let keep = wanted.get(name) == Some(&child.spec);
            if !keep {
                child.cancel.cancel();
            }
            keep
        });
        for (name, spec) in wanted {
            if !self.children.contains_key(&name) {
                self.start(name, spec, tasks);
            }
        }
        failure.map_or(Ok(()), Err)
    }

    fn start(&mut self, name: String, spec: ChildSpec, tasks: &TaskSet) {
        let (sender, state) = watch::channel(ChildState::default());
        let cancel = CancellationToken::new();
        let mut heard = state.clone();
        let changed = self.changed.clone();
        let supervised = supervise(spec.clone(), sender, cancel.clone());
        tasks.spawn_brief("child", async move {
            let report = async {
                while heard.changed().await.is_ok() {
                    changed.send_modify(|count| *count += 1);
                }
            };
            tokio::join!(supervised, report);
        });
        self.children.insert(name, RunningChild { spec, state, cancel });
    }

    /// Ends every child: Envoys first, so that running requests still have their picker.
    pub async fn end(&mut self) {
        for prefix in ["envoy ", ""] {
            let mut ending = Vec::new();
            for (_, child) in self.children.iter().filter(|(name, _)| name.starts_with(prefix)) {
                child.cancel.cancel();
                ending.push(child.state.clone());
            }
            for mut state in ending {
                // An error means that the supervisor is gone, and its child with it.
                let _gone = state.wait_for(|state| *state == ChildState::Ended).await;
            }
        }
        self.children.clear();
    }

    /// Children with their state and log file.
    pub fn children(&self) -> impl Iterator<Item = (&str, ChildState, &Path)> {
        self.children
            .iter()
            .map(|(name, child)| (name.as_str(), child.state.borrow().clone(), child.spec.log.as_path()))
    }

    /// The file in which a Gateway's Envoy writes the address of its admin interface; `None` when it is not ours.
    pub fn admin_file(&self, gateway: &NamespacedName) -> Option<PathBuf> {
        (!self.external).then(|| self.envoy_dir(gateway).join("admin"))
    }

    fn envoy_dir(&self, gateway: &NamespacedName) -> PathBuf {
        self.config.run_dir.join("envoy").join(gateway.to_string().replace('/', "."))
    }

    /// Writes the bootstrap and says how to run the Gateway's Envoy.
    fn envoy_spec(&self, gateway: &NamespacedName) -> Result<ChildSpec> {
        let dir = self.envoy_dir(gateway);
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let node = format!("{}.local", gateway.name);
        let admin = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let bootstrap = translate::bootstrap(&BootstrapParams {
            node_id: node,
            cluster: gateway.to_string(),
            ads_host: self.config.xds.ip().to_string(),
            ads_port: self.config.xds.port(),
            tls: None,
            ads_mode: AdsMode::Delta,
            admin,
            status: None,
            drain: None,
            overload: OverloadLimits::default(),
        });
        let config = dir.join("bootstrap.json");
        if fs::read(&config).ok().as_deref() != Some(bootstrap.as_bytes()) {
            replace_file(&config, bootstrap.as_bytes())
                .with_context(|| format!("cannot write {}", config.display()))?;
        }
        let admin_file = dir.join("admin");
        let args = [
            "--config-path".into(),
            config.into_os_string(),
            "--admin-address-path".into(),
            admin_file.clone().into_os_string(),
            "--use-dynamic-base-id".into(),
            "--concurrency".into(),
            "2".into(),
            "--log-level".into(),
            "warning".into(),
        ];
        Ok(ChildSpec {
            name: format!("envoy {gateway}"),
            program: self.config.envoy.clone(),
            args: args.to_vec(),
            log: self
                .config
                .run_dir
                .join("logs")
                .join(format!("envoy.{}.log", gateway.to_string().replace('/', "."))),
            end: End::DrainEnvoy { admin: admin_file, timeout: self.config.drain },
        })
    }

    fn picker_spec(&mut self) -> Result<ChildSpec> {
        let listen = self.picker_address()?;
        let admin = picker_admin::address_file(&self.config.run_dir);
        if let Some(dir) = admin.parent() {
            fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        }
        let args = [
            "--listen".to_owned(),
            listen.to_string(),
            "--health-listen".into(),
            "127.0.0.1:0".into(),
            "--metrics-listen".into(),
            "127.0.0.1:0".into(),
            "--control-plane".into(),
            format!("http://{}", self.config.pools),
            // Envoy is drained before the picker is told to end, so there is nobody to warn.
            "--drain-delay".into(),
            "0s".into(),
            "--die-with-parent".into(),
            // Whoever sends requests here may ask why they went where they went.
            "--explain-header".into(),
            "record".into(),
            "--metrics-address-path".into(),
        ];
        let mut args: Vec<_> = args.map(Into::into).to_vec();
        args.push(admin.into_os_string());
        Ok(ChildSpec {
            name: "picker".into(),
            program: self.config.picker.clone(),
            args,
            log: self.config.run_dir.join("logs").join("picker.log"),
            end: End::Terminate(self.config.drain),
        })
    }
}
