//! The routes of a virtual host that are ours: the list of models, and what is said when no route serves the model.

use envoy_types::pb::envoy::config::{
    core::v3::DataSource,
    route::v3::{
        DirectResponseAction, HeaderMatcher, Route, RouteAction, RouteMatch,
        header_matcher::HeaderMatchSpecifier,
        route::Action,
        route_action::{ClusterNotFoundResponseCode, ClusterSpecifier},
        route_match::PathSpecifier,
    },
};
use serde_json::json;

use super::{
    errors::Error,
    model_scanner::{self, Scan},
    names::{MODEL_FILTER, MODEL_HEADER, NO_CLUSTER, REASON_HEADER},
    route_match,
    settings::Settings,
    value::{exact, inline, json_format, literal, metadata, set_header, string, structure},
};
use crate::gateway::ir::{ModelEntry, PathCondition};

/// Models that an error names; beyond, it says how many more there are.
const NAMED: usize = 50;

const UNKNOWN: Error<'static> =
    Error { status: 404, reason: "model_not_found", message: "", param: Some("model") };

/// `GET /v1/models` and `GET /v1/models/{id}`.
pub(super) fn catalog(models: &[ModelEntry]) -> [Route; 2] {
    let all = Route {
        name: "signalbox/models".to_owned(),
        r#match: Some(get(PathSpecifier::Path("/v1/models".to_owned()))),
        response_headers_to_add: vec![set_header("content-type", "application/json")],
        action: Some(Action::DirectResponse(DirectResponseAction {
            status: 200,
            body: Some(list(models)),
            ..Default::default()
        })),
        ..Default::default()
    };
    let finished = models.iter().map(|m| (format!("model:{}", m.id), string(entry(m).to_string())));
    let message = format!("The model of `%REQ(:PATH)%` does not exist here. {}", named(models));
    let mut one = Route {
        name: "signalbox/model".to_owned(),
        r#match: Some(get(PathSpecifier::PathSeparatedPrefix("/v1/models".to_owned()))),
        metadata: metadata(MODEL_FILTER, structure(finished)),
        typed_per_filter_config: [(MODEL_FILTER.to_owned(), model_scanner::catalog())].into(),
        ..Default::default()
    };
    answer(&mut one, &Error { message: &message, ..UNKNOWN });
    [all, one]
}

/// The body of `GET /v1/models`.
fn list(models: &[ModelEntry]) -> DataSource {
    let data: Vec<_> = models.iter().map(entry).collect();
    inline(json!({"object": "list", "data": data}).to_string())
}

/// Bytes of the body of `GET /v1/models`.
pub(super) fn list_len(models: &[ModelEntry]) -> usize {
    models.iter().map(|m| entry(m).to_string().len() + 1).sum::<usize>() + 64
}

fn entry(model: &ModelEntry) -> serde_json::Value {
    json!({"id": model.id, "object": "model", "created": 0, "owned_by": model.owned_by})
}

fn get(path: PathSpecifier) -> RouteMatch {
    RouteMatch {
        path_specifier: Some(path),
        headers: vec![route_match::header(":method", exact("GET"))],
        ..Default::default()
    }
}

/// What serves a path of model routes when none of them matched: first the answer to a request whose model is known,
/// then the route that a request meets before its body is read.
pub(super) fn sentinels(
    index: usize,
    path: &PathCondition,
    models: &[ModelEntry],
    base: bool,
    settings: &Settings,
) -> [Route; 2] {
    let message = format!("The model `%REQ(X-GATEWAY-MODEL-NAME)%` does not exist here. {}", named(models));
    let model = HeaderMatcher {
        name: MODEL_HEADER.to_owned(),
        header_match_specifier: Some(HeaderMatchSpecifier::PresentMatch(true)),
        ..Default::default()
    };
    let on_path = RouteMatch { path_specifier: Some(route_match::path(path)), ..Default::default() };
    let mut unknown = Route {
        name: format!("signalbox/unknown-model/{index}"),
        r#match: Some(RouteMatch { headers: vec![model], ..on_path.clone() }),
        ..Default::default()
    };
    answer(&mut unknown, &Error { message: &message, ..UNKNOWN });
    // A route to a cluster that does not exist, not a direct response: Envoy applies the virtual host's body limit
    // only to requests that first meet the former.
    let scan = model_scanner::scan(Scan::Required, base, settings.body_limit_bytes);
    let required = Route {
        name: format!("signalbox/model-required/{index}"),
        r#match: Some(on_path),
        typed_per_filter_config: scan.map(|s| (MODEL_FILTER.to_owned(), s)).into_iter().collect(),
        action: Some(nowhere()),
        ..Default::default()
    };
    [unknown, required]
}

/// Forwards to a cluster that never exists: 404, unless a filter chooses another route.
pub(super) fn nowhere() -> Action {
    Action::Route(RouteAction {
        cluster_specifier: Some(ClusterSpecifier::Cluster(NO_CLUSTER.to_owned())),
        cluster_not_found_response_code: ClusterNotFoundResponseCode::NotFound.into(),
        ..Default::default()
    })
}

/// Envoy expands the commands in the message and escapes what clients sent.
fn answer(route: &mut Route, error: &Error<'_>) {
    route.response_headers_to_add = vec![set_header(REASON_HEADER, error.reason)];
    route.action = Some(Action::DirectResponse(DirectResponseAction {
        status: error.status.into(),
        body_format: Some(json_format(error.json())),
        ..Default::default()
    }));
}

/// A sentence that names the models, for a format string.
fn named(models: &[ModelEntry]) -> String {
    let names: Vec<_> = models.iter().take(NAMED).map(|m| literal(&m.id)).collect();
    match models.len().checked_sub(NAMED) {
        _ if names.is_empty() => String::new(),
        None | Some(0) => format!("Models: {}.", names.join(", ")),
        Some(more) => format!("Models: {} and {more} more.", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn models(n: usize) -> Vec<ModelEntry> {
        (0..n).map(|i| ModelEntry { id: format!("m{i}%"), owned_by: "ns/pool".to_owned() }).collect()
    }

    #[test]
    fn names_are_bounded_and_literal() {
        assert_eq!(named(&models(0)), "");
        assert_eq!(named(&models(2)), "Models: m0%%, m1%%.");
        assert!(named(&models(50)).ends_with("m49%%."));
        assert!(named(&models(53)).ends_with("m49%% and 3 more."));
    }

    #[test]
    fn the_lists_length_is_not_underestimated() {
        for n in [0, 1, 1000] {
            let models = models(n);
            let body = json!({"object": "list", "data": models.iter().map(entry).collect::<Vec<_>>()});
            assert!(list_len(&models) >= body.to_string().len());
        }
    }
}
