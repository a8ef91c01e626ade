//! Whether the certificate of a managed picker names all its pools, as far as the World knows.
//!
//! A picker is rolled out only then: a Pod that starts with an older certificate is refused by the tier API until the
//! kubelet looks at the Secret again, a minute later.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    api::{NamespacedName, Secret},
    identity::{Holder, Identity, Peer, Wanted},
    infra::cluster::{Desired, Fleet, Owner},
    world::World,
};

/// Certificates of Secrets, each read once as long as the Secret is the same object.
#[derive(Default)]
pub(super) struct Issued(BTreeMap<NamespacedName, (Arc<Secret>, BTreeSet<Identity>)>);

impl Issued {
    /// Has the Pods of pickers wait whose certificates are still to come; all else of them is made meanwhile.
    pub(super) fn hold(&mut self, world: &World, wanted: &[Wanted], desired: &mut Desired) {
        let mut known = std::mem::take(&mut self.0);
        for wanted in wanted {
            let Holder::Picker(service) = &wanted.holder else { continue };
            let place = wanted.secret();
            let found = world.secrets.get(&place).map(|secret| match known.remove(&place) {
                Some((held, names)) if Arc::ptr_eq(&held, secret) => (held, names),
                _ => (secret.clone(), names(secret)),
            });
            let is_issued = found.as_ref().is_some_and(|(_, names)| wanted.identities.is_subset(names));
            if let Some(Fleet::Managed(managed)) = desired.fleets.get_mut(&Owner::Picker(service.clone()))
                && !is_issued
            {
                managed.waits_for = Some(format!(
                    "Secret {place} with the certificate of the picker is being written; if it is somebody else's, delete it"
                ));
            }
            self.0.extend(found.map(|found| (place, found)));
        }
    }
}

/// Whom the certificate names; nobody when it cannot be read.
fn names(secret: &Secret) -> BTreeSet<Identity> {
    let pem = secret.data.get("tls.crt").and_then(|text| STANDARD.decode(text).ok());
    pem.map(|pem| Peer::of_pem(&pem).identities).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{
        identity::{self, advance},
        infra::cluster::Managed,
        source::AnyObject,
    };

    fn wanted(pools: &[&str]) -> Wanted {
        let owner = |name: &&str| identity::Owner {
            api_version: "v1".into(),
            kind: "InferencePool".into(),
            name: (*name).to_owned(),
            uid: "uid".into(),
        };
        Wanted::picker(&NamespacedName::new("ns", "epp"), pools.iter().map(owner).collect())
    }

    /// A World with the Secret of a picker of these pools.
    fn world(pools: &[&str]) -> World {
        let leaf = advance(Timestamp::now(), None).authority.client(Timestamp::now(), &wanted(pools));
        let mut secret = Secret::default();
        let place = wanted(pools).secret();
        (secret.metadata.namespace, secret.metadata.name) = (place.namespace, place.name);
        secret.data.insert("tls.crt".into(), STANDARD.encode(leaf.certificate));
        World::from_objects([AnyObject::from(secret)])
    }

    #[test]
    fn a_picker_waits_for_a_certificate_with_all_its_pools() {
        let mut issued = Issued::default();
        let owner = Owner::Picker(NamespacedName::new("ns", "epp"));
        for (there, pools, is_held) in [
            (World::default(), &["a"][..], true),
            (world(&["a"]), &["a"], false),
            (world(&["a"]), &["a", "b"], true),
            (world(&["a", "b"]), &["a", "b"], false),
            (world(&["a", "b"]), &["b"], false),
            (World::default(), &["b"], true),
        ] {
            let fleet =
                Managed { objects: vec![], reach: Default::default(), asked: vec![], waits_for: None };
            let fleet = Fleet::Managed(fleet);
            let mut desired =
                Desired { fleets: [(owner.clone(), fleet.clone())].into(), ..Desired::default() };
            // Twice: what is known counts as what is read.
            for _ in 0..2 {
                issued.hold(&there, &[wanted(pools)], &mut desired);
                let Fleet::Managed(managed) = &desired.fleets[&owner] else { panic!("it is managed") };
                assert_eq!(managed.waits_for.is_some(), is_held, "{pools:?}");
                desired.fleets = [(owner.clone(), fleet.clone())].into();
            }
        }
    }
}
