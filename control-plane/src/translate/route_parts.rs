//! Where the routes of a socket are: in one RouteConfiguration, or in many where there are very many hostnames.
//!
//! Envoy reads a whole RouteConfiguration again for each change of it, a tenth of a millisecond or more for each
//! virtual host. In parts, a change costs a part.
//!
//! ```text
//! few    request ─▶ http-80: all hostnames ─▶ their routes
//! many   request ─▶ http-80: any host ── script: the hash of the host ──▶ http-80/<n>: exact hostnames ─▶ their routes
//!                   └ hostnames that take upgrades ─▶ their routes        └ any other ── script ──▶ http-80/wildcards
//! ```
//!
//! All of them are scopes (SRDS) that a header names, so a socket that begins or ceases to have very many hostnames
//! keeps its listener, and with it the connections. The entrance is a forwarding route, since Envoy takes the limit of
//! buffered bodies from the route that a request first meets; and whether a connection may be upgraded.

use envoy_types::pb::envoy::{
    config::{
        core::v3::HeaderValueOption,
        route::v3::{
            Route, RouteMatch, ScopedRouteConfiguration, VirtualHost,
            route_match::PathSpecifier,
            scoped_route_configuration::{Key, key},
        },
    },
    extensions::filters::network::http_connection_manager::v3::{
        ScopedRds, ScopedRoutes,
        http_connection_manager::RouteSpecifier,
        scoped_routes::{
            ConfigSpecifier, ScopeKeyBuilder,
            scope_key_builder::{FragmentBuilder, fragment_builder},
        },
    },
};
use envoy_types::pb::google::protobuf::UInt64Value;

use super::{
    TRANSLATION_SALT,
    model_scanner::script,
    models,
    names::{PART_FILTER, PART_HEADER, WILDCARDS_FILTER},
    settings::Settings,
    value::{ads, set_header},
    virtual_host::EncodedHost,
};
use crate::xds::Version;

/// Sends requests from the entrance to a part.
pub(super) const PART_SCRIPT: &str = include_str!("lua/part.lua");
/// Sends requests from a part to the wildcards.
pub(super) const WILDCARDS_SCRIPT: &str = include_str!("lua/wildcards.lua");

/// Exact hostnames from which on a socket is split.
const MANY: usize = 256;
/// Parts, as in the script.
const PARTS: u32 = 128;
const WILDCARDS: &str = "wildcards";

/// One of a socket's RouteConfigurations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Part {
    /// All of them.
    Whole,
    /// Where requests begin.
    Entrance,
    /// Exact hostnames whose hash is this.
    Exact(u32),
    /// Hostnames with a wildcard.
    Wildcards,
}

impl Part {
    /// The name of the RouteConfiguration and of its scope, and the value of the header that leads to it, for a socket
    /// whose routes have the name.
    pub(super) fn name(self, routes: &str) -> String {
        match self {
            Self::Whole | Self::Entrance => routes.to_owned(),
            Self::Exact(n) => format!("{routes}/{n}"),
            Self::Wildcards => format!("{routes}/{WILDCARDS}"),
        }
    }

    /// The virtual host that sends on what none of the part's own is for.
    pub(super) fn onwards(self, settings: &Settings) -> Option<VirtualHost> {
        let (name, filter) = match self {
            Self::Whole | Self::Wildcards => return None,
            Self::Entrance => ("signalbox/entrance", PART_FILTER),
            Self::Exact(_) => ("signalbox/other", WILDCARDS_FILTER),
        };
        Some(VirtualHost {
            name: name.to_owned(),
            domains: vec!["*".to_owned()],
            request_body_buffer_limit: Some(UInt64Value { value: settings.body_limit_bytes.into() }),
            routes: vec![Route {
                name: name.to_owned(),
                r#match: Some(RouteMatch {
                    path_specifier: Some(PathSpecifier::Prefix("/".to_owned())),
                    ..Default::default()
                }),
                typed_per_filter_config: [(filter.to_owned(), script(filter, None))].into(),
                action: Some(models::nowhere()),
                ..Default::default()
            }],
            ..Default::default()
        })
    }
}

/// Whether a socket with these virtual hosts is split. A hostname with a wildcard that takes upgrades is found too
/// late for them, so it keeps a socket in one piece.
fn is_split(hosts: &[EncodedHost]) -> bool {
    let exact = hosts.iter().filter(|host| !is_wildcard(host)).count();
    exact >= MANY && !hosts.iter().any(|host| host.upgrades && is_wildcard(host))
}

/// The RouteConfigurations of a socket, and the virtual hosts of each, in their order.
pub(super) fn parts(hosts: &[EncodedHost]) -> Vec<(Part, Vec<&EncodedHost>)> {
    if !is_split(hosts) {
        return vec![(Part::Whole, hosts.iter().collect())];
    }
    let exact = (0..PARTS).map(Part::Exact);
    let mut parts: Vec<_> =
        exact.chain([Part::Entrance, Part::Wildcards]).map(|part| (part, Vec::new())).collect();
    for host in hosts {
        let at = match () {
            () if is_wildcard(host) => PARTS + 1,
            () if host.upgrades => PARTS,
            () => host.part,
        };
        parts[at as usize].1.push(host);
    }
    parts
}

fn is_wildcard(host: &EncodedHost) -> bool {
    host.hostname().starts_with('*')
}

/// The part of an exact hostname, as in the script.
pub(super) fn hash(hostname: &str) -> u32 {
    let sum = hostname.bytes().fold(0, |sum: u64, byte| (sum * 31 + u64::from(byte)) % 4_294_967_291);
    u32::try_from(sum % u64::from(PARTS)).expect("less than the number of parts")
}

/// How a socket finds its RouteConfigurations.
///
/// All sockets of a Gateway share one subscription (Envoy keeps one for equal sources), so a scope's key has the
/// socket's name in it.
pub(super) fn specifier(routes: &str) -> RouteSpecifier {
    let header = fragment_builder::HeaderValueExtractor {
        name: PART_HEADER.to_owned(),
        extract_type: Some(fragment_builder::header_value_extractor::ExtractType::Index(0)),
        ..Default::default()
    };
    let fragment = FragmentBuilder { r#type: Some(fragment_builder::Type::HeaderValueExtractor(header)) };
    RouteSpecifier::ScopedRoutes(ScopedRoutes {
        name: routes.to_owned(),
        scope_key_builder: Some(ScopeKeyBuilder { fragments: vec![fragment] }),
        rds_config_source: ads(),
        config_specifier: Some(ConfigSpecifier::ScopedRds(ScopedRds {
            scoped_rds_config_source: ads(),
            ..Default::default()
        })),
    })
}

/// The version of a scope.
pub(super) fn scope_version(name: &str) -> Version {
    Version::of(TRANSLATION_SALT, &("scope", name))
}

/// The scope that leads to the RouteConfiguration of this name.
pub(super) fn scope(name: &str) -> ScopedRouteConfiguration {
    let key = key::Fragment { r#type: Some(key::fragment::Type::StringKey(name.to_owned())) };
    ScopedRouteConfiguration {
        name: name.to_owned(),
        route_configuration_name: name.to_owned(),
        key: Some(Key { fragments: vec![key] }),
        ..Default::default()
    }
}

/// What leads a request to the socket's own routes, whatever its client says.
pub(super) fn to_own(routes: &str) -> HeaderValueOption {
    set_header(PART_HEADER, routes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_spread_over_the_parts() {
        for names in [
            (0..3_000).map(|n| format!("there-{n}.example.com")).collect::<Vec<_>>(),
            (0..3_000).map(|n| format!("{n:05}.ai.internal")).collect(),
            (0..3_000).map(|n| format!("llm.team-{n}.svc.example.org")).collect(),
            (0..3_000_u64).map(|n| format!("{:x}.example.com", n * 1_000_003)).collect(),
        ] {
            let mut counts = vec![0; PARTS as usize];
            names.iter().for_each(|name| counts[hash(name) as usize] += 1);
            let most = counts.iter().max().unwrap();
            assert!(*most <= 3 * names.len() / PARTS as usize, "{}: {most}", names[0]);
        }
    }

    #[test]
    fn the_script_says_the_same() {
        for said in [PARTS.to_string(), "4294967291".to_owned(), format!("'{PART_HEADER}'")] {
            assert!(PART_SCRIPT.contains(&said), "{said}");
        }
        assert!(WILDCARDS_SCRIPT.contains(&format!("'{PART_HEADER}'")));
        assert!(WILDCARDS_SCRIPT.contains(&format!("'{WILDCARDS}'")));
    }
}
