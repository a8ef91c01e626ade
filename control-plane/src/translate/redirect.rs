//! Redirects.

use envoy_types::pb::envoy::config::route::v3::{
    RedirectAction,
    redirect_action::{PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier},
};

use super::path_change::{self, Change};
use crate::gateway::ir::{PathCondition, Redirect};

/// The action. A port that the request's Host shows stays when the redirect sets neither host nor port, except that
/// Envoy drops 80 and 443 when the scheme changes.
pub(super) fn action(redirect: &Redirect, condition: &PathCondition) -> RedirectAction {
    let path = redirect.path.as_ref().map(|change| match path_change::change(condition, change) {
        Change::Prefix(prefix) => PathRewriteSpecifier::PrefixRewrite(prefix),
        Change::Regex(regex) => PathRewriteSpecifier::RegexRewrite(regex),
        Change::Full(path) => PathRewriteSpecifier::PathRedirect(path),
    });
    RedirectAction {
        host_redirect: redirect.hostname.clone().unwrap_or_default(),
        port_redirect: redirect.port.unwrap_or_default().into(),
        response_code: code(redirect.status).into(),
        scheme_rewrite_specifier: redirect.scheme.clone().map(SchemeRewriteSpecifier::SchemeRedirect),
        path_rewrite_specifier: path,
        ..Default::default()
    }
}

fn code(status: u16) -> RedirectResponseCode {
    match status {
        301 => RedirectResponseCode::MovedPermanently,
        303 => RedirectResponseCode::SeeOther,
        307 => RedirectResponseCode::TemporaryRedirect,
        308 => RedirectResponseCode::PermanentRedirect,
        _ => RedirectResponseCode::Found,
    }
}
