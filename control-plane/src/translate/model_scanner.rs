//! Where request bodies are looked into for the model, and where not.
//!
//! Clients' copies of the model headers are stripped, so a request first meets the routes that need no model. Only if
//! a model route of higher precedence could match it too is its body worth reading:
//!
//! ```text
//! first match             scan       a body without a readable model
//! ordinary, unreachable   none       streams through, unread
//! ordinary, shadowed      optional   is served by that route
//! sentinel                required   400: only model routes are left
//! ```

use envoy_types::pb::{
    envoy::extensions::filters::http::lua::v3::{Lua, LuaPerRoute, lua_per_route},
    google::protobuf::{Any, Struct, Value, value::Kind},
};

use super::{
    hcm::scripts_only,
    value::{any, string, structure},
};
use crate::gateway::ir::{PathCondition, RouteMatch};

/// Reads the model from the body.
pub(super) const SCAN_SCRIPT: &str = include_str!("lua/scan.lua");
/// Answers `GET /v1/models/{id}`.
pub(super) const CATALOG_SCRIPT: &str = include_str!("lua/catalog.lua");

const SCAN: &str = "scan";
const CATALOG: &str = "catalog";

/// Path conditions of model routes that are told apart; beyond, every request counts as reachable by one.
const MAX_PATHS: usize = 64;

/// Whether the body of a request that first meets a route is looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Scan {
    /// No.
    None,
    /// Yes; the route serves the request in any case.
    Optional,
    /// Yes; without a model nothing serves the request.
    Required,
}

/// The filter. It runs only where a route names one of its scripts.
pub(super) fn filter() -> Lua {
    scripts_only([(SCAN, SCAN_SCRIPT), (CATALOG, CATALOG_SCRIPT)])
}

/// The filter's part on a route that is scanned. `base`: whether to derive the base model too.
pub(super) fn scan(scan: Scan, base: bool, limit: u32) -> Option<Any> {
    let need = match scan {
        Scan::None => return None,
        Scan::Optional => "optional",
        Scan::Required => "required",
    };
    let context = structure([
        ("need", string(need)),
        ("base", Value { kind: Some(Kind::BoolValue(base)) }),
        ("limit", Value { kind: Some(Kind::NumberValue(limit.into())) }),
    ]);
    Some(script(SCAN, Some(context)))
}

/// The filter's part on the catalog's route.
pub(super) fn catalog() -> Any {
    script(CATALOG, None)
}

/// Runs the named script of a Lua filter on a route.
pub(super) fn script(name: &str, context: Option<Struct>) -> Any {
    any(&LuaPerRoute {
        filter_context: context,
        r#override: Some(lua_per_route::Override::Name(name.to_owned())),
        ..Default::default()
    })
}

/// Whether a route matches one of the model headers.
pub(super) fn needs_model(matches: &RouteMatch, model_headers: &[String]) -> bool {
    matches.headers.iter().any(|h| model_headers.contains(&h.name))
}

/// The paths that the model routes seen so far can match; none that another one covers.
#[derive(Clone, Debug, Default)]
pub(super) struct Reach {
    paths: Vec<PathCondition>,
}

impl Reach {
    /// Adds a model route's path.
    pub(super) fn add(&mut self, path: &PathCondition) {
        if self.paths.iter().any(|p| covers(p, path)) {
            return;
        }
        self.paths.retain(|p| !covers(path, p));
        self.paths.push(path.clone());
        if self.paths.len() > MAX_PATHS {
            self.paths = vec![PathCondition::Prefix("/".to_owned())];
        }
    }

    /// How a request is scanned that first meets an ordinary route with these conditions.
    pub(super) fn scan(&self, matches: &RouteMatch) -> Scan {
        let has_body = matches.method.as_deref().is_none_or(|m| matches!(m, "POST" | "PUT" | "PATCH"));
        if has_body && self.paths.iter().any(|p| meet(p, &matches.path)) {
            Scan::Optional
        } else {
            Scan::None
        }
    }

    /// The paths.
    pub(super) fn paths(&self) -> &[PathCondition] {
        &self.paths
    }
}

/// Whether every path that `inner` matches is matched by `outer`, as far as that can be told cheaply.
fn covers(outer: &PathCondition, inner: &PathCondition) -> bool {
    match (outer, inner) {
        (PathCondition::Prefix(o), PathCondition::Prefix(i) | PathCondition::Exact(i)) => under(i, o),
        (PathCondition::Prefix(o), PathCondition::Regex(_)) => o.trim_end_matches('/').is_empty(),
        (o, i) => o == i,
    }
}

/// Whether some path is matched by both.
fn meet(a: &PathCondition, b: &PathCondition) -> bool {
    match (a, b) {
        (PathCondition::Regex(_), _) | (_, PathCondition::Regex(_)) => true,
        (a, b) => covers(a, b) || covers(b, a),
    }
}

/// Whether a path is a prefix or continues it by whole segments.
fn under(path: &str, prefix: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> PathCondition {
        match text.split_at(1) {
            ("=", path) => PathCondition::Exact(path.to_owned()),
            ("~", path) => PathCondition::Regex(path.to_owned()),
            _ => PathCondition::Prefix(text.to_owned()),
        }
    }

    #[test]
    fn only_requests_that_a_model_route_can_reach_are_scanned() {
        for (model_routes, route, method, expected) in [
            (vec![], "/", None, Scan::None),
            (vec!["/v1"], "/", None, Scan::Optional),
            (vec!["/v1"], "/v1/chat", None, Scan::Optional),
            (vec!["/v1"], "/v11", None, Scan::None),
            (vec!["/v1"], "/upload", None, Scan::None),
            (vec!["/v1"], "/", Some("GET"), Scan::None),
            (vec!["/v1"], "/", Some("POST"), Scan::Optional),
            (vec!["=/v1/chat"], "=/v1/chat", None, Scan::Optional),
            (vec!["=/v1/chat"], "=/v1/other", None, Scan::None),
            (vec!["~/v1/.*"], "/upload", None, Scan::Optional),
            (vec!["/"], "=/x", None, Scan::Optional),
        ] {
            let mut reach = Reach::default();
            model_routes.iter().for_each(|p| reach.add(&parse(p)));
            let matches = RouteMatch {
                path: parse(route),
                headers: Vec::new(),
                query: Vec::new(),
                method: method.map(str::to_owned),
            };
            assert_eq!(reach.scan(&matches), expected, "{model_routes:?} {route} {method:?}");
        }
    }

    #[test]
    fn covered_paths_are_dropped_and_many_become_all() {
        let mut reach = Reach::default();
        for path in ["=/v1/chat", "/v1", "/v1/x", "=/v2"] {
            reach.add(&parse(path));
        }
        assert_eq!(reach.paths(), [parse("/v1"), parse("=/v2")]);
        for i in 0..100 {
            reach.add(&PathCondition::Exact(format!("/p{i}")));
        }
        assert_eq!(reach.paths(), [parse("/")]);
    }
}
