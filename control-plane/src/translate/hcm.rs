//! The HTTP connection manager and its filters.
//!
//! ```text
//! request ─▶ strip owned headers ─▶ token-usage (response only) ─▶ part, wildcards ─▶ model ─▶ refuse ─▶ epp ─▶ router
//! ```

use std::collections::HashMap;

use envoy_types::pb::{
    envoy::{
        config::{
            common::mutation_rules::v3::{HeaderMutation as Mutation, header_mutation::Action},
            core::v3::{
                Http2ProtocolOptions, HttpProtocolOptions, KeepaliveSettings,
                http_protocol_options::HeadersWithUnderscoresAction,
            },
        },
        extensions::{
            filters::{
                http::{
                    ai_protocol_manager::v3::{AiProtocolManager, ResponseHandling, TokenUsageExtraction},
                    lua::v3::Lua,
                    router::v3::Router,
                },
                network::http_connection_manager::v3::{
                    HttpConnectionManager, HttpFilter,
                    http_connection_manager::{PathWithEscapedSlashesAction, ServerHeaderTransformation},
                    http_filter,
                },
            },
            http::early_header_mutation::header_mutation::v3::HeaderMutation,
        },
    },
    google::protobuf::Any,
};

use super::{
    access_log, errors, extproc, model_scanner,
    names::{
        MODEL_FILTER, OWNED_HEADERS, PART_FILTER, PICKER_FILTER, REFUSE_FILTER, TOKEN_FILTER,
        WILDCARDS_FILTER,
    },
    route::REFUSE_SCRIPT,
    route_parts,
    settings::{HeadersWithUnderscores, Settings},
    value::{any, boolean, duration, extension, inline, seconds, uint32},
};
use crate::gateway::ir::HttpListener;

/// The manager whose routes have this name.
pub(super) fn manager(routes: &str, http: &HttpListener, settings: &Settings) -> HttpConnectionManager {
    let mut mutations: Vec<_> = OWNED_HEADERS.map(remove).into();
    mutations.push(Mutation { action: Some(Action::Append(route_parts::to_own(routes))) });
    HttpConnectionManager {
        stat_prefix: routes.to_owned(),
        route_specifier: Some(route_parts::specifier(routes)),
        http_filters: filters(http, settings),
        access_log: access_log::loggers(&settings.access_log),
        early_header_mutation_extensions: vec![extension(
            "envoy.http.early_header_mutation.header_mutation",
            &HeaderMutation { mutations },
        )],
        local_reply_config: Some(errors::local_replies(settings)),
        use_remote_address: boolean(true),
        xff_num_trusted_hops: settings.xff_trusted_hops,
        normalize_path: boolean(true),
        merge_slashes: true,
        path_with_escaped_slashes_action: PathWithEscapedSlashesAction::UnescapeAndRedirect.into(),
        server_header_transformation: ServerHeaderTransformation::PassThrough.into(),
        always_set_request_id_in_response: true,
        request_headers_timeout: seconds(10),
        // For uploads: the body, not the answer.
        request_timeout: seconds(300),
        stream_idle_timeout: Some(duration(settings.stream_idle_timeout)),
        delayed_close_timeout: seconds(1),
        drain_timeout: seconds(5),
        common_http_protocol_options: Some(HttpProtocolOptions {
            idle_timeout: seconds(3600),
            headers_with_underscores_action: underscores(settings.headers_with_underscores).into(),
            max_headers_count: uint32(200),
            ..Default::default()
        }),
        http2_protocol_options: Some(Http2ProtocolOptions {
            max_concurrent_streams: uint32(100),
            initial_stream_window_size: uint32(64 << 10),
            initial_connection_window_size: uint32(1 << 20),
            connection_keepalive: Some(KeepaliveSettings {
                interval: seconds(60),
                timeout: seconds(20),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// The scripts in the filters, which are part of what a listener is made from.
pub(super) fn scripts() -> [&'static str; 5] {
    [
        model_scanner::SCAN_SCRIPT,
        model_scanner::CATALOG_SCRIPT,
        REFUSE_SCRIPT,
        route_parts::PART_SCRIPT,
        route_parts::WILDCARDS_SCRIPT,
    ]
}

fn filters(http: &HttpListener, settings: &Settings) -> Vec<HttpFilter> {
    let mut filters = Vec::new();
    if http.uses_pickers {
        let usage = TokenUsageExtraction { include_unconfigured_routes: true, ..Default::default() };
        let handling = ResponseHandling { token_usage: Some(usage) };
        let tokens = AiProtocolManager { response_handling: Some(handling), ..Default::default() };
        filters.push(filter(TOKEN_FILTER, any(&tokens)));
    }
    // Always there, so that very many hostnames change routes only; they do nothing where no route names their script.
    filters.push(filter(PART_FILTER, any(&scripts_only([(PART_FILTER, route_parts::PART_SCRIPT)]))));
    let wildcards = scripts_only([(WILDCARDS_FILTER, route_parts::WILDCARDS_SCRIPT)]);
    filters.push(filter(WILDCARDS_FILTER, any(&wildcards)));
    if !http.model_headers.is_empty() {
        filters.push(filter(MODEL_FILTER, any(&model_scanner::filter())));
    }
    // Always there, so that a backend that becomes invalid changes routes only; without a script it does nothing.
    filters.push(filter(REFUSE_FILTER, any(&scripts_only([(REFUSE_FILTER, REFUSE_SCRIPT)]))));
    if http.uses_pickers {
        filters.push(filter(PICKER_FILTER, any(&extproc::filter(settings))));
    }
    let router = Router { suppress_envoy_headers: true, ..Default::default() };
    filters.push(filter("envoy.filters.http.router", any(&router)));
    filters
}

/// A Lua filter that runs only where a route names one of its scripts.
pub(super) fn scripts_only<const N: usize>(scripts: [(&str, &str); N]) -> Lua {
    let source_codes: HashMap<_, _> = scripts.map(|(name, code)| (name.to_owned(), inline(code))).into();
    Lua { source_codes, ..Default::default() }
}

fn filter(name: &str, config: Any) -> HttpFilter {
    HttpFilter {
        name: name.to_owned(),
        config_type: Some(http_filter::ConfigType::TypedConfig(config)),
        ..Default::default()
    }
}

fn remove(name: &str) -> Mutation {
    Mutation { action: Some(Action::Remove(name.to_owned())) }
}

fn underscores(setting: HeadersWithUnderscores) -> HeadersWithUnderscoresAction {
    match setting {
        HeadersWithUnderscores::Allow => HeadersWithUnderscoresAction::Allow,
        HeadersWithUnderscores::Reject => HeadersWithUnderscoresAction::RejectRequest,
        HeadersWithUnderscores::Drop => HeadersWithUnderscoresAction::DropHeader,
    }
}
