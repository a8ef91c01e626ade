//! Secrets with certificates in a real API server. Runs when KUBECONFIG names one.

#![expect(clippy::unwrap_used, reason = "what a test does not expect fails it")]

use control_plane::{
    api::NamespacedName,
    identity::{
        Owner, Wanted, keys, secret_name,
        secrets::{AUTHORITY, Outcome, Secrets},
    },
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::{
    Api, Client, Resource as _,
    api::{DeleteParams, ObjectMeta, PostParams},
};

async fn namespace(client: &Client, name: &str) -> String {
    let metadata = ObjectMeta { generate_name: Some(name.to_owned()), ..ObjectMeta::default() };
    let namespaces = Api::<Namespace>::all(client.clone());
    let made =
        namespaces.create(&PostParams::default(), &Namespace { metadata, ..Namespace::default() }).await;
    made.unwrap().metadata.name.unwrap()
}

/// An object that owns: a ConfigMap in the place of a Gateway.
async fn owner(client: &Client, namespace: &str, name: &str) -> Owner {
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    let api = Api::<ConfigMap>::namespaced(client.clone(), namespace);
    let made =
        api.create(&PostParams::default(), &ConfigMap { metadata, ..ConfigMap::default() }).await.unwrap();
    Owner {
        api_version: "v1".into(),
        kind: "ConfigMap".into(),
        name: name.into(),
        uid: made.meta().uid.clone().unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_kept_in_secrets() {
    if std::env::var_os("KUBECONFIG").is_none() {
        eprintln!("not run: KUBECONFIG names no API server");
        return;
    }
    let client = Client::try_default().await.unwrap();
    let (own, user) = (namespace(&client, "system-").await, namespace(&client, "user-").await);
    let now = Timestamp::now();

    // Nobody but a leader makes the authority, and of two leaders one does.
    let replica = Secrets::new(client.clone(), &own);
    assert!(replica.authority(now, false).await.unwrap().is_none());
    let other = Secrets::new(client.clone(), &own);
    let (one, two) = tokio::join!(replica.authority(now, true), other.authority(now, true));
    let (one, two) = (one.unwrap().unwrap(), two.unwrap().unwrap());
    assert_eq!(one.trust(), two.trust());
    let followed = replica.authority(now, false).await.unwrap().unwrap();
    assert_eq!(followed.trust(), one.trust());

    let wanted = |name: &str, owner: Owner| Wanted::gateway(&NamespacedName::new(&user, name), owner);
    let kept = wanted("kept", owner(&client, &user, "kept").await);
    let gone = wanted("gone", owner(&client, &user, "gone").await);
    let foreign = wanted("foreign", owner(&client, &user, "foreign").await);
    let secrets = Api::<Secret>::namespaced(client.clone(), &user);
    let name = |w: &Wanted| secret_name(&w.holder);
    let metadata = ObjectMeta { name: Some(name(&foreign)), ..ObjectMeta::default() };
    secrets.create(&PostParams::default(), &Secret { metadata, ..Secret::default() }).await.unwrap();

    let all = [kept.clone(), gone.clone(), foreign.clone()];
    let done = replica.reconcile(now, &one, &all).await.unwrap();
    assert_eq!(done, Outcome { written: 2, deleted: 0, failed: 1 });
    let made = secrets.get(&name(&kept)).await.unwrap();
    assert_eq!(made.type_.as_deref(), Some("kubernetes.io/tls"));
    assert_eq!(made.metadata.owner_references.as_ref().unwrap()[0].uid, kept.owners[0].uid);
    assert!(secrets.get(&name(&foreign)).await.unwrap().data.is_none());

    // Again: nothing. Two thirds of 90 days later: renewed. Without the others: deleted, what is not ours stays.
    let two = [kept.clone(), gone.clone()];
    assert_eq!(replica.reconcile(now, &one, &two).await.unwrap(), Outcome::default());
    let later = now + SignedDuration::from_hours(61 * 24);
    assert_eq!(replica.reconcile(later, &one, &two).await.unwrap().written, 2);
    let renewed = secrets.get(&name(&kept)).await.unwrap();
    assert_ne!(renewed.data.unwrap()[keys::CERTIFICATE], made.data.unwrap()[keys::CERTIFICATE]);
    let done = replica.reconcile(later, &one, std::slice::from_ref(&kept)).await.unwrap();
    assert_eq!(done, Outcome { written: 0, deleted: 1, failed: 0 });
    assert!(secrets.get_opt(&name(&gone)).await.unwrap().is_none());
    assert!(secrets.get_opt(&name(&foreign)).await.unwrap().is_some());

    // A damaged authority is replaced by the leader; others wait for it.
    let authorities = Api::<Secret>::namespaced(client.clone(), &own);
    let mut damaged = authorities.get(AUTHORITY).await.unwrap();
    damaged.data.as_mut().unwrap().insert(keys::KEY.to_owned(), k8s_openapi::ByteString(b"x".to_vec()));
    authorities.replace(AUTHORITY, &PostParams::default(), &damaged).await.unwrap();
    assert!(replica.authority(now, false).await.unwrap().is_none());
    let next = replica.authority(now, true).await.unwrap().unwrap();
    assert!(next.trust().pem().contains(&**one.trust().pem()));
    assert_eq!(replica.reconcile(later, &next, &[kept]).await.unwrap().written, 1);

    for namespace in [own, user] {
        Api::<Namespace>::all(client.clone()).delete(&namespace, &DeleteParams::default()).await.unwrap();
    }
}
