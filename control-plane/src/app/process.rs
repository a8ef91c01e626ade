//! What a mode needs of the operating system: sockets and signals.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

/// Listens where a flag says.
pub(super) async fn bind(flag: &str, address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("{flag} {address}: cannot listen there"))
}

/// Cancels at Ctrl-C or SIGTERM.
pub(super) async fn stop_on_signal(cancel: CancellationToken) {
    let (interrupt, terminate) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let (Ok(mut interrupt), Ok(mut terminate)) = (interrupt, terminate) else {
        tracing::error!("signals cannot be heard; the process ends by SIGKILL only");
        return;
    };
    tokio::select! {
        _ = interrupt.recv() => tracing::info!("interrupted; running requests may end first"),
        _ = terminate.recv() => tracing::info!("terminated; running requests may end first"),
        () = cancel.cancelled() => {}
    }
    cancel.cancel();
}
