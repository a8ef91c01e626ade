//! The descriptor set that `translate::view` reads: what of envoy-types' own set our resources can hold.
//!
//! `UPDATE=1` writes it anew. Without, it has to be equal to what would be written.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

use prost_reflect::{
    DescriptorPool, Kind, MessageDescriptor,
    prost::Message,
    prost_types::{DescriptorProto, FileDescriptorProto, FileDescriptorSet},
};

/// What is packed in `Any` somewhere in a resource, or is a resource.
const ROOTS: [&str; 27] = [
    "google.protobuf.Any",
    "envoy.config.cluster.v3.Cluster",
    "envoy.config.endpoint.v3.ClusterLoadAssignment",
    "envoy.config.listener.v3.Listener",
    "envoy.config.route.v3.RouteConfiguration",
    "envoy.extensions.access_loggers.file.v3.FileAccessLog",
    "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
    "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
    "envoy.extensions.filters.http.ai_protocol_manager.v3.AiProtocolManager",
    "envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute",
    "envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor",
    "envoy.extensions.filters.http.lua.v3.Lua",
    "envoy.extensions.filters.http.lua.v3.LuaPerRoute",
    "envoy.extensions.filters.http.router.v3.Router",
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
    "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
    "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest",
    "envoy.extensions.load_balancing_policies.override_host.v3.OverrideHost",
    "envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin",
    "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
    "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
    "envoy.extensions.transport_sockets.tls.v3.Secret",
    "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
    "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
    "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
    "envoy.extensions.filters.http.cors.v3.Cors",
];

#[test]
fn the_set_in_the_repository_is_what_envoy_types_has() {
    let vendored = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/translate/descriptors.bin");
    let whole = std::fs::read(envoy_types().join("src/generated/types.bin")).unwrap();
    let part = prune(&DescriptorPool::decode(whole.as_slice()).unwrap()).encode_to_vec();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&vendored, &part).unwrap();
    }
    assert!(std::fs::read(&vendored).unwrap() == part, "run with UPDATE=1 to write {}", vendored.display());
}

/// The directory of the envoy-types crate, from the metadata of this build.
fn envoy_types() -> PathBuf {
    // Only this platform's packages are at hand without a network.
    let versions = Command::new("rustc").arg("-vV").output().unwrap().stdout;
    let versions = String::from_utf8(versions).unwrap();
    let host = versions.lines().find_map(|l| l.strip_prefix("host: ")).unwrap();
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--format-version", "1", "--filter-platform", host])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let package =
        metadata["packages"].as_array().unwrap().iter().find(|p| p["name"] == "envoy-types").unwrap();
    Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap().to_owned()
}

fn prune(pool: &DescriptorPool) -> FileDescriptorSet {
    let mut used = BTreeSet::new();
    let mut files = BTreeSet::new();
    for root in ROOTS {
        reach(&pool.get_message_by_name(root).expect(root), &mut used, &mut files);
    }
    let mut file: Vec<_> =
        pool.file_descriptor_protos().filter(|f| files.contains(f.name())).cloned().collect();
    let names: BTreeSet<_> = file.iter().map(|f| f.name().to_owned()).collect();
    file.iter_mut().for_each(|f| trim(f, &used, &names));
    FileDescriptorSet { file }
}

/// Adds a message, the enums it uses, and everything that it can hold.
fn reach(message: &MessageDescriptor, used: &mut BTreeSet<String>, files: &mut BTreeSet<String>) {
    files.insert(message.parent_file().name().to_owned());
    if !used.insert(message.full_name().to_owned()) {
        return;
    }
    for field in message.fields() {
        match field.kind() {
            Kind::Message(inner) => reach(&inner, used, files),
            Kind::Enum(inner) => {
                files.insert(inner.parent_file().name().to_owned());
                used.insert(inner.full_name().to_owned());
            }
            _ => {}
        }
    }
}

fn trim(file: &mut FileDescriptorProto, used: &BTreeSet<String>, files: &BTreeSet<String>) {
    let package = file.package().to_owned();
    file.dependency.retain(|d| files.contains(d));
    (file.public_dependency, file.weak_dependency) = (Vec::new(), Vec::new());
    (file.service, file.extension) = (Vec::new(), Vec::new());
    (file.options, file.source_code_info) = (None, None);
    file.enum_type.retain(|e| used.contains(&format!("{package}.{}", e.name())));
    file.enum_type.iter_mut().flat_map(|e| &mut e.value).for_each(|v| v.options = None);
    file.enum_type.iter_mut().for_each(|e| e.options = None);
    file.message_type.retain_mut(|m| keep(m, &package, used));
}

/// Whether a message or one inside it is used; takes out what is not.
fn keep(message: &mut DescriptorProto, scope: &str, used: &BTreeSet<String>) -> bool {
    let name = format!("{scope}.{}", message.name());
    message.nested_type.retain_mut(|m| keep(m, &name, used));
    message.enum_type.retain(|e| used.contains(&format!("{name}.{}", e.name())));
    message.enum_type.iter_mut().flat_map(|e| &mut e.value).for_each(|v| v.options = None);
    message.enum_type.iter_mut().for_each(|e| e.options = None);
    message.extension.clear();
    message.oneof_decl.iter_mut().for_each(|o| o.options = None);
    for field in &mut message.field {
        field.options = None;
    }
    // Map entries are told by an option.
    if !message.options.as_ref().is_some_and(|o| o.map_entry()) {
        message.options = None;
    }
    if !used.contains(&name) {
        message.field.clear();
        message.oneof_decl.clear();
    }
    used.contains(&name) || !message.nested_type.is_empty() || !message.enum_type.is_empty()
}
