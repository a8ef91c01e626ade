//! Virtual hosts: one per hostname of a port, kept encoded.
//!
//! ```text
//! head: name, domain, limits, base models, /v1/models │ the routes, in order of precedence │ tail: sentinels
//! ```
//! A protobuf message is the concatenation of its parts, so a changed route costs its own translation and a copy.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{Hash, Hasher},
    sync::Arc,
};

use bytes::Bytes;
use envoy_types::pb::{
    envoy::config::route::v3::VirtualHost as PbVirtualHost, google::protobuf::UInt64Value,
};
use prost::Message;
use xxhash_rust::xxh3::Xxh3;

use super::{
    TRANSLATION_SALT,
    message::{field_len, start_message},
    model_scanner::{self, Reach, Scan},
    models,
    names::MODEL_FILTER,
    route::{self, Context},
    route_parts,
    value::{metadata, string, structure},
};
use crate::{
    gateway::ir::{HttpListener, Route, VirtualHost},
    xds::Version,
};

/// Field number of `VirtualHost.routes`.
const ROUTES: u32 = 3;

/// A virtual host's bytes, and what they were made from.
#[derive(Clone, Debug)]
pub(super) struct EncodedHost {
    /// What it was made from; held so that its address stays its identity.
    source: Arc<VirtualHost>,
    /// Version of everything else it was made from, more than it needs: equal means nothing else changed.
    context: Version,
    /// Version of the content.
    pub(super) version: Version,
    head: Bytes,
    routes: Vec<EncodedRoute>,
    tail: Bytes,
    /// Longest direct response.
    pub(super) longest_body: usize,
    /// Whether some route takes upgrades.
    pub(super) upgrades: bool,
    /// The part that it is in where there are many hosts and its hostname is exact.
    pub(super) part: u32,
}

impl EncodedHost {
    pub(super) fn hostname(&self) -> &str {
        &self.source.hostname
    }

    /// Bytes of the message.
    pub(super) fn len(&self) -> usize {
        let routes = self.routes.iter().map(|r| field_len(ROUTES, r.bytes.len())).sum::<usize>();
        self.head.len() + routes + self.tail.len()
    }

    /// Appends the message.
    pub(super) fn put(&self, buffer: &mut Vec<u8>) {
        buffer.extend_from_slice(&self.head);
        for route in &self.routes {
            start_message(ROUTES, route.bytes.len(), buffer);
            buffer.extend_from_slice(&route.bytes);
        }
        buffer.extend_from_slice(&self.tail);
    }
}

/// A route's bytes, and what they were made from.
#[derive(Clone, Debug)]
struct EncodedRoute {
    source: Arc<Route>,
    scan: Scan,
    version: Version,
    bytes: Bytes,
}

/// Encodes a virtual host, with what `previous` has of it.
pub(super) fn encode(
    host: &Arc<VirtualHost>,
    http: &HttpListener,
    context: &Context<'_>,
    version: Version,
    previous: Option<EncodedHost>,
) -> EncodedHost {
    let previous = match previous {
        Some(same) if same.context == version && Arc::ptr_eq(&same.source, host) => return same,
        previous => previous,
    };
    let (scans, reach) = plan(host, http);
    let known = Known::new(previous.as_ref(), version);
    let routes: Vec<_> =
        host.routes.iter().zip(scans).map(|(route, scan)| known.encode(route, scan, context)).collect();
    let of_ours = (&host.hostname, &host.models, host.models_path_is_routed, base_models(http, context));
    let of_routes: Vec<_> = routes.iter().map(|r| r.version).collect();
    let settings = context.settings;
    EncodedHost {
        source: host.clone(),
        context: version,
        version: Version::of(TRANSLATION_SALT, &(of_ours, settings, reach.paths(), of_routes)),
        head: head(host, http, context).encode_to_vec().into(),
        routes,
        tail: tail(host, &reach, context).encode_to_vec().into(),
        longest_body: models::list_len(&host.models),
        upgrades: host.routes.iter().any(|route| route::upgrades(route, context)),
        part: route_parts::hash(&host.hostname),
    }
}

/// The version of everything that virtual hosts of a port are made from, themselves aside.
pub(super) fn context_version(http: &HttpListener, context: &Context<'_>, clusters: Version) -> Version {
    let parts = (clusters, context.settings, &http.model_headers, &http.base_models);
    Version::of(TRANSLATION_SALT, &parts)
}

/// How requests that first meet each route are scanned, and the paths of the model routes.
fn plan(host: &VirtualHost, http: &HttpListener) -> (Vec<Scan>, Reach) {
    let mut reach = Reach::default();
    let mut scan_of = |route: &Arc<Route>| {
        if model_scanner::needs_model(&route.matches, &http.model_headers) {
            reach.add(&route.matches.path);
            // Never met first: clients' copies of the header are stripped.
            Scan::None
        } else {
            reach.scan(&route.matches)
        }
    };
    let scans = host.routes.iter().map(&mut scan_of).collect();
    (scans, reach)
}

fn base_models<'a>(http: &'a HttpListener, context: &Context<'_>) -> Option<&'a BTreeMap<String, String>> {
    context.base.then_some(&http.base_models).filter(|m| !m.is_empty())
}

fn head(host: &VirtualHost, http: &HttpListener, context: &Context<'_>) -> PbVirtualHost {
    let catalog = (!host.models.is_empty() && !host.models_path_is_routed && !http.model_headers.is_empty())
        .then(|| models::catalog(&host.models));
    let bases = base_models(http, context).map(|bases| {
        let fields = bases.iter().map(|(model, base)| (format!("base:{model}"), string(base)));
        metadata(MODEL_FILTER, structure(fields))
    });
    PbVirtualHost {
        name: host.hostname.clone(),
        domains: vec![host.hostname.clone()],
        request_body_buffer_limit: Some(UInt64Value { value: context.settings.body_limit_bytes.into() }),
        metadata: bases.flatten(),
        routes: catalog.into_iter().flatten().collect(),
        ..Default::default()
    }
}

fn tail(host: &VirtualHost, reach: &Reach, context: &Context<'_>) -> PbVirtualHost {
    let sentinels = reach.paths().iter().enumerate().flat_map(|(index, path)| {
        models::sentinels(index, path, &host.models, context.base, context.settings)
    });
    PbVirtualHost { routes: sentinels.collect(), ..Default::default() }
}

/// Routes that are already encoded.
struct Known<'a> {
    /// By address, where nothing else changed.
    by_identity: HashMap<usize, &'a EncodedRoute>,
    /// By content, where the representation was made anew.
    by_version: HashMap<Version, &'a EncodedRoute>,
}

impl<'a> Known<'a> {
    fn new(previous: Option<&'a EncodedHost>, context: Version) -> Self {
        let routes = || previous.into_iter().flat_map(|host| &host.routes);
        let same = previous.is_some_and(|host| host.context == context);
        Self {
            by_identity: routes().filter(|_| same).map(|r| (Arc::as_ptr(&r.source).addr(), r)).collect(),
            by_version: routes().map(|r| (r.version, r)).collect(),
        }
    }

    fn encode(&self, route: &Arc<Route>, scan: Scan, context: &Context<'_>) -> EncodedRoute {
        let same = self.by_identity.get(&Arc::as_ptr(route).addr()).filter(|r| r.scan == scan);
        if let Some(&same) = same {
            return same.clone();
        }
        let mut hasher = Xxh3::with_seed(TRANSLATION_SALT);
        (route, scan).hash(&mut hasher);
        context.hash_of(route, &mut hasher);
        let version = Version(hasher.finish());
        let bytes = match self.by_version.get(&version) {
            Some(equal) => equal.bytes.clone(),
            None => route::route(route, scan, context).encode_to_vec().into(),
        };
        EncodedRoute { source: route.clone(), scan, version, bytes }
    }
}
