//! Routes: one Envoy route per match of a rule.

use std::{collections::BTreeMap, hash::Hash, sync::Arc, time::Duration};

use envoy_types::pb::envoy::{
    config::core::v3::RuntimeFractionalPercent,
    config::route::v3::{
        DirectResponseAction, RetryPolicy, Route as PbRoute, RouteAction, WeightedCluster,
        retry_policy::{RetryBackOff, RetryHostPredicate, retry_host_predicate},
        route::Action as PbAction,
        route_action::{
            ClusterNotFoundResponseCode, ClusterSpecifier, HostRewriteSpecifier, RequestMirrorPolicy,
            UpgradeConfig,
        },
        weighted_cluster::ClusterWeight,
    },
    extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate,
    r#type::v3::{FractionalPercent, fractional_percent::DenominatorType},
};

use super::{
    errors::Error,
    extproc, header_changes,
    model_scanner::{self, Scan},
    names::{MODEL_FILTER, NO_CLUSTER, PICKER_FILTER, REASON_HEADER, REFUSE_FILTER},
    path_change::{self, Change},
    redirect, route_match,
    settings::Settings,
    value::{any, boolean, duration, inline, millis, set_header, string, structure, uint32},
};
use crate::gateway::ir::{
    Action, Cluster, ClusterName, Forward, HeaderChanges, Mirror, PathCondition, Protocol, Refusal, Route,
    Upstream, WeightedBackend,
};

/// Answers the share of an invalid backend.
pub(super) const REFUSE_SCRIPT: &str = include_str!("lua/refuse.lua");

/// What routes look up.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    /// The Gateway's clusters.
    pub(super) clusters: &'a BTreeMap<ClusterName, Arc<Cluster>>,
    /// Settings.
    pub(super) settings: &'a Settings,
    /// Whether the base model is derived where bodies are scanned.
    pub(super) base: bool,
}

impl Context<'_> {
    /// Hashes what the translation of a route reads besides the route itself.
    pub(super) fn hash_of<H: std::hash::Hasher>(&self, route: &Route, hasher: &mut H) {
        (self.settings, self.base).hash(hasher);
        let Action::Forward(forward) = &route.action else { return };
        for cluster in forward.backends.iter().filter_map(|b| self.clusters.get(b.target.as_ref().ok()?)) {
            cluster.hash(hasher);
            if let Upstream::Pool(_, Some(picker)) = &cluster.upstream {
                self.clusters.get(&picker.cluster).hash(hasher);
            }
        }
    }
}

/// The message.
pub(super) fn route(route: &Route, scan: Scan, context: &Context<'_>) -> PbRoute {
    let mut resource = PbRoute {
        name: route.name.clone(),
        r#match: Some(route_match::conditions(&route.matches)),
        ..Default::default()
    };
    if let Some(config) = model_scanner::scan(scan, context.base, context.settings.body_limit_bytes) {
        resource.typed_per_filter_config.insert(MODEL_FILTER.to_owned(), config);
    }
    match &route.action {
        Action::Forward(forward) => match only_refusals(forward) {
            Some(refusal) => refuse(&mut resource, refusal, route, scan),
            None => resource.action = Some(PbAction::Route(forwarding(route, forward, context))),
        },
        Action::Refuse(refusal) => refuse(&mut resource, refusal, route, scan),
        Action::Redirect(redirect) => {
            set_response_headers(&mut resource, &route.response_headers);
            resource.action = Some(PbAction::Redirect(redirect::action(redirect, &route.matches.path)));
        }
    }
    resource
}

fn set_response_headers(resource: &mut PbRoute, changes: &HeaderChanges) {
    resource.response_headers_to_add = header_changes::to_add(changes);
    resource.response_headers_to_remove = changes.remove.clone();
}

/// The refusal of a forward without any valid backend.
fn only_refusals(forward: &Forward) -> Option<&Refusal> {
    let all = forward.backends.iter().all(|b| b.target.is_err());
    forward.backends.first().filter(|_| all)?.target.as_ref().err()
}

fn refuse(resource: &mut PbRoute, refusal: &Refusal, route: &Route, scan: Scan) {
    set_response_headers(resource, &route.response_headers);
    if scan == Scan::None {
        let headers = [("content-type", "application/json"), (REASON_HEADER, &refusal.reason)];
        resource.response_headers_to_add.extend(headers.map(|(name, value)| set_header(name, value)));
        resource.action = Some(PbAction::DirectResponse(DirectResponseAction {
            status: refusal.status.into(),
            body: Some(inline(body(refusal))),
            ..Default::default()
        }));
    } else {
        // Envoy holds bodies up to the virtual host's limit only for requests that first meet a forwarding route.
        resource.action = Some(PbAction::Route(RouteAction {
            cluster_specifier: Some(ClusterSpecifier::WeightedClusters(WeightedCluster {
                clusters: vec![refused(1, refusal)],
                ..Default::default()
            })),
            ..Default::default()
        }));
    }
}

fn body(refusal: &Refusal) -> String {
    let error =
        Error { status: refusal.status, reason: &refusal.reason, message: &refusal.message, param: None };
    error.json().to_string()
}

fn forwarding(route: &Route, forward: &Forward, context: &Context<'_>) -> RouteAction {
    let clusters = forward.backends.iter().map(|b| weighted(b, &route.response_headers, context)).collect();
    let timeout = forward.request_timeout.unwrap_or_default();
    let mut action = RouteAction {
        cluster_specifier: Some(ClusterSpecifier::WeightedClusters(WeightedCluster {
            clusters,
            ..Default::default()
        })),
        cluster_not_found_response_code: ClusterNotFoundResponseCode::InternalServerError.into(),
        // Streams last long; the silence between bytes is what is bounded.
        timeout: Some(duration(timeout)),
        idle_timeout: Some(duration(context.settings.stream_idle_timeout.max(timeout))),
        retry_policy: Some(retries(forward.backend_timeout)),
        request_mirror_policies: forward.mirrors.iter().map(mirror).collect(),
        ..Default::default()
    };
    if let Some(hostname) = &forward.rewrite.hostname {
        action.host_rewrite_specifier = Some(HostRewriteSpecifier::HostRewriteLiteral(hostname.clone()));
        action.append_x_forwarded_host = true;
    }
    if let Some(change) = &forward.rewrite.path {
        rewrite_path(&mut action, path_change::change(&route.matches.path, change), &route.matches.path);
    }
    if forwards_upgrades(forward, context) {
        action.upgrade_configs = vec![UpgradeConfig {
            upgrade_type: "websocket".to_owned(),
            enabled: boolean(true),
            ..Default::default()
        }];
    }
    action
}

fn rewrite_path(action: &mut RouteAction, change: Change, condition: &PathCondition) {
    match change {
        // On a regex path Envoy's prefix rewrite replaces the whole path, which is not what is meant by a prefix.
        Change::Prefix(prefix) if matches!(condition, PathCondition::Prefix(_)) => {
            action.prefix_rewrite = prefix;
        }
        Change::Regex(regex) => action.regex_rewrite = Some(regex),
        Change::Full(path) | Change::Prefix(path) => {
            action.regex_rewrite = Some(path_change::whole(&path));
        }
    }
}

/// One backend's share. Header changes of the rule are in here too: at the route they would run after, and override,
/// those of the backend.
fn weighted(backend: &WeightedBackend, rule: &HeaderChanges, context: &Context<'_>) -> ClusterWeight {
    let name = match &backend.target {
        Ok(name) => name,
        Err(refusal) => return refused(backend.weight, refusal),
    };
    let response = header_changes::merge(rule, &backend.response_headers);
    let mut entry = ClusterWeight {
        name: name.as_str().to_owned(),
        weight: uint32(backend.weight),
        request_headers_to_add: header_changes::to_add(&backend.request_headers),
        request_headers_to_remove: backend.request_headers.remove.clone(),
        response_headers_to_add: header_changes::to_add(&response),
        response_headers_to_remove: response.remove,
        ..Default::default()
    };
    // Per entry and not per route, so that each share of a split asks its own pool's picker.
    if let Some(Upstream::Pool(pool, Some(picker))) = context.clusters.get(name).map(|c| &c.upstream) {
        let cluster = context.clusters.get(&picker.cluster).map(AsRef::as_ref);
        let config = extproc::per_pool(pool, picker, cluster);
        entry.typed_per_filter_config.insert(PICKER_FILTER.to_owned(), config);
    }
    entry
}

/// The share of an invalid backend: a script answers it before the missing cluster is looked for.
fn refused(weight: u32, refusal: &Refusal) -> ClusterWeight {
    let answer = structure([
        ("status", string(refusal.status.to_string())),
        ("reason", string(&refusal.reason)),
        ("body", string(body(refusal))),
    ]);
    ClusterWeight {
        name: NO_CLUSTER.to_owned(),
        weight: uint32(weight),
        typed_per_filter_config: [(
            REFUSE_FILTER.to_owned(),
            model_scanner::script(REFUSE_FILTER, Some(answer)),
        )]
        .into(),
        ..Default::default()
    }
}

/// Only failures after which the backend cannot have begun: replaying a prompt costs a computation. What was tried is not
/// tried again: the balancer chooses of two that chance names, so of three endpoints the one that is left is found in 64
/// draws but for one in 2,000 requests even when it is the busiest (one in 2 in the 5 draws that are usual).
fn retries(backend_timeout: Option<Duration>) -> RetryPolicy {
    let previous_hosts = retry_host_predicate::ConfigType::TypedConfig(any(&PreviousHostsPredicate {}));
    RetryPolicy {
        retry_on: "connect-failure,refused-stream,reset-before-request".to_owned(),
        num_retries: uint32(2),
        per_try_timeout: backend_timeout.filter(|t| !t.is_zero()).map(duration),
        retry_back_off: Some(RetryBackOff { base_interval: millis(25), max_interval: millis(250) }),
        retry_host_predicate: vec![RetryHostPredicate {
            name: "envoy.retry_host_predicates.previous_hosts".to_owned(),
            config_type: Some(previous_hosts),
        }],
        host_selection_retry_max_attempts: 64,
        ..Default::default()
    }
}

fn mirror(mirror: &Mirror) -> RequestMirrorPolicy {
    let fraction = FractionalPercent {
        numerator: mirror.per_million.min(1_000_000),
        denominator: DenominatorType::Million.into(),
    };
    RequestMirrorPolicy {
        cluster: mirror.cluster.as_str().to_owned(),
        runtime_fraction: Some(RuntimeFractionalPercent {
            default_value: Some(fraction),
            ..Default::default()
        }),
        disable_shadow_host_suffix_append: true,
        ..Default::default()
    }
}

/// Whether a route takes upgrades.
pub(super) fn upgrades(route: &Route, context: &Context<'_>) -> bool {
    matches!(&route.action, Action::Forward(forward) if forwards_upgrades(forward, context))
}

/// WebSocket upgrades: only where some backend speaks it, and never with a pool, whose picker would hang on the
/// upgrade (envoyproxy/envoy#47161).
fn forwards_upgrades(forward: &Forward, context: &Context<'_>) -> bool {
    let clusters = forward.backends.iter().filter_map(|b| context.clusters.get(b.target.as_ref().ok()?));
    let mut websocket = false;
    for cluster in clusters {
        if matches!(cluster.upstream, Upstream::Pool(..)) {
            return false;
        }
        websocket |= cluster.protocol == Protocol::WebSocket;
    }
    websocket
}
