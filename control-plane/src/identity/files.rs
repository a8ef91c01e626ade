//! Credentials from a directory, as cert-manager's Secrets mount them: `tls.crt`, `tls.key`, `ca.crt`.

use std::{fs, path::Path, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{Credentials, ServerTls, keys};

/// How often the files are looked at: they are small, and a kubelet takes a minute to bring them.
const INTERVAL: Duration = Duration::from_secs(2);

/// Reads the directory.
///
/// # Errors
/// Which file cannot be read, and why.
pub fn read_directory(directory: &Path) -> Result<Credentials, String> {
    let read = |name: &str| {
        let path = directory.join(name);
        fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))
    };
    Ok(Credentials {
        certificate: read(keys::CERTIFICATE)?,
        key: read(keys::KEY)?,
        trust: read(keys::TRUST)?,
    })
}

/// Serves with what is in the directory, until `cancel`. Files that cannot be used leave what serves as it is.
pub async fn follow_directory(directory: &Path, tls: &ServerTls, cancel: &CancellationToken) {
    let mut ticks = tokio::time::interval(INTERVAL);
    let mut held = None;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = cancel.cancelled() => return,
        }
        let read = read_directory(directory);
        if held.as_ref() == Some(&read) {
            continue;
        }
        match read.as_ref().map_err(Clone::clone).and_then(|credentials| tls.replace(credentials)) {
            Ok(()) => tracing::info!(directory = %directory.display(), "the server's certificate was read"),
            Err(error) => tracing::error!(
                directory = %directory.display(), error,
                "the server's certificate cannot be used; the one before, if any, serves on"
            ),
        }
        held = Some(read);
    }
}
