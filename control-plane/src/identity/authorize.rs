//! What a client may ask for: its certificate decides, not its words.
//!
//! ```text
//! gateway/<ns>/<name> ─▶ ADS for that Gateway     pool/<ns>/<name> ─▶ tier API, that pool
//! ```

use std::collections::BTreeSet;

use super::{Identity, Peer};
use crate::api::NamespacedName;

/// Why a client is refused: says what it holds, what it asked for, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Denied(String);

/// Whether `peer` may follow the configuration of `gateway`.
///
/// # Errors
/// The certificate is not that of the Gateway.
pub fn may_follow(peer: &Peer, gateway: &NamespacedName) -> Result<(), Denied> {
    if peer.identities.contains(&Identity::Gateway(gateway.clone())) {
        return Ok(());
    }
    Err(Denied(format!(
        "node.cluster asks for Gateway {gateway}, but the client certificate is for {}; mount the Secret {} of namespace {}",
        holders(peer),
        super::secret_name(&Identity::Gateway(gateway.clone())),
        gateway.namespace,
    )))
}

/// The pools that `peer` is sent when it asks for `asked`; all of its own when it names none.
///
/// # Errors
/// It names a pool of others, or has no pool.
pub fn pools_of(peer: &Peer, asked: &BTreeSet<NamespacedName>) -> Result<BTreeSet<NamespacedName>, Denied> {
    let own: BTreeSet<_> = peer
        .identities
        .iter()
        .filter_map(|identity| match identity {
            Identity::Pool(pool) => Some(pool.clone()),
            Identity::Gateway(_) => None,
        })
        .collect();
    let foreign = asked.iter().find(|pool| !own.contains(pool));
    match foreign {
        Some(pool) => Err(Denied(format!(
            "InferencePool {pool} is asked for, but the client certificate is for {}; mount the Secret {} of namespace {}",
            holders(peer),
            super::secret_name(&Identity::Pool(pool.clone())),
            pool.namespace,
        ))),
        None if own.is_empty() => Err(Denied(format!(
            "pools are asked for, but the client certificate is for {}; mount the Secret of an InferencePool",
            holders(peer)
        ))),
        None if asked.is_empty() => Ok(own),
        None => Ok(asked.clone()),
    }
}

fn holders(peer: &Peer) -> String {
    if peer.identities.is_empty() {
        return "nobody that is known here".to_owned();
    }
    let names: Vec<_> = peer.identities.iter().map(ToString::to_string).collect();
    names.join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> NamespacedName {
        let (namespace, name) = text.split_once('/').unwrap();
        NamespacedName::new(namespace, name)
    }

    fn peer(gateways: &[&str], pools: &[&str]) -> Peer {
        let gateways = gateways.iter().map(|g| Identity::Gateway(name(g)));
        Peer { identities: gateways.chain(pools.iter().map(|p| Identity::Pool(name(p)))).collect() }
    }

    #[test]
    fn an_envoy_follows_its_own_gateway_only() {
        for (peer, gateway, allowed) in [
            (peer(&["a/gw"], &[]), "a/gw", true),
            (peer(&["a/gw"], &[]), "b/gw", false),
            (peer(&["a/gw"], &[]), "a/other", false),
            (peer(&["a/gw", "b/gw"], &[]), "b/gw", true),
            (peer(&[], &["a/gw"]), "a/gw", false),
            (peer(&[], &[]), "a/gw", false),
        ] {
            assert_eq!(may_follow(&peer, &name(gateway)).is_ok(), allowed, "{peer:?} {gateway}");
        }
        let text = may_follow(&peer(&["a/gw"], &[]), &name("b/gw")).unwrap_err().to_string();
        for part in ["Gateway b/gw", "ns/a/gateway/gw", "Secret signalbox-gateway-gw of namespace b"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn a_picker_watches_its_own_pools_only() {
        for (peer, asked, given) in [
            (peer(&[], &["a/p"]), &["a/p"][..], Some(&["a/p"][..])),
            (peer(&[], &["a/p"]), &[], Some(&["a/p"])),
            (peer(&[], &["a/p", "a/q"]), &["a/q"], Some(&["a/q"])),
            (peer(&[], &["a/p", "a/q"]), &[], Some(&["a/p", "a/q"])),
            (peer(&[], &["a/p"]), &["a/p", "b/p"], None),
            (peer(&["a/p"], &[]), &["a/p"], None),
            (peer(&["a/p"], &[]), &[], None),
            (peer(&[], &[]), &[], None),
        ] {
            let asked = asked.iter().map(|p| name(p)).collect();
            let given = given.map(|given| given.iter().map(|p| name(p)).collect());
            assert_eq!(pools_of(&peer, &asked).ok(), given, "{peer:?} {asked:?}");
        }
    }
}
