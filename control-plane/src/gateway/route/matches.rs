//! The conditions of a rule: paths, headers, query parameters, method.

use std::collections::BTreeMap;

use crate::{
    api::{HttpRouteMatch, HttpRouteRule, MatchType, PathMatch, PathMatchType},
    gateway::{
        expression,
        ir::{HeaderCondition, PathCondition, QueryCondition, RouteMatch, TextMatch},
    },
};

/// What the API forbids in exact paths and prefixes: such paths never arrive, as proxies normalise them.
const FORBIDDEN_IN_PATHS: [&str; 6] = ["//", "/./", "/../", "%2f", "%2F", "#"];

/// The matches of a rule, one at least; the error is field and remedy.
pub(super) fn of_rule(field: &str, rule: &HttpRouteRule) -> Result<Vec<RouteMatch>, String> {
    if rule.matches.is_empty() {
        return Ok(vec![one("", &HttpRouteMatch::default())?]);
    }
    let matches = rule.matches.iter().enumerate();
    matches.map(|(index, m)| one(&format!("{field}.matches[{index}]"), m)).collect()
}

fn one(field: &str, m: &HttpRouteMatch) -> Result<RouteMatch, String> {
    let path = match &m.path {
        Some(path) => self::path(field, path)?,
        None => PathCondition::Prefix("/".into()),
    };
    Ok(RouteMatch { path, headers: headers(field, m)?, query: query(field, m)?, method: method(field, m)? })
}

fn path(field: &str, path: &PathMatch) -> Result<PathCondition, String> {
    let field = format!("{field}.path");
    match &path.kind {
        PathMatchType::RegularExpression => {
            check_expression(&field, &path.value)?;
            return Ok(PathCondition::Regex(path.value.clone()));
        }
        PathMatchType::Unknown(word) => {
            return Err(format!(
                "{field}.type: {word:?} is not known; use Exact, PathPrefix or RegularExpression"
            ));
        }
        PathMatchType::Exact | PathMatchType::PathPrefix => {}
    }
    if !path.value.starts_with('/') {
        return Err(format!("{field}.value: {:?} is no absolute path; start it with '/'", path.value));
    }
    let forbidden = FORBIDDEN_IN_PATHS.iter().find(|text| path.value.contains(**text));
    let forbidden = forbidden.or_else(|| ["/..", "/."].iter().find(|text| path.value.ends_with(**text)));
    if let Some(text) = forbidden {
        return Err(format!(
            "{field}.value: {:?} contains {text:?}, which no request has; remove it",
            path.value
        ));
    }
    Ok(match path.kind {
        PathMatchType::Exact => PathCondition::Exact(path.value.clone()),
        _ => PathCondition::Prefix(trimmed(&path.value).to_owned()),
    })
}

/// A prefix without its trailing slash; the root stays.
pub(super) fn trimmed(prefix: &str) -> &str {
    let trimmed = prefix.trim_end_matches('/');
    if trimmed.is_empty() { "/" } else { trimmed }
}

/// Of several conditions on one header only the first counts, says the API.
fn headers(field: &str, m: &HttpRouteMatch) -> Result<Vec<HeaderCondition>, String> {
    let mut found: BTreeMap<String, TextMatch> = BTreeMap::new();
    for (index, header) in m.headers.iter().enumerate() {
        let field = format!("{field}.headers[{index}]");
        if !super::headers::is_token(&header.name) {
            return Err(format!("{field}.name: {:?} is no header name; correct it", header.name));
        }
        let value = text(&field, &header.kind, &header.value)?;
        found.entry(header.name.to_ascii_lowercase()).or_insert(value);
    }
    Ok(found.into_iter().map(|(name, value)| HeaderCondition { name, value }).collect())
}

fn query(field: &str, m: &HttpRouteMatch) -> Result<Vec<QueryCondition>, String> {
    let mut found: BTreeMap<String, TextMatch> = BTreeMap::new();
    for (index, parameter) in m.query_params.iter().enumerate() {
        let field = format!("{field}.queryParams[{index}]");
        if parameter.name.is_empty() {
            return Err(format!("{field}.name: is empty; name a query parameter"));
        }
        let value = text(&field, &parameter.kind, &parameter.value)?;
        found.entry(parameter.name.clone()).or_insert(value);
    }
    Ok(found.into_iter().map(|(name, value)| QueryCondition { name, value }).collect())
}

fn text(field: &str, kind: &MatchType, value: &str) -> Result<TextMatch, String> {
    match kind {
        MatchType::Exact => Ok(TextMatch::Exact(value.to_owned())),
        MatchType::RegularExpression => {
            check_expression(field, value)?;
            Ok(TextMatch::Regex(value.to_owned()))
        }
        MatchType::Unknown(word) => {
            Err(format!("{field}.type: {word:?} is not known; use Exact or RegularExpression"))
        }
    }
}

fn method(field: &str, m: &HttpRouteMatch) -> Result<Option<String>, String> {
    match &m.method {
        Some(method) if method.is_empty() || !method.bytes().all(|c| c.is_ascii_uppercase()) => {
            Err(format!("{field}.method: {method:?} is no method; write it in upper case, such as GET"))
        }
        method => Ok(method.clone()),
    }
}

fn check_expression(field: &str, pattern: &str) -> Result<(), String> {
    expression::check(pattern)
        .map_err(|why| format!("{field}.value: {pattern:?} is no RE2 expression ({why}); correct it"))
}
