//! The authority over the years.

use super::*;
use crate::identity::Owner;

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn day(n: i32) -> Timestamp {
    start() + SignedDuration::from_hours(24) * n
}

fn made() -> Data {
    advance(start(), None).write.unwrap().1
}

fn certificates(data: &Data) -> usize {
    chain(&data[keys::TRUST]).unwrap().len()
}

/// What happens at `now`, the data afterwards.
fn step(now: Timestamp, data: &Data) -> (Option<AuthorityReason>, Data) {
    match advance(now, Some(data)).write {
        Some((reason, next)) => (Some(reason), next),
        None => (None, data.clone()),
    }
}

fn gateway() -> Wanted {
    let owner =
        Owner { api_version: "v1".into(), kind: "Gateway".into(), name: "gw".into(), uid: "1".into() };
    Wanted::gateway(&NamespacedName::new("ns", "gw"), owner)
}

fn der(leaf: &Leaf) -> rustls_pki_types::CertificateDer<'static> {
    chain(leaf.certificate.as_bytes()).unwrap().remove(0)
}

#[test]
fn an_authority_is_made_once() {
    let advanced = advance(start(), None);
    let (reason, data) = advanced.write.unwrap();
    assert_eq!(reason, AuthorityReason::Missing);
    assert_eq!(step(day(1), &data).0, None);
    // A clock that was behind changes nothing.
    assert_eq!(step(day(-1), &data).0, None);
    let read = Authority::read(&data).unwrap();
    assert_eq!(read.trust(), advanced.authority.trust());
    assert_eq!(read.current.lifetime.not_before, start() - SKEW);
    assert_eq!(read.current.lifetime.not_after, day(3650));
}

#[test]
fn an_authority_is_followed_by_the_next_without_a_gap() {
    let first = made();
    let (reason, prepared) = step(day(3650 - 364), &first);
    assert_eq!((reason, certificates(&prepared)), (Some(AuthorityReason::Prepared), 2));
    // It does not sign yet: what the first authority's trust knows is signed.
    let leaf = Authority::read(&prepared).unwrap().client(day(3650 - 364), &gateway());
    assert!(Authority::read(&first).unwrap().trust().verifies(&der(&leaf), day(3650 - 364)));
    assert_eq!(step(day(3650 - 364 + 29), &prepared).0, None);
    let (reason, promoted) = step(day(3650 - 364 + 31), &prepared);
    assert_eq!((reason, certificates(&promoted)), (Some(AuthorityReason::Promoted), 2));
    assert!(!promoted.contains_key(keys::NEXT_KEY));
    // What the first one signed last is trusted to its end.
    let read = Authority::read(&promoted).unwrap();
    let last = Authority::read(&prepared).unwrap().client(day(3650 - 364 + 31), &gateway());
    assert!(read.trust().verifies(&der(&last), day(3650 - 364 + 31 + 89)));
    assert_eq!(step(day(3649), &promoted).0, None);
    let (reason, dropped) = step(day(3651), &promoted);
    assert_eq!((reason, certificates(&dropped)), (Some(AuthorityReason::Dropped), 1));
    assert_eq!(step(day(3651), &dropped).0, None);
}

#[test]
fn an_authority_that_is_over_is_replaced() {
    let (reason, data) = step(day(4000), &made());
    assert_eq!((reason, certificates(&data)), (Some(AuthorityReason::Expired), 1));
    // One that had a successor is followed by it, however late.
    let (_, prepared) = step(day(3640), &made());
    let (reason, data) = step(day(3651), &prepared);
    assert_eq!((reason, certificates(&data)), (Some(AuthorityReason::Promoted), 1));
}

#[test]
fn a_damaged_authority_is_replaced_and_what_is_readable_stays_trusted() {
    let other = made();
    let cases: &[(&str, Option<&[u8]>, usize)] = &[
        (keys::KEY, None, 2),
        (keys::KEY, Some(b"x"), 2),
        (keys::KEY, Some(&other[keys::KEY]), 2),
        (keys::CERTIFICATE, Some(b"x"), 2),
        (keys::TRUST, None, 1),
        (keys::TRUST, Some(&other[keys::TRUST]), 2),
    ];
    for (key, value, trusted) in cases {
        let mut data = made();
        match value {
            Some(value) => drop(data.insert((*key).to_owned(), value.to_vec())),
            None => drop(data.remove(*key)),
        }
        let (reason, next) = step(day(1), &data);
        assert!(matches!(reason, Some(AuthorityReason::Damaged(_))), "{key}: {reason:?}");
        assert_eq!(certificates(&next), *trusted, "{key}");
        assert_eq!(step(day(1), &next).0, None);
    }
}

#[test]
fn a_leaf_says_who_it_is_and_does_not_outlive_its_authority() {
    let authority = advance(start(), None).authority;
    let leaf = authority.client(day(1), &gateway());
    let facts = Certificate::read(&der(&leaf)).unwrap();
    assert_eq!(facts.uris, ["spiffe://signalbox.dev/ns/ns/gateway/gw"]);
    assert_eq!(facts.lifetime, Lifetime { not_before: day(1) - SKEW, not_after: day(91) });
    assert_eq!(facts.lifetime, leaf.lifetime);
    let late = authority.client(day(3649), &gateway());
    assert_eq!(late.lifetime.not_after, day(3650));
    let own = NamespacedName::new("system", "signalbox");
    let server = authority.server(day(1), &own, &["signalbox.system.svc".to_owned()]);
    let facts = Certificate::read(&der(&server)).unwrap();
    assert_eq!(facts.dns_names, ["signalbox.system.svc"]);
    assert_eq!(facts.uris, ["spiffe://signalbox.dev/ns/system/control-plane/signalbox"]);
    // Replicas are each other's clients.
    assert!(authority.trust().verifies(&der(&server), day(1)));
    assert!(authority.trust().verifies(&der(&leaf), day(1)));
    assert!(!Authority::read(&made()).unwrap().trust().verifies(&der(&leaf), day(1)));
}
