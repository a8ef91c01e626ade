//! Routes: a match and what happens then.

use std::time::Duration;

use super::ClusterName;
use crate::api::ObjectRef;

/// One match of one rule. A rule with several matches is several routes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    /// `httproute/<namespace>/<name>/rule/<i>/match/<j>`: stable, shown in access logs, used to attribute errors.
    pub name: String,
    /// The object it comes from.
    pub origin: ObjectRef,
    /// When it applies.
    pub matches: RouteMatch,
    /// What happens.
    pub action: Action,
    /// Changes of the response's headers, for every action.
    pub response_headers: HeaderChanges,
}

/// Conditions, all of which must hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RouteMatch {
    /// Path.
    pub path: PathCondition,
    /// Headers; names in lower case, sorted, no name twice.
    pub headers: Vec<HeaderCondition>,
    /// Query parameters, sorted, no name twice.
    pub query: Vec<QueryCondition>,
    /// Method, upper case.
    pub method: Option<String>,
}

/// A condition on the path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathCondition {
    /// The whole path.
    Exact(String),
    /// A prefix of whole segments, without a trailing slash; `/` matches every path.
    Prefix(String),
    /// RE2 expression for the whole path; known to compile.
    Regex(String),
}

/// A comparison of text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TextMatch {
    /// Equality.
    Exact(String),
    /// RE2 expression for the whole value; known to compile.
    Regex(String),
}

/// A condition on a header.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeaderCondition {
    /// Name, lower case.
    pub name: String,
    /// Value.
    pub value: TextMatch,
}

/// A condition on a query parameter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryCondition {
    /// Name, case-sensitive.
    pub name: String,
    /// Value.
    pub value: TextMatch,
}

/// What happens to a matching request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// To backends.
    Forward(Forward),
    /// A redirect.
    Redirect(Redirect),
    /// An error of ours, in the OpenAI shape.
    Refuse(Refusal),
}

/// Forwards to backends by weight.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Forward {
    /// Backends with a positive weight; never empty. Invalid backends keep their share and refuse it.
    pub backends: Vec<WeightedBackend>,
    /// Rewrite of host and path.
    pub rewrite: Rewrite,
    /// For the whole request; `Some(0)` disables; `None` is the default for long streams.
    pub request_timeout: Option<Duration>,
    /// For one attempt; `Some(0)` disables.
    pub backend_timeout: Option<Duration>,
    /// Copies to other backends.
    pub mirrors: Vec<Mirror>,
}

/// One backend's share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WeightedBackend {
    /// Share, positive.
    pub weight: u32,
    /// The cluster, or why there is none: an invalid backend answers its share with the refusal.
    pub target: Result<ClusterName, Refusal>,
    /// Changes of the request's headers: the rule's first, then the backend's.
    pub request_headers: HeaderChanges,
    /// Changes of the response's headers by the backend's own filters.
    pub response_headers: HeaderChanges,
}

/// A copy of requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mirror {
    /// Who gets the copies.
    pub cluster: ClusterName,
    /// Copies per million requests.
    pub per_million: u32,
}

/// An error answered by the proxy itself. See `translate` for the body.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// The one named reason, as in `x-signalbox-reason`, metrics and logs: `backend_not_found`, …
    pub reason: String,
    /// A sentence for the client; names no internals.
    pub message: String,
}

/// Changes of headers; names in lower case, in the order of the manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct HeaderChanges {
    /// Overwrite or add.
    pub set: Vec<(String, String)>,
    /// Append.
    pub add: Vec<(String, String)>,
    /// Remove.
    pub remove: Vec<String>,
}

impl HeaderChanges {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }
}

/// Changes of host and path on the way to the backend.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rewrite {
    /// New Host header.
    pub hostname: Option<String>,
    /// New path.
    pub path: Option<PathChange>,
}

/// A change of the path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PathChange {
    /// The whole path; the query string stays.
    Full(String),
    /// The prefix that the route matched (the route's path is a [`PathCondition::Prefix`]).
    Prefix(String),
}

/// Where a redirect points.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Redirect {
    /// `http` or `https`; the request's when absent.
    pub scheme: Option<String>,
    /// Host; the request's when absent.
    pub hostname: Option<String>,
    /// Path; the request's when absent.
    pub path: Option<PathChange>,
    /// Port to show; `None` shows none (it is the well-known one of the scheme).
    pub port: Option<u16>,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}
