//! One xDS resource, encoded once and shared by all streams.

use std::{fmt, hash::Hash, sync::Arc};

use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

/// The resource types that are served. The order is the order in which additions are pushed
/// (make before break: clusters, their endpoints, listeners, what leads to their routes, the routes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "CDS, EDS, LDS, SRDS, RDS and SDS")]
pub enum ResourceType {
    Cluster,
    Endpoint,
    Listener,
    Scope,
    Route,
    Secret,
}

impl ResourceType {
    /// All types, in push order.
    pub const ALL: [Self; 6] =
        [Self::Cluster, Self::Endpoint, Self::Listener, Self::Scope, Self::Route, Self::Secret];

    /// The type URL.
    pub fn type_url(self) -> &'static str {
        match self {
            Self::Cluster => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            Self::Endpoint => "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            Self::Listener => "type.googleapis.com/envoy.config.listener.v3.Listener",
            Self::Scope => "type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration",
            Self::Route => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
            Self::Secret => "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
        }
    }

    /// The type with this URL.
    pub fn from_type_url(url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.type_url() == url)
    }
}

/// A resource's version: the hash of the representation that it was made from, never of encoded bytes (maps in
/// protobuf messages encode in no fixed order). Equal on every replica and after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

impl Version {
    /// The version of what was made from `source`. `salt` changes whenever the translation itself does.
    pub fn of<T: Hash + ?Sized>(salt: u64, source: &T) -> Self {
        let mut hasher = Xxh3::with_seed(salt);
        source.hash(&mut hasher);
        Self(hasher.digest())
    }

    /// Reads what `Display` writes; `None` for versions that are none of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        hex.then(|| u64::from_str_radix(text, 16).ok().map(Self)).flatten()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// One resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Name, unique within its type.
    pub name: Arc<str>,
    /// Version.
    pub version: Version,
    /// The encoded `google.protobuf.Any` that holds the message.
    pub any: Bytes,
}
