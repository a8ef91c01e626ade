//! While this replica leads: follows all the others, and holds what they say.
//!
//! ```text
//! leader, addresses ─▶ one stream per replica ─ heard ─▶ Known (watch)
//! ```
//!
//! A replica whose address is gone is forgotten at once, and its stream with it.

use std::{collections::BTreeSet, net::SocketAddr, pin::Pin, sync::Arc};

use futures_util::Stream;
use tokio::sync::watch;
use tokio_stream::{StreamExt as _, StreamMap};
use tokio_util::sync::CancellationToken;

use super::{
    Heard, Known, Metrics,
    follow::{Listener, follow},
};
use crate::{api::NamespacedName, identity::ServerTls};

/// What [`run`] needs.
#[derive(Debug)]
pub struct Config {
    /// The Service of the control plane.
    pub own: NamespacedName,
    /// Name of this replica.
    pub replica: String,
    /// Our certificate, shown to the others as it is to Envoys.
    pub tls: ServerTls,
    /// What is counted.
    pub metrics: Metrics,
    /// Whether this replica leads.
    pub leader: watch::Receiver<bool>,
    /// Where the others are; `None` until that is known.
    pub addresses: watch::Receiver<Option<Arc<BTreeSet<SocketAddr>>>>,
    /// Told what is known.
    pub known: watch::Sender<Arc<Known>>,
}

/// Follows the others until `cancel`.
///
/// # Errors
/// When who says where they are, or who leads, is gone.
pub async fn run(config: Config, cancel: CancellationToken) -> anyhow::Result<()> {
    let Config { own, replica, tls, metrics, mut leader, mut addresses, known } = config;
    let listener = Listener { own, replica, tls, metrics };
    let mut leading = Leading { listener, streams: StreamMap::new(), known: Known::default() };
    loop {
        let leads = *leader.borrow_and_update();
        leading.reconcile(leads, addresses.borrow_and_update().as_deref());
        leading.tell(&known);
        tokio::select! {
            biased;
            () = cancel.cancelled() => return Ok(()),
            changed = leader.changed() => changed?,
            changed = addresses.changed() => changed?,
            Some((address, heard)) = leading.streams.next(), if !leading.streams.is_empty() => {
                leading.known.replicas.insert(address, heard);
            }
        }
    }
}

struct Leading {
    listener: Listener,
    streams: StreamMap<SocketAddr, Pin<Box<dyn Stream<Item = Heard> + Send>>>,
    known: Known,
}

impl Leading {
    /// Follows those, and nobody else.
    fn reconcile(&mut self, leads: bool, addresses: Option<&BTreeSet<SocketAddr>>) {
        (self.known.leads, self.known.listed) = (leads, addresses.is_some());
        let wanted = addresses.filter(|_| leads);
        let is_wanted = |address: &SocketAddr| wanted.is_some_and(|wanted| wanted.contains(address));
        let gone: Vec<_> = self.known.replicas.keys().filter(|held| !is_wanted(held)).copied().collect();
        for address in gone {
            self.streams.remove(&address);
            self.known.replicas.remove(&address);
        }
        for address in wanted.into_iter().flatten() {
            if !self.known.replicas.contains_key(address) {
                self.known.replicas.insert(*address, Heard::Nothing);
                self.streams.insert(*address, Box::pin(follow(self.listener.clone(), *address)));
            }
        }
    }

    fn tell(&self, known: &watch::Sender<Arc<Known>>) {
        let heard = self.known.replicas.values().filter(|heard| matches!(heard, Heard::All(_))).count();
        self.listener.metrics.heard.set(i64::try_from(heard).unwrap_or(i64::MAX));
        known.send_if_modified(|held| {
            let differs = **held != self.known;
            if differs {
                *held = Arc::new(self.known.clone());
            }
            differs
        });
    }
}
