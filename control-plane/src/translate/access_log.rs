//! Access logs: one JSON object per request.

use envoy_types::pb::{
    envoy::{
        config::accesslog::v3::{AccessLog as PbAccessLog, access_log},
        extensions::access_loggers::{
            file::v3::{FileAccessLog, file_access_log},
            stream::v3::{StdoutAccessLog, stdout_access_log},
        },
    },
    google::protobuf::Any,
};
use serde_json::json;

use super::{
    settings::AccessLog,
    value::{any, json_format},
};

/// The loggers.
pub(super) fn loggers(to: &AccessLog) -> Vec<PbAccessLog> {
    let (name, config): (_, Any) = match to {
        AccessLog::None => return Vec::new(),
        AccessLog::Stdout => {
            let format = stdout_access_log::AccessLogFormat::LogFormat(json_format(fields()));
            ("envoy.access_loggers.stdout", any(&StdoutAccessLog { access_log_format: Some(format) }))
        }
        AccessLog::File(path) => {
            let format = file_access_log::AccessLogFormat::LogFormat(json_format(fields()));
            let log = FileAccessLog { path: path.clone(), access_log_format: Some(format) };
            ("envoy.access_loggers.file", any(&log))
        }
    };
    vec![PbAccessLog {
        name: name.to_owned(),
        config_type: Some(access_log::ConfigType::TypedConfig(config)),
        ..Default::default()
    }]
}

fn fields() -> serde_json::Value {
    json!({
        "start_time": "%START_TIME%",
        "method": "%REQ(:METHOD)%",
        "host": "%REQ(:AUTHORITY)%",
        "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
        "protocol": "%PROTOCOL%",
        "response_code": "%RESPONSE_CODE%",
        "response_code_details": "%RESPONSE_CODE_DETAILS%",
        "response_flags": "%RESPONSE_FLAGS%",
        "reason": "%RESP(X-SIGNALBOX-REASON)%",
        "request_id": "%REQ(X-REQUEST-ID)%",
        "downstream": "%DOWNSTREAM_REMOTE_ADDRESS%",
        "user_agent": "%REQ(USER-AGENT)%",
        "model": "%REQ(X-GATEWAY-MODEL-NAME)%",
        "model_reason": "%DYNAMIC_METADATA(signalbox:model_reason)%",
        "route": "%ROUTE_NAME%",
        "upstream_cluster": "%UPSTREAM_CLUSTER%",
        "upstream_host": "%UPSTREAM_HOST%",
        "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
        "picked": "%DYNAMIC_METADATA(envoy.lb:x-gateway-destination-endpoint)%",
        "served": "%DYNAMIC_METADATA(envoy.lb:x-gateway-destination-endpoint-served)%",
        "epp": "%FILTER_STATE(epp)%",
        "ttft_ms": "%RESPONSE_DURATION%",
        "duration_ms": "%DURATION%",
        "tx_ms": "%RESPONSE_TX_DURATION%",
        "bytes_in": "%BYTES_RECEIVED%",
        "bytes_out": "%BYTES_SENT%",
        "input_tokens": "%CEL(metadata.typed_filter_metadata['envoy.ai.token_usage'].input_tokens)%",
        "output_tokens": "%CEL(metadata.typed_filter_metadata['envoy.ai.token_usage'].output_tokens)%",
    })
}
