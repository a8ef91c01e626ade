//! TLS of listeners, to pickers, and to backends.
//!
//! ```text
//! chain of a listener         ─ SDS over ADS ─▶ Secret secret/<namespace>/<name>
//! cluster of a managed picker ─ SDS over ADS ─▶ Secret signalbox/authorities (one for all clusters)
//! cluster with a policy        ─ its authorities stand in the cluster itself
//! ```
//!
//! A renewed certificate replaces its secret: listeners and their connections stay as they are.
//! A new authority replaces the one secret: clusters and their connections stay as they are.

use envoy_types::pb::envoy::{
    config::core::v3::{DataSource, TransportSocket, data_source, transport_socket},
    extensions::transport_sockets::tls::v3::{
        CertificateValidationContext, CommonTlsContext, DownstreamTlsContext, SdsSecretConfig, Secret,
        SubjectAltNameMatcher, TlsCertificate, UpstreamTlsContext,
        common_tls_context::{CombinedCertificateValidationContext, ValidationContextType},
        secret,
        subject_alt_name_matcher::SanType,
    },
    r#type::matcher::v3::{StringMatcher, string_matcher::MatchPattern},
};

use super::value::{ads, any, exact, inline, regex};
use crate::gateway::ir::{Authorities, BackendName, BackendTls, Certificate, CertificateName};

/// The secret with the authorities of managed pickers.
pub(super) const TRUST: &str = "signalbox/authorities";

/// A listener's certificate.
pub(super) fn certificate(name: &CertificateName, certificate: &Certificate) -> Secret {
    let pair = TlsCertificate {
        certificate_chain: Some(inline(&certificate.chain)),
        private_key: Some(inline(&certificate.key)),
        ..Default::default()
    };
    Secret { name: name.as_str().to_owned(), r#type: Some(secret::Type::TlsCertificate(pair)) }
}

/// TLS ends here, with one of the certificates.
pub(super) fn terminates(certificates: &[CertificateName]) -> TransportSocket {
    let reference =
        |name: &CertificateName| SdsSecretConfig { name: name.as_str().to_owned(), sds_config: ads() };
    let context = DownstreamTlsContext {
        common_tls_context: Some(CommonTlsContext {
            alpn_protocols: vec!["h2".to_owned(), "http/1.1".to_owned()],
            tls_certificate_sds_secret_configs: certificates.iter().map(reference).collect(),
            ..Default::default()
        }),
        ..Default::default()
    };
    TransportSocket {
        name: "envoy.transport_sockets.tls".to_owned(),
        config_type: Some(transport_socket::ConfigType::TypedConfig(any(&context))),
    }
}

/// The secret.
pub(super) fn trust(pem: &str) -> Secret {
    let context = CertificateValidationContext { trusted_ca: Some(inline(pem)), ..Default::default() };
    Secret { name: TRUST.to_owned(), r#type: Some(secret::Type::ValidationContext(context)) }
}

/// The server's certificate has to be for `host`, and signed by one of the authorities.
pub(super) fn verified(host: &str) -> TransportSocket {
    let matcher = SubjectAltNameMatcher {
        san_type: SanType::Dns.into(),
        matcher: Some(exact(host)),
        ..Default::default()
    };
    let combined = CombinedCertificateValidationContext {
        default_validation_context: Some(CertificateValidationContext {
            match_typed_subject_alt_names: vec![matcher],
            ..Default::default()
        }),
        validation_context_sds_secret_config: Some(SdsSecretConfig {
            name: TRUST.to_owned(),
            sds_config: ads(),
        }),
        ..Default::default()
    };
    socket(host, "h2", Some(ValidationContextType::CombinedValidationContext(combined)))
}

/// The authorities that Linux systems trust, where Debian, Alpine and the distroless images have them.
const SYSTEM: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The server's certificate has to be as the policy says.
pub(super) fn by_policy(policy: &BackendTls, alpn: &str) -> TransportSocket {
    let authorities = match &policy.authorities {
        Authorities::Bundle(pem) => inline(&**pem),
        Authorities::System => DataSource {
            specifier: Some(data_source::Specifier::Filename(SYSTEM.to_owned())),
            ..Default::default()
        },
    };
    let context = CertificateValidationContext {
        trusted_ca: Some(authorities),
        match_typed_subject_alt_names: policy.names.iter().map(name).collect(),
        ..Default::default()
    };
    socket(&policy.server_name, alpn, Some(ValidationContextType::ValidationContext(context)))
}

fn name(name: &BackendName) -> SubjectAltNameMatcher {
    let (san_type, matcher) = match name {
        BackendName::Uri(uri) => (SanType::Uri, exact(uri)),
        // Envoy lets a certificate for `*.example.com` pass where `a.example.com` is asked for.
        BackendName::Host(host) => match host.strip_prefix("*.") {
            None => (SanType::Dns, exact(host)),
            Some(domain) => {
                let expression = format!(r"[^.]+\.{}", domain.replace('.', r"\."));
                let matcher = StringMatcher {
                    match_pattern: Some(MatchPattern::SafeRegex(regex(&expression))),
                    ..Default::default()
                };
                (SanType::Dns, matcher)
            }
        },
    };
    SubjectAltNameMatcher { san_type: san_type.into(), matcher: Some(matcher), ..Default::default() }
}

/// Any certificate will do.
pub(super) fn unverified() -> TransportSocket {
    socket("", "h2", None)
}

fn socket(sni: &str, alpn: &str, validation_context_type: Option<ValidationContextType>) -> TransportSocket {
    let context = UpstreamTlsContext {
        sni: sni.to_owned(),
        common_tls_context: Some(CommonTlsContext {
            alpn_protocols: vec![alpn.to_owned()],
            validation_context_type,
            ..Default::default()
        }),
        ..Default::default()
    };
    TransportSocket {
        name: "envoy.transport_sockets.tls".to_owned(),
        config_type: Some(transport_socket::ConfigType::TypedConfig(any(&context))),
    }
}
