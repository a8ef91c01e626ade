//! Leaf certificates over time.

use jiff::SignedDuration;

use super::*;
use crate::identity::{Owner, advance};

fn at(minutes: i64) -> Timestamp {
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    start + SignedDuration::from_mins(minutes)
}

const DAY: i64 = 24 * 60;

fn owner(uid: &str) -> Owner {
    pool_owner("pool", uid)
}

fn pool_owner(name: &str, uid: &str) -> Owner {
    Owner { api_version: "v1".into(), kind: "Gateway".into(), name: name.into(), uid: uid.into() }
}

fn gateway(name: &str) -> Wanted {
    Wanted::gateway(&NamespacedName::new("ns", name), owner("uid"))
}

fn pool(service: &str) -> Wanted {
    Wanted::picker(&NamespacedName::new("ns", service), vec![owner("uid")])
}

/// The Secret that a plan makes for `wanted` at the time 0.
fn issued(authority: &Authority, wanted: &Wanted) -> Observed {
    let plan = plan(at(0), authority, std::slice::from_ref(wanted), &BTreeMap::new());
    assert_eq!(plan.writes[0].step, Step::Issue(LeafReason::Missing));
    Observed {
        ours: true,
        owners: wanted.owners.iter().map(|owner| owner.uid.clone()).collect(),
        data: plan.writes[0].data(at(0), authority, None),
        resource_version: None,
    }
}

fn steps(minutes: i64, authority: &Authority, wanted: &Wanted, observed: &Observed) -> Vec<Step> {
    let observed = BTreeMap::from([(wanted.secret(), observed.clone())]);
    let plan = plan(at(minutes), authority, std::slice::from_ref(wanted), &observed);
    assert_eq!((plan.deletes.len(), plan.conflicts.len()), (0, 0));
    plan.writes.into_iter().map(|write| write.step).collect()
}

#[test]
fn a_certificate_is_renewed_at_two_thirds_of_its_life() {
    let authority = advance(at(0), None).authority;
    let wanted = gateway("gw");
    let secret = issued(&authority, &wanted);
    for (minutes, reason) in [
        (0, None),
        (59 * DAY, None),
        (60 * DAY, Some(LeafReason::Due)),
        (89 * DAY, Some(LeafReason::Due)),
        (91 * DAY, Some(LeafReason::Expired)),
        // Clocks that are behind: by less than the skew, twice that (certificates begin 5 minutes earlier), more.
        (-5, None),
        (-10, None),
        (-11, Some(LeafReason::NotYetValid)),
    ] {
        let expected: Vec<_> = reason.map(Step::Issue).into_iter().collect();
        assert_eq!(steps(minutes, &authority, &wanted, &secret), expected, "{minutes}");
    }
}

#[test]
fn a_secret_that_does_not_serve_is_issued_again() {
    let authority = advance(at(0), None).authority;
    let wanted = pool("picker");
    let good = issued(&authority, &wanted);
    let with = |key: &str, value: Option<&[u8]>| {
        let mut secret = good.clone();
        match value {
            Some(value) => drop(secret.data.insert(key.to_owned(), value.to_vec())),
            None => drop(secret.data.remove(key)),
        }
        secret
    };
    let damaged = |secret: &Observed| match steps(0, &authority, &wanted, secret).as_slice() {
        [Step::Issue(LeafReason::Damaged(why))] => why.clone(),
        other => panic!("{other:?}"),
    };
    assert!(damaged(&with(keys::CERTIFICATE, None)).contains("tls.crt is missing"));
    assert!(damaged(&with(keys::CERTIFICATE, Some(b"x"))).contains("no certificate"));
    assert!(damaged(&with(keys::KEY, Some(b"x"))).contains("tls.key"));
    let other_key = issued(&authority, &wanted).data[keys::KEY].clone();
    assert!(damaged(&with(keys::KEY, Some(&other_key))).contains("do not belong together"));

    let issue = |reason| vec![Step::Issue(reason)];
    assert_eq!(steps(0, &authority, &pool("other"), &good), issue(LeafReason::Renamed));
    let made_again = Wanted { owners: vec![owner("later")], ..wanted.clone() };
    assert_eq!(steps(0, &authority, &made_again, &good), issue(LeafReason::OtherOwner));
    let elsewhere = advance(at(0), None).authority;
    assert_eq!(steps(0, &elsewhere, &wanted, &good), issue(LeafReason::Untrusted));
    // Only the bundle differs: the certificate stays.
    for bundle in [None, Some(&b"x"[..])] {
        let secret = with(keys::TRUST, bundle);
        assert_eq!(steps(0, &authority, &wanted, &secret), [Step::Trust]);
        let write = Write { secret: wanted.secret(), wanted: wanted.clone(), step: Step::Trust };
        assert_eq!(write.data(at(0), &authority, Some(&secret.data)), good.data);
    }
}

#[test]
fn the_certificate_of_a_picker_names_the_pools_of_its_service() {
    let authority = advance(at(0), None).authority;
    let service = NamespacedName::new("ns", "picker");
    let owners = |names: &[&str]| names.iter().map(|name| pool_owner(name, name)).collect::<Vec<_>>();
    let two = Wanted::picker(&service, owners(&["b", "a"]));
    let secret = issued(&authority, &two);
    let (_, facts) = read(&secret.data).unwrap();
    let uri = |name| format!("spiffe://signalbox.dev/ns/ns/pool/{name}");
    assert_eq!(facts.uris, [uri("a"), uri("b")]);
    assert_eq!(facts.dns_names, ["picker.ns.svc"]);
    assert_eq!(secret.owners, ["a", "b"]);
    assert_eq!(steps(0, &authority, &Wanted::picker(&service, owners(&["a", "b"])), &secret), []);
    for others in [&["a"][..], &["a", "b", "c"], &["a", "c"]] {
        let wanted = Wanted::picker(&service, owners(others));
        assert_eq!(wanted.secret(), two.secret());
        assert_eq!(steps(0, &authority, &wanted, &secret), [Step::Issue(LeafReason::Renamed)], "{others:?}");
    }
}

#[test]
fn a_prepared_authority_is_distributed_before_it_signs() {
    let minutes = (3650 - 300) * DAY;
    let data = advance(at(0), None).write.unwrap().1;
    let before = Authority::read(&data).unwrap();
    let wanted = gateway("gw");
    let mut secret = issued(&before, &wanted);
    let fresh = Write { secret: wanted.secret(), wanted: wanted.clone(), step: Step::Issue(LeafReason::Due) };
    secret.data = fresh.data(at(minutes), &before, None);

    let (_, prepared) = advance(at(minutes), Some(&data)).write.unwrap();
    let authority = Authority::read(&prepared).unwrap();
    assert_eq!(steps(minutes, &authority, &wanted, &secret), [Step::Trust]);
    let held = secret.data.clone();
    let write = Write { secret: wanted.secret(), wanted: wanted.clone(), step: Step::Trust };
    secret.data = write.data(at(minutes), &authority, Some(&held));
    assert_eq!(secret.data[keys::CERTIFICATE], held[keys::CERTIFICATE]);
    assert_eq!(steps(minutes, &authority, &wanted, &secret), []);

    // Promoted: what the old one signed stays until it is due.
    let minutes = minutes + 31 * DAY;
    let (_, promoted) = advance(at(minutes), Some(&prepared)).write.unwrap();
    let authority = Authority::read(&promoted).unwrap();
    assert!(!steps(minutes, &authority, &wanted, &secret).contains(&Step::Issue(LeafReason::Untrusted)));
    assert_eq!(steps(minutes + 30 * DAY, &authority, &wanted, &secret), [Step::Issue(LeafReason::Due)]);
}

#[test]
fn secrets_go_with_their_identity_and_those_of_others_are_left_alone() {
    let authority = advance(at(0), None).authority;
    let (kept, gone, foreign) = (gateway("kept"), gateway("gone"), gateway("foreign"));
    let somebodys = Observed { ours: false, ..issued(&authority, &foreign) };
    let observed = BTreeMap::from([
        (kept.secret(), issued(&authority, &kept)),
        (gone.secret(), issued(&authority, &gone)),
        (foreign.secret(), somebodys.clone()),
        (NamespacedName::new("ns", "unrelated"), somebodys),
    ]);
    let plan = plan(at(0), &authority, &[kept, foreign.clone()], &observed);
    assert_eq!(
        plan,
        Plan { writes: vec![], deletes: vec![gone.secret()], conflicts: vec![foreign.secret()] }
    );
}
