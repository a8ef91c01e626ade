//! Small protobuf values.

use std::time::Duration;

use envoy_types::pb::{
    envoy::config::core::v3::{
        ConfigSource, DataSource, HeaderValue, HeaderValueOption, Metadata, SubstitutionFormatString,
        TypedExtensionConfig, config_source::ConfigSourceSpecifier, data_source, header_value_option,
        substitution_format_string,
    },
    envoy::r#type::matcher::v3::{
        RegexMatchAndSubstitute, RegexMatcher, StringMatcher, string_matcher::MatchPattern,
    },
    google::protobuf::{
        Any, BoolValue, Duration as PbDuration, ListValue, Struct, UInt32Value, Value, value::Kind,
    },
};
use prost::{Message, Name};

/// The version 3 of the resource API.
pub(super) const V3: i32 = 2;

pub(super) fn any<T: Message + Name>(message: &T) -> Any {
    Any { type_url: T::type_url(), value: message.encode_to_vec() }
}

pub(super) fn extension<T: Message + Name>(name: &str, message: &T) -> TypedExtensionConfig {
    TypedExtensionConfig { name: name.to_owned(), typed_config: Some(any(message)) }
}

/// The only way durations are made: Envoy refuses a whole response for one with nanoseconds out of range, or beyond
/// the protobuf limit of 315,576,000,000 s.
pub(super) fn duration(of: Duration) -> PbDuration {
    let seconds = i64::try_from(of.as_secs()).unwrap_or(i64::MAX).min(315_576_000_000);
    PbDuration { seconds, nanos: i32::try_from(of.subsec_nanos()).expect("below a billion") }
}

pub(super) fn seconds(of: u64) -> Option<PbDuration> {
    Some(duration(Duration::from_secs(of)))
}

pub(super) fn millis(of: u64) -> Option<PbDuration> {
    Some(duration(Duration::from_millis(of)))
}

pub(super) fn uint32(value: u32) -> Option<UInt32Value> {
    Some(UInt32Value { value })
}

pub(super) fn boolean(value: bool) -> Option<BoolValue> {
    Some(BoolValue { value })
}

/// The aggregated stream that the proxy already has.
pub(super) fn ads() -> Option<ConfigSource> {
    Some(ConfigSource {
        resource_api_version: V3,
        config_source_specifier: Some(ConfigSourceSpecifier::Ads(Default::default())),
        ..Default::default()
    })
}

pub(super) fn inline(text: impl Into<String>) -> DataSource {
    DataSource { specifier: Some(data_source::Specifier::InlineString(text.into())), ..Default::default() }
}

pub(super) fn exact(text: &str) -> StringMatcher {
    StringMatcher { match_pattern: Some(MatchPattern::Exact(text.to_owned())), ..Default::default() }
}

pub(super) fn regex(expression: &str) -> RegexMatcher {
    RegexMatcher { regex: expression.to_owned(), ..Default::default() }
}

pub(super) fn substitute(expression: &str, by: &str) -> RegexMatchAndSubstitute {
    RegexMatchAndSubstitute { pattern: Some(regex(expression)), substitution: by.to_owned() }
}

/// Escapes text for places where Envoy expands `%COMMANDS%`.
pub(super) fn literal(text: &str) -> String {
    text.replace('%', "%%")
}

/// Sets a header to literal text.
pub(super) fn set_header(name: &str, value: &str) -> HeaderValueOption {
    header(name, value, header_value_option::HeaderAppendAction::OverwriteIfExistsOrAdd)
}

/// Appends literal text to a header.
pub(super) fn add_header(name: &str, value: &str) -> HeaderValueOption {
    header(name, value, header_value_option::HeaderAppendAction::AppendIfExistsOrAdd)
}

fn header(name: &str, value: &str, action: header_value_option::HeaderAppendAction) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(HeaderValue { key: name.to_owned(), value: literal(value), ..Default::default() }),
        append_action: action.into(),
        // An empty value is a value: without this Envoy drops the header.
        keep_empty_value: true,
        ..Default::default()
    }
}

pub(super) fn string(text: impl Into<String>) -> Value {
    Value { kind: Some(Kind::StringValue(text.into())) }
}

pub(super) fn structure<K: Into<String>>(fields: impl IntoIterator<Item = (K, Value)>) -> Struct {
    Struct { fields: fields.into_iter().map(|(k, v)| (k.into(), v)).collect() }
}

/// A JSON value as protobuf's.
pub(super) fn from_json(json: serde_json::Value) -> Value {
    let kind = match json {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(b) => Kind::BoolValue(b),
        serde_json::Value::Number(n) => Kind::NumberValue(n.as_f64().unwrap_or_default()),
        serde_json::Value::String(s) => Kind::StringValue(s),
        serde_json::Value::Array(a) => {
            Kind::ListValue(ListValue { values: a.into_iter().map(from_json).collect() })
        }
        serde_json::Value::Object(o) => {
            Kind::StructValue(structure(o.into_iter().map(|(k, v)| (k, from_json(v)))))
        }
    };
    Value { kind: Some(kind) }
}

/// A plain body.
pub(super) fn text_format(text: &str) -> SubstitutionFormatString {
    SubstitutionFormatString {
        format: Some(substitution_format_string::Format::TextFormatSource(inline(text))),
        content_type: "text/plain".to_owned(),
        ..Default::default()
    }
}

/// A JSON object whose strings Envoy expands and escapes.
pub(super) fn json_format(json: serde_json::Value) -> SubstitutionFormatString {
    let Some(Kind::StructValue(fields)) = from_json(json).kind else { return Default::default() };
    SubstitutionFormatString {
        format: Some(substitution_format_string::Format::JsonFormat(fields)),
        ..Default::default()
    }
}

/// Metadata with one namespace.
pub(super) fn metadata(namespace: &str, fields: Struct) -> Option<Metadata> {
    Some(Metadata { filter_metadata: [(namespace.to_owned(), fields)].into(), ..Default::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_stay_in_protobufs_range() {
        for (given, seconds, nanos) in [
            (Duration::ZERO, 0, 0),
            (Duration::from_millis(1500), 1, 500_000_000),
            (Duration::from_nanos(999_999_999), 0, 999_999_999),
            (Duration::MAX, 315_576_000_000, 999_999_999),
        ] {
            assert_eq!(duration(given), PbDuration { seconds, nanos });
        }
    }

    #[test]
    fn header_values_are_literal_and_may_be_empty() {
        let set = set_header("x", "100%");
        assert_eq!(set.header.unwrap().value, "100%%");
        assert!(set.keep_empty_value);
    }
}
