//! How a proxy proves who it is to the control plane, and how it knows the control plane.
//!
//! Certificates are files that somebody renews. Envoy reads them through files in the shape of SDS, which name the
//! watched directory: a renewal needs no restart.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::TYPE;

const IDENTITY: &str = "identity";
const AUTHORITY: &str = "authority";

/// Mutual TLS of the ADS stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootstrapTls {
    /// Directory with `tls.crt`, `tls.key` and `ca.crt`. It is watched: replace the files by a rename (as kubelet
    /// does with Secrets).
    pub identity: PathBuf,
    /// Directory with the [`sds_files`].
    pub sds: PathBuf,
    /// Name of the control plane: sent as SNI and found among its certificate's DNS names.
    pub server_name: String,
}

/// The files, by name, that [`BootstrapTls::sds`] holds.
pub fn sds_files(tls: &BootstrapTls) -> BTreeMap<String, String> {
    let file = |name: &str| json!({"filename": tls.identity.join(name)});
    let watched = json!({"path": &tls.identity});
    let secret = |name: &str, what: &str, value: Value| {
        let resource = json!({
            "@type": format!("{TYPE}envoy.extensions.transport_sockets.tls.v3.Secret"),
            "name": name,
            what: value,
        });
        serde_json::to_string_pretty(&json!({"resources": [resource]})).expect("maps with string keys")
    };
    let certificate = json!({
        "certificate_chain": file("tls.crt"),
        "private_key": file("tls.key"),
        "watched_directory": watched,
    });
    let authority = json!({"trusted_ca": file("ca.crt"), "watched_directory": watched});
    BTreeMap::from([
        (file_name(IDENTITY), secret(IDENTITY, "tls_certificate", certificate)),
        (file_name(AUTHORITY), secret(AUTHORITY, "validation_context", authority)),
    ])
}

fn file_name(secret: &str) -> String {
    format!("sds-{secret}.json")
}

/// The transport socket of the ADS cluster.
pub(super) fn transport_socket(tls: &BootstrapTls) -> Value {
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": format!("{TYPE}envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"),
            "sni": tls.server_name,
            "common_tls_context": {
                // A client's default maximum is 1.2: both are to be said.
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
                "alpn_protocols": ["h2"],
                "tls_certificate_sds_secret_configs": [reference(&tls.sds, IDENTITY)],
                "combined_validation_context": {
                    "default_validation_context": {"match_typed_subject_alt_names": [
                        {"san_type": "DNS", "matcher": {"exact": tls.server_name}},
                    ]},
                    "validation_context_sds_secret_config": reference(&tls.sds, AUTHORITY),
                },
            },
        },
    })
}

fn reference(sds: &Path, secret: &str) -> Value {
    json!({
        "name": secret,
        "sds_config": {
            "path_config_source": {"path": sds.join(file_name(secret))},
            "resource_api_version": "V3",
        },
    })
}
