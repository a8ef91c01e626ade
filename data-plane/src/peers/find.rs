//! Where peers are: names that are resolved again and again.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

/// Addresses that are followed at most. A pool has a few pickers; a name that stands for more is a mistake.
pub(super) const MOST: usize = 16;
/// A name server that does not answer is not waited for any longer.
const RESOLVING: Duration = Duration::from_secs(2);

/// What names stand for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The first of the addresses, in order.
    pub(super) addresses: BTreeSet<SocketAddr>,
    /// Addresses beyond those.
    pub(super) left_out: usize,
    /// Why a name could not be resolved. Its addresses are then not complete.
    pub(super) error: Option<String>,
}

/// Resolves `names`, each HOST:PORT.
pub(super) async fn find(names: &[String]) -> Found {
    let mut found = Found::default();
    for name in names {
        match tokio::time::timeout(RESOLVING, tokio::net::lookup_host(name.as_str())).await {
            Ok(Ok(addresses)) => found.addresses.extend(addresses.map(canonical)),
            Ok(Err(error)) => found.error = Some(format!("{name}: {error}")),
            Err(_) => found.error = Some(format!("{name}: no answer in {RESOLVING:?}")),
        }
    }
    found.bounded()
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

impl Found {
    fn bounded(mut self) -> Self {
        while self.addresses.len() > MOST {
            self.addresses.pop_last();
            self.left_out += 1;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_are_resolved_to_a_bounded_set_and_one_that_cannot_be_is_told() {
        let names: Vec<String> = (1..=20).map(|port| format!("127.0.0.1:{port}")).collect();
        let found = find(&names).await;
        assert_eq!((found.addresses.len(), found.left_out, found.error), (MOST, 4, None));
        let found = find(&["127.0.0.1:1".into(), "nowhere.invalid:1".into()]).await;
        assert_eq!(found.addresses.len(), 1);
        assert!(found.error.is_some_and(|error| error.starts_with("nowhere.invalid:1: ")));
    }
}
