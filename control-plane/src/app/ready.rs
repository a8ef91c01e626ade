//! Prints `ready http://ADDRESS:PORT` once requests to a listener can be answered.
//!
//! A listener is ready when its Envoys acknowledged the current configuration, the socket accepts connections, and the
//! Envoy sees a healthy picker for every pool.

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, time::Duration};

use tokio::{net::TcpStream, sync::watch, time::Instant};

use crate::{api::NamespacedName, cli::print, infra::envoy_admin, xds::Nodes};

/// One listener that should become ready.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Expected {
    /// The Gateway.
    pub gateway: NamespacedName,
    /// Where clients connect.
    pub address: SocketAddr,
    /// The file with the address of Envoy's admin interface; `None` when the Envoy is not ours.
    pub admin_file: Option<PathBuf>,
}

/// Between two looks at listeners that are not ready yet.
const POLL: Duration = Duration::from_millis(50);
/// After this long, what is missing is logged.
const PATIENCE: Duration = Duration::from_secs(10);

/// Announces each expected listener once, again when it went away and came back. Ends with the sender of `expected`.
pub(super) async fn announce(mut expected: watch::Receiver<BTreeSet<Expected>>, nodes: Nodes) {
    let mut announced: BTreeSet<Expected> = BTreeSet::new();
    let mut waiting_since = Instant::now();
    let mut complained = false;
    loop {
        let wanted = expected.borrow_and_update().clone();
        announced.retain(|listener| wanted.contains(listener));
        let mut missing = None;
        for listener in wanted.difference(&announced.clone()) {
            match check(listener, &nodes).await {
                Ok(()) => {
                    if print(&format!("ready http://{}\n", listener.address)).is_err() {
                        tracing::warn!(address = %listener.address, "standard output is closed");
                    }
                    announced.insert(listener.clone());
                }
                Err(why) => missing = Some((listener.clone(), why)),
            }
        }
        let Some((listener, why)) = missing else {
            complained = false;
            if expected.changed().await.is_err() {
                return;
            }
            waiting_since = Instant::now();
            continue;
        };
        if !complained && waiting_since.elapsed() > PATIENCE {
            complained = true;
            tracing::warn!(gateway = %listener.gateway, address = %listener.address, why, "listener is not ready yet");
        }
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            changed = expected.changed() => if changed.is_err() { return },
        }
    }
}

async fn check(listener: &Expected, nodes: &Nodes) -> Result<(), String> {
    if !nodes.is_current(&listener.gateway) {
        return Err("Envoy has not acknowledged the current configuration".into());
    }
    TcpStream::connect(listener.address).await.map_err(|error| format!("connecting: {error}"))?;
    let Some(file) = &listener.admin_file else { return Ok(()) };
    let admin = envoy_admin::address(file).map_err(|error| format!("{error:#}"))?;
    let unhealthy =
        envoy_admin::unhealthy_clusters(admin, "picker/").await.map_err(|error| format!("{error:#}"))?;
    if unhealthy.is_empty() {
        Ok(())
    } else {
        Err(format!("no healthy endpoint picker in {}", unhealthy.join(", ")))
    }
}
