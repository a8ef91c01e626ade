//! Conditions of routes.

use envoy_types::pb::envoy::config::route::v3::{
    HeaderMatcher, QueryParameterMatcher, RouteMatch as PbRouteMatch, header_matcher::HeaderMatchSpecifier,
    query_parameter_matcher::QueryParameterMatchSpecifier, route_match::PathSpecifier,
};
use envoy_types::pb::envoy::r#type::matcher::v3::{StringMatcher, string_matcher::MatchPattern};

use super::value::{exact, regex};
use crate::gateway::ir::{PathCondition, RouteMatch, TextMatch};

/// All conditions of a route.
pub(super) fn conditions(matches: &RouteMatch) -> PbRouteMatch {
    let method = matches.method.iter().map(|m| header(":method", exact(m)));
    let headers = matches.headers.iter().map(|h| {
        // Envoy knows the Host header by its HTTP/2 name.
        let name = if h.name == "host" { ":authority" } else { &h.name };
        header(name, text(&h.value))
    });
    let query = matches.query.iter().map(|q| QueryParameterMatcher {
        name: q.name.clone(),
        query_parameter_match_specifier: Some(QueryParameterMatchSpecifier::StringMatch(text(&q.value))),
    });
    PbRouteMatch {
        path_specifier: Some(path(&matches.path)),
        headers: method.chain(headers).collect(),
        query_parameters: query.collect(),
        ..Default::default()
    }
}

/// The condition on the path.
pub(super) fn path(condition: &PathCondition) -> PathSpecifier {
    match condition {
        PathCondition::Exact(path) => PathSpecifier::Path(path.clone()),
        PathCondition::Prefix(prefix) => match prefix.trim_end_matches('/') {
            "" => PathSpecifier::Prefix("/".to_owned()),
            // Whole segments: a plain prefix `/foo` would match `/foobar`.
            prefix => PathSpecifier::PathSeparatedPrefix(prefix.to_owned()),
        },
        PathCondition::Regex(expression) => PathSpecifier::SafeRegex(regex(expression)),
    }
}

/// A condition on a header.
pub(super) fn header(name: &str, value: StringMatcher) -> HeaderMatcher {
    HeaderMatcher {
        name: name.to_owned(),
        header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(value)),
        ..Default::default()
    }
}

fn text(of: &TextMatch) -> StringMatcher {
    match of {
        TextMatch::Exact(text) => exact(text),
        TextMatch::Regex(expression) => StringMatcher {
            match_pattern: Some(MatchPattern::SafeRegex(regex(expression))),
            ..Default::default()
        },
    }
}
