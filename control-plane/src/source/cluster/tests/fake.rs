//! An API server as far as watches need one: lists and watches of objects by path, told what to refuse.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    http::{StatusCode, Uri},
    response::{IntoResponse as _, Response},
};
use futures_util::StreamExt as _;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

use crate::tasks::TaskSet;

pub(super) const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

#[derive(Default)]
struct Collection {
    objects: BTreeMap<String, Value>,
    refuses: Option<u16>,
    lists: usize,
    events: Option<broadcast::Sender<Value>>,
}

#[derive(Default)]
struct Content {
    version: u64,
    collections: BTreeMap<String, Collection>,
}

/// The server. Clones share state.
#[derive(Clone, Default)]
pub(super) struct Fake {
    content: Arc<Mutex<Content>>,
}

impl Fake {
    pub(super) async fn serve(&self, tasks: &TaskSet) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(self.clone());
        tasks.spawn_brief("fake", async move { axum::serve(listener, router).await.unwrap() });
        address
    }

    /// Creates or changes an object, as seen by lists and by watches that are open.
    pub(super) fn apply(&self, path: &str, object: Value) {
        self.change(path, object, "MODIFIED");
    }

    pub(super) fn delete(&self, path: &str, object: Value) {
        self.change(path, object, "DELETED");
    }

    fn change(&self, path: &str, mut object: Value, kind: &str) {
        let mut content = self.content.lock();
        content.version += 1;
        object["metadata"]["resourceVersion"] = content.version.to_string().into();
        let collection = content.collections.entry(path.to_owned()).or_default();
        let key = format!("{}/{}", object["metadata"]["namespace"], object["metadata"]["name"]);
        if kind == "DELETED" {
            collection.objects.remove(&key);
        } else {
            collection.objects.insert(key, object.clone());
        }
        collection.tell(json!({"type": kind, "object": object}));
    }

    /// Removes an object while nobody looks: watches are not told.
    pub(super) fn lose(&self, path: &str, name: &str) {
        let mut content = self.content.lock();
        let collection = content.collections.entry(path.to_owned()).or_default();
        collection.objects.retain(|_, object| object["metadata"]["name"] != name);
    }

    /// Tells watches that the history is gone.
    pub(super) fn expire(&self, path: &str) {
        let status = json!({"kind": "Status", "status": "Failure", "reason": "Expired", "code": 410,
            "message": "too old resource version"});
        self.collection(path, |collection| collection.tell(json!({"type": "ERROR", "object": status})));
    }

    /// Ends watches, as a server that stops does.
    pub(super) fn hang_up(&self, path: &str) {
        self.collection(path, |collection| drop(collection.events.take()));
    }

    /// Answers lists and watches with an error, or no more.
    pub(super) fn refuse(&self, path: &str, code: Option<u16>) {
        self.collection(path, |collection| collection.refuses = code);
    }

    pub(super) fn lists(&self, path: &str) -> usize {
        self.collection(path, |collection| collection.lists)
    }

    fn collection<T>(&self, path: &str, change: impl FnOnce(&mut Collection) -> T) -> T {
        change(self.content.lock().collections.entry(path.to_owned()).or_default())
    }

    /// Installs a definition, or changes its versions.
    pub(super) fn install(&self, name: &str, versions: &[&str]) {
        self.apply(DEFINITIONS, definition(name, versions));
    }

    pub(super) fn uninstall(&self, name: &str) {
        self.delete(DEFINITIONS, definition(name, &[]));
    }
}

fn definition(name: &str, versions: &[&str]) -> Value {
    let versions: Vec<_> = versions.iter().map(|v| json!({"name": v, "served": true})).collect();
    json!({"metadata": {"name": name}, "spec": {"versions": versions},
        "status": {"conditions": [{"type": "Established", "status": "True"}]}})
}

impl Collection {
    fn tell(&mut self, event: Value) {
        if let Some(events) = &self.events {
            drop(events.send(event));
        }
    }
}

async fn answer(State(fake): State<Fake>, uri: Uri) -> Response {
    let (path, query) = (uri.path(), uri.query().unwrap_or_default());
    let mut content = fake.content.lock();
    if let Some(name) = path.strip_prefix(DEFINITIONS).and_then(|rest| rest.strip_prefix('/')) {
        let all = content.collections.entry(DEFINITIONS.to_owned()).or_default();
        let found = all.objects.values().find(|object| object["metadata"]["name"] == name);
        return found.map_or_else(|| error(404), |object| Json(object.clone()).into_response());
    }
    let version = content.version;
    let collection = content.collections.entry(path.to_owned()).or_default();
    if let Some(code) = collection.refuses {
        return error(code);
    }
    if !query.contains("watch=true") {
        collection.lists += 1;
        let items: Vec<_> = collection.objects.values().cloned().collect();
        return Json(json!({"kind": "List", "apiVersion": "v1", "items": items,
            "metadata": {"resourceVersion": version.to_string()}}))
        .into_response();
    }
    let since: u64 = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("resourceVersion="))
        .and_then(|version| version.parse().ok())
        .unwrap_or(0);
    let missed: Vec<_> = collection
        .objects
        .values()
        .filter(|object| {
            object["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap() > since
        })
        .map(|object| Ok(json!({"type": "MODIFIED", "object": object})))
        .collect();
    let events = collection.events.get_or_insert_with(|| broadcast::Sender::new(1024)).subscribe();
    let events = futures_util::stream::iter(missed).chain(BroadcastStream::new(events));
    Body::from_stream(events.map(|event| event.map(|event| format!("{event}\n")))).into_response()
}

fn error(code: u16) -> Response {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
        "message": format!("refused with {code}")});
    (StatusCode::from_u16(code).unwrap(), Json(status)).into_response()
}
