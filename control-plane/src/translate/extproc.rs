//! How endpoint pickers are asked.
//!
//! One filter per listener, asleep (it sends nothing) unless the chosen weighted cluster wakes it with its pool's own
//! picker. It is never `disabled`: membership of the filter chain is fixed by the route before the model is known.

use std::time::Duration;

use envoy_types::pb::{
    envoy::{
        config::core::v3::{
            BackoffStrategy, GrpcService, HeaderValue, RetryPolicy,
            grpc_service::{EnvoyGrpc, TargetSpecifier},
        },
        extensions::filters::http::ext_proc::v3::{
            ExtProcOverrides, ExtProcPerRoute, ExternalProcessor, MetadataOptions, ProcessingMode,
            ext_proc_per_route,
            external_processor::RouteCacheAction,
            metadata_options::MetadataNamespaces,
            processing_mode::{BodySendMode, HeaderSendMode},
        },
        r#type::v3::{HttpStatus, StatusCode},
    },
    google::protobuf::Any,
};

use super::{
    names::{self, LB_NAMESPACE, NO_CLUSTER, POOL_METADATA, SUBSET_NAMESPACE},
    settings::Settings,
    value::{any, boolean, duration, millis, uint32},
};
use crate::{
    api::{FailureMode, NamespacedName},
    gateway::ir::{Cluster, Picker, PickerMode, Upstream},
};

/// Envoy waits this much longer than the picker's own deadline, so that the picker's answer wins.
const MARGIN: Duration = Duration::from_secs(1);

/// The listener's filter.
pub(super) fn filter(settings: &Settings) -> ExternalProcessor {
    ExternalProcessor {
        grpc_service: Some(service(NO_CLUSTER, String::new())),
        message_timeout: Some(duration(settings.picker_deadline + MARGIN)),
        // Reference pickers ask for a new route after picking, which would run the request in another pool.
        route_cache_action: RouteCacheAction::Retain.into(),
        // A picker asks for the answer only where it has to change it: the name of a model that was rewritten.
        allow_mode_override: true,
        status_on_error: Some(HttpStatus { code: StatusCode::ServiceUnavailable.into() }),
        processing_mode: Some(ProcessingMode {
            request_header_mode: HeaderSendMode::Skip.into(),
            response_header_mode: HeaderSendMode::Skip.into(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// A pool's picker, for the pool's weighted entry. `cluster` is the picker's own.
pub(super) fn per_pool(pool: &NamespacedName, picker: &Picker, cluster: Option<&Cluster>) -> Any {
    let authority = match cluster.map(|c| &c.upstream) {
        Some(Upstream::Picker(service, port, _)) => names::authority(service, *port),
        _ => "picker".to_owned(),
    };
    let mut grpc = service(picker.cluster.as_str(), authority);
    grpc.retry_policy = Some(RetryPolicy {
        retry_on: "connect-failure,refused-stream,reset,unavailable".to_owned(),
        num_retries: uint32(2),
        // The default back-off is a quarter of a second and more.
        retry_back_off: Some(BackoffStrategy { base_interval: millis(10), max_interval: millis(100) }),
        ..Default::default()
    });
    // One picker process serves many pools.
    grpc.initial_metadata.push(HeaderValue {
        key: POOL_METADATA.to_owned(),
        value: pool.to_string(),
        ..Default::default()
    });
    let overrides = ExtProcOverrides {
        grpc_service: Some(grpc),
        failure_mode_allow: boolean(matches!(picker.failure_mode, FailureMode::FailOpen)),
        processing_mode: Some(mode(picker.mode)),
        metadata_options: Some(MetadataOptions {
            forwarding_namespaces: namespaces(&[LB_NAMESPACE, SUBSET_NAMESPACE]),
            receiving_namespaces: namespaces(&[LB_NAMESPACE]),
            ..Default::default()
        }),
        ..Default::default()
    };
    any(&ExtProcPerRoute { r#override: Some(ext_proc_per_route::Override::Overrides(overrides)) })
}

fn service(cluster: &str, authority: String) -> GrpcService {
    let target = EnvoyGrpc { cluster_name: cluster.to_owned(), authority, ..Default::default() };
    GrpcService { target_specifier: Some(TargetSpecifier::EnvoyGrpc(target)), ..Default::default() }
}

fn namespaces(untyped: &[&str]) -> Option<MetadataNamespaces> {
    Some(MetadataNamespaces {
        untyped: untyped.iter().map(|&n| n.to_owned()).collect(),
        ..Default::default()
    })
}

fn mode(mode: PickerMode) -> ProcessingMode {
    let (body, response_body, request_trailers) = match mode {
        PickerMode::Buffered => (BodySendMode::Buffered, BodySendMode::None, HeaderSendMode::Skip),
        // Envoy refuses full duplex without trailers.
        PickerMode::FullDuplex => {
            (BodySendMode::FullDuplexStreamed, BodySendMode::FullDuplexStreamed, HeaderSendMode::Send)
        }
    };
    ProcessingMode {
        request_header_mode: HeaderSendMode::Send.into(),
        request_body_mode: body.into(),
        request_trailer_mode: request_trailers.into(),
        response_header_mode: HeaderSendMode::Send.into(),
        response_body_mode: response_body.into(),
        // Also where nothing reads them: the stream then stays open until the response ends, and with it the picker's
        // count of what is in flight. Without, Envoy closes it after the response's headers.
        response_trailer_mode: HeaderSendMode::Send.into(),
    }
}
