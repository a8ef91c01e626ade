//! Errors in the OpenAI shape, and which of Envoy's own answers get which.
//!
//! Mappers see answers that the proxy makes itself, never upstreams'. They select by response flag or by code
//! detail, so that answers of pickers and of our own scripts, which are local too, keep their bodies.

use envoy_types::pb::envoy::{
    config::{
        accesslog::v3::{
            AccessLogFilter, AndFilter, ComparisonFilter, ExtensionFilter, ResponseFlagFilter,
            StatusCodeFilter, access_log_filter::FilterSpecifier, comparison_filter::Op, extension_filter,
        },
        core::v3::RuntimeUInt32,
    },
    extensions::{
        access_loggers::filters::cel::v3::ExpressionFilter,
        filters::network::http_connection_manager::v3::{LocalReplyConfig, ResponseMapper},
    },
};
use serde_json::{Value, json};

use super::{
    names::REASON_HEADER,
    settings::Settings,
    value::{any, json_format, set_header, text_format, uint32},
};

/// One error: what the client reads.
pub(super) struct Error<'a> {
    /// HTTP status.
    pub(super) status: u16,
    /// The one named reason: header, body, log.
    pub(super) reason: &'a str,
    /// Sentence for people.
    pub(super) message: &'a str,
    /// Request member at fault.
    pub(super) param: Option<&'a str>,
}

impl Error<'_> {
    /// The body, as a JSON value.
    pub(super) fn json(&self) -> Value {
        let kind = if self.status < 500 { "invalid_request_error" } else { "server_error" };
        json!({"error": {"message": self.message, "type": kind, "param": self.param, "code": self.reason}})
    }
}

/// How Envoy's own answers look.
pub(super) fn local_replies(settings: &Settings) -> LocalReplyConfig {
    let limit = settings.body_limit_bytes;
    let too_large = format!("The request body is larger than the limit of {limit} bytes.");
    let mappers = vec![
        map(
            detail("response.code_details == 'request_payload_too_large'"),
            413,
            "request_too_large",
            &too_large,
        ),
        map(
            // Pickers' own answers have other details and pass.
            // `spurious_message`: it answered what it was not asked.
            detail(
                "response.code_details.startsWith('ext_proc_error') || response.code_details == 'spurious_message'",
            ),
            503,
            "endpoint_picker_unavailable",
            "The endpoint picker of this pool does not answer.",
        ),
        without_body(map(
            detail("request.method == 'HEAD' && response.code_details == 'route_not_found'"),
            404,
            "route_not_found",
            "",
        )),
        map(flags(&["NR"]), 404, "route_not_found", NO_ROUTE),
        map(all([flags(&["NC"]), status(404)]), 404, "route_not_found", NO_ROUTE),
        map(flags(&["NC"]), 500, "backend_not_found", "The backend of this route does not exist."),
        retry_after(map(flags(&["UH"]), 503, "no_endpoints", "No endpoint is ready to serve this request.")),
        map(
            // The transport's words, with underscores for spaces.
            all([flags(&["UF"]), detail("response.code_details.contains('TLS_error')")]),
            503,
            "upstream_tls_failed",
            "The endpoint's certificate cannot be verified, or it does not speak TLS.",
        ),
        map(flags(&["UF"]), 503, "upstream_unreachable", "The endpoint refused the connection."),
        retry_after(map(
            flags(&["UO"]),
            503,
            "upstream_overflow",
            "Too many requests are waiting for the backend.",
        )),
        map(
            flags(&["UC", "UR", "LR", "UPE"]),
            502,
            "upstream_reset",
            "The endpoint closed the connection before it answered.",
        ),
        map(flags(&["UT", "SI", "UMSDR"]), 504, "upstream_timeout", "The endpoint did not answer in time."),
        retry_after(map(flags(&["OM"]), 503, "proxy_overloaded", "The proxy is overloaded.")),
    ];
    LocalReplyConfig { mappers, body_format: None }
}

const NO_ROUTE: &str = "No route serves this host and path.";

fn map(filter: FilterSpecifier, status: u16, reason: &str, message: &str) -> ResponseMapper {
    ResponseMapper {
        filter: Some(AccessLogFilter { filter_specifier: Some(filter) }),
        status_code: uint32(status.into()),
        body_format_override: Some(json_format(Error { status, reason, message, param: None }.json())),
        headers_to_add: vec![set_header(REASON_HEADER, reason)],
        ..Default::default()
    }
}

/// An answer to HEAD has no body: a type of JSON would mislead clients that read by type.
fn without_body(mut mapper: ResponseMapper) -> ResponseMapper {
    mapper.body_format_override = Some(text_format(""));
    mapper
}

fn retry_after(mut mapper: ResponseMapper) -> ResponseMapper {
    mapper.headers_to_add.push(set_header("retry-after", "1"));
    mapper
}

fn flags(flags: &[&str]) -> FilterSpecifier {
    let flags = flags.iter().map(|&f| f.to_owned()).collect();
    FilterSpecifier::ResponseFlagFilter(ResponseFlagFilter { flags })
}

fn status(code: u32) -> FilterSpecifier {
    let value = RuntimeUInt32 { default_value: code, runtime_key: "signalbox.unused".to_owned() };
    let comparison = Some(ComparisonFilter { op: Op::Eq.into(), value: Some(value) });
    FilterSpecifier::StatusCodeFilter(StatusCodeFilter { comparison })
}

fn all(filters: [FilterSpecifier; 2]) -> FilterSpecifier {
    let filters = filters.map(|f| AccessLogFilter { filter_specifier: Some(f) }).into();
    FilterSpecifier::AndFilter(AndFilter { filters })
}

fn detail(expression: &str) -> FilterSpecifier {
    let expression = ExpressionFilter { expression: expression.to_owned(), ..Default::default() };
    FilterSpecifier::ExtensionFilter(ExtensionFilter {
        name: "envoy.access_loggers.extension_filters.cel".to_owned(),
        config_type: Some(extension_filter::ConfigType::TypedConfig(any(&expression))),
    })
}
