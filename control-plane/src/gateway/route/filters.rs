//! The filters of a rule and of a backend.
//!
//! A filter that is not served must not be skipped, so it is an error here and the requests concerned get 500.

use crate::{
    api::{
        BackendRef, HttpBackendRef, HttpRouteFilter, HttpRouteRule, PathMatchType, PathModifier,
        PathModifierType, RequestMirror, RequestRedirect, UrlRewrite,
    },
    gateway::{
        hostname::Hostname,
        ir::{HeaderChanges, PathChange, Redirect, Rewrite},
        route::{headers, matches::trimmed},
    },
};

/// What the filters of a rule do.
#[derive(Clone, Debug, Default)]
pub(super) struct RuleFilters<'a> {
    /// Changes of the request's headers.
    pub(super) request_headers: HeaderChanges,
    /// Changes of the response's headers.
    pub(super) response_headers: HeaderChanges,
    /// Changes of host and path.
    pub(super) rewrite: Rewrite,
    /// A redirect instead of forwarding, and whether its port is that of the listener.
    pub(super) redirect: Option<(Redirect, bool)>,
    /// Copies.
    pub(super) mirrors: Vec<MirrorTo<'a>>,
}

/// A copy of requests, before its backend is looked up.
#[derive(Clone, Debug)]
pub(super) struct MirrorTo<'a> {
    /// Where it is written.
    pub(super) field: String,
    /// Who gets the copies.
    pub(super) backend: &'a BackendRef,
    /// Copies per million requests.
    pub(super) per_million: u32,
}

/// Why filters cannot be served.
#[derive(Debug)]
pub(super) struct FilterFault {
    /// `UnsupportedValue` or `IncompatibleFilters`.
    pub(super) reason: &'static str,
    /// Field and remedy.
    pub(super) message: String,
}

impl From<String> for FilterFault {
    fn from(message: String) -> Self {
        Self { reason: "UnsupportedValue", message }
    }
}

/// Reads a rule's filters.
pub(super) fn of_rule<'a>(field: &str, rule: &'a HttpRouteRule) -> Result<RuleFilters<'a>, FilterFault> {
    let mut out = RuleFilters::default();
    let mut seen = Vec::new();
    for (index, filter) in rule.filters.iter().enumerate() {
        let field = format!("{field}.filters[{index}]");
        if filter.kind != "RequestMirror" && seen.contains(&filter.kind.as_str()) {
            return Err(incompatible(&field, &format!("a rule has at most one {}; join them", filter.kind)));
        }
        seen.push(&filter.kind);
        read(&field, filter, rule, &mut out)?;
    }
    let has = |kind: &str| seen.contains(&kind);
    if has("RequestRedirect") {
        let other = ["URLRewrite", "RequestMirror"].into_iter().find(|kind| has(kind));
        if let Some(other) = other {
            let message = format!("RequestRedirect and {other} cannot be combined; remove one");
            return Err(incompatible(&format!("{field}.filters"), &message));
        }
        if !rule.backend_refs.is_empty() {
            let message = "RequestRedirect answers the request itself; remove backendRefs or the filter";
            return Err(incompatible(&format!("{field}.filters"), message));
        }
    }
    Ok(out)
}

/// Reads a backend's filters: header changes only.
pub(super) fn of_backend(field: &str, backend: &HttpBackendRef) -> Result<RuleFilters<'static>, String> {
    let mut out = RuleFilters::default();
    for (index, filter) in backend.filters.iter().enumerate() {
        let field = format!("{field}.filters[{index}]");
        if !read_headers(&field, filter, &mut out)? {
            return Err(format!(
                "{field}: {} is not served for a single backend; move it to the rule",
                filter.kind
            ));
        }
    }
    Ok(out)
}

fn incompatible(field: &str, message: &str) -> FilterFault {
    FilterFault { reason: "IncompatibleFilters", message: format!("{field}: {message}") }
}

fn read<'a>(
    field: &str,
    filter: &'a HttpRouteFilter,
    rule: &HttpRouteRule,
    out: &mut RuleFilters<'a>,
) -> Result<(), String> {
    if read_headers(field, filter, out)? {
        return Ok(());
    }
    match filter.kind.as_str() {
        "URLRewrite" => {
            let rewrite = filter.url_rewrite.as_ref().ok_or_else(|| absent(field, "urlRewrite"))?;
            out.rewrite = self::rewrite(&format!("{field}.urlRewrite"), rewrite, rule)?;
        }
        "RequestRedirect" => {
            let redirect =
                filter.request_redirect.as_ref().ok_or_else(|| absent(field, "requestRedirect"))?;
            out.redirect = Some(self::redirect(&format!("{field}.requestRedirect"), redirect, rule)?);
        }
        "RequestMirror" => {
            let mirror = filter.request_mirror.as_ref().ok_or_else(|| absent(field, "requestMirror"))?;
            out.mirrors.push(self::mirror(&format!("{field}.requestMirror"), mirror)?);
        }
        kind => {
            return Err(format!("{field}.type: {kind:?} is not served by this version; remove the filter"));
        }
    }
    Ok(())
}

/// Reads a header filter; whether it was one.
fn read_headers(field: &str, filter: &HttpRouteFilter, out: &mut RuleFilters<'_>) -> Result<bool, String> {
    match filter.kind.as_str() {
        "RequestHeaderModifier" => {
            let changes = filter.request_header_modifier.as_ref();
            let changes = changes.ok_or_else(|| absent(field, "requestHeaderModifier"))?;
            let changes = headers::changes(&format!("{field}.requestHeaderModifier"), changes)?;
            out.request_headers = headers::then(&out.request_headers, &changes);
        }
        "ResponseHeaderModifier" => {
            let changes = filter.response_header_modifier.as_ref();
            let changes = changes.ok_or_else(|| absent(field, "responseHeaderModifier"))?;
            let changes = headers::changes(&format!("{field}.responseHeaderModifier"), changes)?;
            out.response_headers = headers::then(&out.response_headers, &changes);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn absent(field: &str, name: &str) -> String {
    format!("{field}.{name}: is absent though type names it; add it")
}

fn rewrite(field: &str, rewrite: &UrlRewrite, rule: &HttpRouteRule) -> Result<Rewrite, String> {
    Ok(Rewrite {
        hostname: hostname(field, rewrite.hostname.as_deref())?,
        path: path(field, &rewrite.path, rule)?,
    })
}

fn redirect(
    field: &str,
    redirect: &RequestRedirect,
    rule: &HttpRouteRule,
) -> Result<(Redirect, bool), String> {
    let scheme = redirect.scheme.as_ref().map(|s| s.to_ascii_lowercase());
    if let Some(other) = scheme.as_deref().filter(|s| !["http", "https"].contains(s)) {
        return Err(format!("{field}.scheme: {other:?} is not known; use http or https"));
    }
    let status = redirect.status_code.unwrap_or(302);
    if ![301, 302, 303, 307, 308].contains(&status) {
        return Err(format!(
            "{field}.statusCode: {status} is no redirect that is served; use 301, 302, 303, 307 or 308"
        ));
    }
    // Explicit port, else the scheme's own, else the listener's; a scheme's own port is never shown. Without a scheme
    // it is the listener's, which is not known here.
    let well_known = match scheme.as_deref() {
        Some("https") => Some(443),
        Some(_) => Some(80),
        None => None,
    };
    let out = Redirect {
        hostname: hostname(field, redirect.hostname.as_deref())?,
        path: path(field, &redirect.path, rule)?,
        port: redirect.port.filter(|&port| Some(port) != well_known),
        scheme,
        status,
    };
    let follows = redirect.port.is_none() && out.scheme.is_none();
    Ok((out, follows))
}

fn hostname(field: &str, text: Option<&str>) -> Result<Option<String>, String> {
    match text.map(Hostname::parse) {
        None => Ok(None),
        Some(Ok(Hostname::Exact(hostname))) => Ok(Some(hostname)),
        Some(_) => {
            Err(format!("{field}.hostname: {:?} is no exact hostname; correct it", text.unwrap_or_default()))
        }
    }
}

fn path(
    field: &str,
    path: &Option<PathModifier>,
    rule: &HttpRouteRule,
) -> Result<Option<PathChange>, String> {
    let Some(path) = path else { return Ok(None) };
    match (&path.kind, &path.replace_full_path, &path.replace_prefix_match) {
        (PathModifierType::ReplaceFullPath, Some(full), _) => {
            let slash = if full.starts_with('/') { "" } else { "/" };
            Ok(Some(PathChange::Full(format!("{slash}{full}"))))
        }
        (PathModifierType::ReplacePrefixMatch, _, Some(prefix)) => {
            let prefixed = |m: &crate::api::HttpRouteMatch| {
                m.path.as_ref().is_none_or(|path| path.kind == PathMatchType::PathPrefix)
            };
            if !rule.matches.iter().all(prefixed) {
                return Err(format!(
                    "{field}.path.replacePrefixMatch: the rule matches other paths than prefixes; use PathPrefix matches"
                ));
            }
            let slash = if prefix.starts_with('/') { "" } else { "/" };
            Ok(Some(PathChange::Prefix(trimmed(&format!("{slash}{prefix}")).to_owned())))
        }
        (PathModifierType::Unknown(word), _, _) => Err(format!(
            "{field}.path.type: {word:?} is not known; use ReplaceFullPath or ReplacePrefixMatch"
        )),
        (PathModifierType::ReplaceFullPath, None, _) => {
            Err(absent(&format!("{field}.path"), "replaceFullPath"))
        }
        (PathModifierType::ReplacePrefixMatch, _, None) => {
            Err(absent(&format!("{field}.path"), "replacePrefixMatch"))
        }
    }
}

fn mirror<'a>(field: &str, mirror: &'a RequestMirror) -> Result<MirrorTo<'a>, String> {
    let per_million = match (mirror.percent, mirror.fraction) {
        (None, None) => 1_000_000,
        (Some(percent), None) if percent <= 100 => percent * 10_000,
        (None, Some(f)) if f.denominator > 0 && f.numerator <= f.denominator => {
            let (numerator, denominator) = (u64::from(f.numerator), u64::from(f.denominator));
            let rounded = (numerator * 1_000_000 + denominator / 2) / denominator;
            u32::try_from(rounded).expect("a fraction of at most one is at most a million millionths")
        }
        _ => {
            return Err(format!(
                "{field}: give a percent from 0 to 100, or a fraction of at most one, and not both"
            ));
        }
    };
    Ok(MirrorTo { field: format!("{field}.backendRef"), backend: &mirror.backend_ref, per_million })
}
