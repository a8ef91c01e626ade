//! Sockets with very many hostnames: their virtual hosts in many RouteConfigurations.
//!
//! Envoy reads a whole RouteConfiguration again for each change of it, a tenth of a millisecond or more for each
//! virtual host. In parts, a change costs a part.
//!
//! ```text
//! request ─▶ entrance: any host ── script: the hash of the host ──▶ part: exact hostnames ─▶ their routes
//!            │  └ hostnames that take upgrades ─▶ their routes      └ any other ── script ──▶ wildcards ─▶ their routes
//! ```
//!
//! The parts are scopes (`ScopedRoutes`) that a header names; the listener lists them, so only a socket that begins or
//! ceases to have very many hostnames changes its listener. The entrance is a forwarding route, since Envoy takes the
//! limit of buffered bodies from the route that a request first meets; and whether a connection may be upgraded.

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
        ScopedRouteConfigurationsList, ScopedRoutes,
        http_connection_manager::RouteSpecifier,
        scoped_routes::{
            ConfigSpecifier, ScopeKeyBuilder,
            scope_key_builder::{FragmentBuilder, fragment_builder},
        },
    },
};
use envoy_types::pb::google::protobuf::UInt64Value;

use super::{
    model_scanner::script,
    models,
    names::{PART_FILTER, PART_HEADER, WILDCARDS_FILTER},
    settings::Settings,
    value::{ads, set_header},
    virtual_host::EncodedHost,
};

/// Sends requests from the entrance to a part.
pub(super) const PART_SCRIPT: &str = include_str!("lua/part.lua");
/// Sends requests from a part to the wildcards.
pub(super) const WILDCARDS_SCRIPT: &str = include_str!("lua/wildcards.lua");

/// Exact hostnames from which on a socket is split.
const MANY: usize = 256;
/// Parts, as in the script.
const PARTS: u32 = 128;
const ENTRANCE: &str = "entrance";
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
    /// The RouteConfiguration's name, for a socket whose routes have the name.
    pub(super) fn name(self, routes: &str) -> String {
        match self {
            Self::Whole => routes.to_owned(),
            _ => format!("{routes}/{}", self.key()),
        }
    }

    /// The value of the header that leads to it.
    fn key(self) -> String {
        match self {
            Self::Whole => String::new(),
            Self::Entrance => ENTRANCE.to_owned(),
            Self::Exact(n) => n.to_string(),
            Self::Wildcards => WILDCARDS.to_owned(),
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
pub(super) fn is_split(hosts: &[EncodedHost]) -> bool {
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
            () => hash(host.hostname()),
        };
        parts[at as usize].1.push(host);
    }
    parts
}

fn is_wildcard(host: &EncodedHost) -> bool {
    host.hostname().starts_with('*')
}

/// As in the script.
fn hash(hostname: &str) -> u32 {
    let sum = hostname.bytes().fold(0, |sum: u64, byte| (sum * 31 + u64::from(byte)) % 4_294_967_291);
    u32::try_from(sum % u64::from(PARTS)).expect("less than the number of parts")
}

/// How a split socket finds its RouteConfigurations.
pub(super) fn specifier(routes: &str) -> RouteSpecifier {
    let header = fragment_builder::HeaderValueExtractor {
        name: PART_HEADER.to_owned(),
        extract_type: Some(fragment_builder::header_value_extractor::ExtractType::Index(0)),
        ..Default::default()
    };
    let builder = ScopeKeyBuilder {
        fragments: vec![FragmentBuilder {
            r#type: Some(fragment_builder::Type::HeaderValueExtractor(header)),
        }],
    };
    let scope = |part: Part| ScopedRouteConfiguration {
        name: part.key(),
        route_configuration_name: part.name(routes),
        key: Some(Key {
            fragments: vec![key::Fragment { r#type: Some(key::fragment::Type::StringKey(part.key())) }],
        }),
        ..Default::default()
    };
    let all = [Part::Entrance, Part::Wildcards].into_iter().chain((0..PARTS).map(Part::Exact));
    RouteSpecifier::ScopedRoutes(ScopedRoutes {
        name: routes.to_owned(),
        scope_key_builder: Some(builder),
        rds_config_source: ads(),
        config_specifier: Some(ConfigSpecifier::ScopedRouteConfigurationsList(
            ScopedRouteConfigurationsList { scoped_route_configurations: all.map(scope).collect() },
        )),
    })
}

/// What leads a request to the entrance, whatever its client says.
pub(super) fn to_entrance() -> HeaderValueOption {
    set_header(PART_HEADER, ENTRANCE)
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
            (0..3_000).map(|n| format!("{:x}.example.com", n * 1_000_003)).collect(),
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
        assert!(WILDCARDS_SCRIPT.contains(&format!("'{PART_HEADER}', '{WILDCARDS}'")));
    }
}
