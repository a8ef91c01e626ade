//! What a client may ask for: its certificate decides, not its words.
//!
//! ```text
//! gateway/<ns>/<name> ─▶ ADS for that Gateway     pool/<ns>/<name> ─▶ tier API, that pool
//! control-plane/<ns>/<name>, or just the DNS name of that Service ─▶ what its replicas tell each other
//! ```

use std::collections::BTreeSet;

use super::{Holder, Identity, Peer};
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
        super::secret_name(&Holder::Gateway(gateway.clone())),
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
            Identity::Gateway(_) | Identity::ControlPlane(_) => None,
        })
        .collect();
    let foreign = asked.iter().find(|pool| !own.contains(pool));
    match foreign {
        Some(pool) => Err(Denied(format!(
            "InferencePool {pool} is asked for, but the client certificate is for {}; mount the Secret signalbox-picker-SERVICE of namespace {}, where the pool's endpointPickerRef names the SERVICE",
            holders(peer),
            pool.namespace,
        ))),
        None if own.is_empty() => Err(Denied(format!(
            "pools are asked for, but the client certificate is for {}; mount the Secret of a managed picker",
            holders(peer)
        ))),
        None if asked.is_empty() => Ok(own),
        None => Ok(asked.clone()),
    }
}

/// Whether `peer` is the control plane behind the Service `own`, and may hear what its replicas tell each other. A
/// certificate of somebody else's making (cert-manager's, say) has no identity of ours in it: then the Service's name
/// counts, by which Envoys and pickers know the control plane, too.
///
/// # Errors
/// The certificate is somebody else's.
pub fn is_replica(peer: &Peer, own: &NamespacedName) -> Result<(), Denied> {
    let identity = Identity::ControlPlane(own.clone());
    let named = peer.identities.is_empty() && peer.dns_names.contains(&own.service_host());
    if named || peer.identities.contains(&identity) {
        return Ok(());
    }
    Err(Denied(format!(
        "only replicas of the control plane {own} hear this, but the client certificate is for {}; it has to name {identity}, or the host {}",
        holders(peer),
        own.service_host(),
    )))
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
        let identities = gateways.chain(pools.iter().map(|p| Identity::Pool(name(p)))).collect();
        Peer { identities, ..Peer::default() }
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

    #[test]
    fn replicas_are_known_by_identity_or_by_the_name_of_the_service() {
        let own = name("system/signalbox");
        let replica = |of: &str| Peer {
            identities: [Identity::ControlPlane(name(of))].into(),
            dns_names: [own.service_host()].into(),
        };
        let named = |host: &str, peer: Peer| Peer { dns_names: [host.to_owned()].into(), ..peer };
        for (peer, allowed) in [
            (replica("system/signalbox"), true),
            // Another installation's, whatever hosts it names.
            (replica("other/signalbox"), false),
            (named("signalbox.system.svc", Peer::default()), true),
            (named("signalbox.other.svc", Peer::default()), false),
            (Peer::default(), false),
            // A picker whose Service has the name of the control plane's.
            (named("signalbox.system.svc", peer(&[], &["system/p"])), false),
            (peer(&["system/signalbox"], &[]), false),
            (peer(&[], &["system/signalbox"]), false),
        ] {
            assert_eq!(is_replica(&peer, &own).is_ok(), allowed, "{peer:?}");
        }
        let text = is_replica(&peer(&["a/gw"], &[]), &own).unwrap_err().to_string();
        for part in ["ns/a/gateway/gw", "ns/system/control-plane/signalbox", "the host signalbox.system.svc"]
        {
            assert!(text.contains(part), "{text}");
        }
        // The control plane is neither an Envoy nor a picker.
        assert!(may_follow(&replica("a/gw"), &name("a/gw")).is_err());
        assert!(pools_of(&replica("a/p"), &BTreeSet::new()).is_err());
    }
}
