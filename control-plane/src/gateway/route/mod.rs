//! Turns an HTTPRoute into routes of the intermediate representation, whatever it attaches to.
//!
//! ```text
//! rule ─▶ matches ──── invalid ──▶ the rule is dropped
//!     └─▶ filters, timeouts ── invalid ──▶ the rule answers 500: what a filter was to do must not be skipped
//!     └─▶ backends ── invalid ──▶ their share answers 500
//! ```
//!
//! A route all of whose rules are invalid is not accepted; one with some is `PartiallyInvalid` (see `status`).

mod backends;
mod filters;
mod headers;
mod matches;
mod timeouts;

use std::{collections::BTreeSet, sync::Arc};

pub(super) use backends::{Backends, Found};
use filters::RuleFilters;

use super::{
    fault::refusal,
    ir::{Action, Forward, HeaderChanges, Refusal, Route, WeightedBackend},
    precedence::{Age, Precedence},
};
use crate::api::{HttpRoute, HttpRouteRule, Kind, NamespacedName, Object, ObjectRef};

/// An HTTPRoute, compiled.
#[derive(Debug, Default)]
pub(super) struct CompiledRoute {
    /// Every match of every rule that is not dropped.
    pub(super) matches: Vec<CompiledMatch>,
    /// Number of rules.
    pub(super) rules: usize,
    /// Rules that cannot be served as written.
    pub(super) invalid: Vec<RuleFault>,
    /// References that do not resolve: reason and message.
    pub(super) unresolved: Vec<(&'static str, String)>,
    /// What the condition `ResolvedRefs` says although it is true.
    pub(super) notes: Vec<String>,
    /// Fields that are read and not served.
    pub(super) ignored: Vec<String>,
    /// Pools that exist and may be referred to.
    pub(super) pools: BTreeSet<NamespacedName>,
}

impl CompiledRoute {
    /// With the routes of `last` where they are equal.
    pub(super) fn shared_with(mut self, last: Option<&Self>) -> Self {
        let last = last.map(|last| last.matches.as_slice()).unwrap_or_default();
        for (own, last) in self.matches.iter_mut().zip(last) {
            if own.route == last.route {
                own.route = Arc::clone(&last.route);
            }
        }
        self
    }
}

/// One match of one rule.
#[derive(Clone, Debug)]
pub(super) struct CompiledMatch {
    /// Its place among all matches of a virtual host.
    pub(super) precedence: Precedence,
    /// What it does.
    pub(super) route: Arc<Route>,
    /// Whether it redirects to the port of the listener that it is served on.
    pub(super) redirects_to_listener_port: bool,
}

/// Why a rule cannot be served as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RuleFault {
    /// The rule.
    pub(super) rule: usize,
    /// Reason: `UnsupportedValue` or `IncompatibleFilters`.
    pub(super) reason: &'static str,
    /// Field and remedy.
    pub(super) message: String,
}

/// Compiles a route.
pub(super) fn compile(route: &HttpRoute, backends: &mut Backends<'_>) -> CompiledRoute {
    let default = [HttpRouteRule::default()];
    let rules = route.spec.rules.as_deref().unwrap_or(&default);
    let mut compiler = Compiler {
        key: Arc::new(route.key()),
        age: Age::of(&route.metadata),
        backends,
        out: CompiledRoute { rules: rules.len(), ..CompiledRoute::default() },
    };
    for (index, rule) in rules.iter().enumerate() {
        compiler.rule(index, rule);
    }
    compiler.out
}

struct Compiler<'a, 'w> {
    key: Arc<NamespacedName>,
    age: Age,
    backends: &'a mut Backends<'w>,
    out: CompiledRoute,
}

impl Compiler<'_, '_> {
    fn rule(&mut self, index: usize, rule: &HttpRouteRule) {
        let field = format!("spec.rules[{index}]");
        self.note_ignored(&field, rule);
        // References are reported whatever becomes of the rule.
        let (shares, backend_fault) = self.shares(&field, rule);
        let filters = filters::of_rule(&field, rule);
        let timeouts = timeouts::of_rule(&field, rule.timeouts.as_ref());
        let mirrors = filters.as_ref().map(|f| f.mirrors.clone()).unwrap_or_default();
        let mirrors = mirrors.into_iter().filter_map(|mirror| self.mirror(&mirror)).collect();
        let matches = match matches::of_rule(&field, rule) {
            Ok(matches) => matches,
            Err(message) => return self.invalid(index, "UnsupportedValue", message),
        };
        let mut follows = false;
        let mut response_headers = HeaderChanges::default();
        let action = match (filters, timeouts) {
            (Err(fault), _) => {
                self.invalid(index, fault.reason, fault.message);
                Action::Refuse(unsupported_filter())
            }
            (_, Err(message)) => {
                self.invalid(index, "UnsupportedValue", message);
                Action::Refuse(refusal("invalid_timeouts", "The timeouts of this route are not valid."))
            }
            (Ok(filters), Ok((request_timeout, backend_timeout))) => {
                if let Some(message) = backend_fault {
                    self.invalid(index, "UnsupportedValue", message);
                }
                response_headers = filters.response_headers;
                if let Some((redirect, follows_port)) = filters.redirect {
                    follows = follows_port;
                    Action::Redirect(redirect)
                } else {
                    let rewrite = filters.rewrite;
                    let backends = with_rule_headers(shares, &filters.request_headers);
                    forward(Forward { backends, rewrite, request_timeout, backend_timeout, mirrors })
                }
            }
        };
        for (position, matches) in matches.into_iter().enumerate() {
            self.out.matches.push(CompiledMatch {
                precedence: Precedence::new(&matches, self.age, &self.key, index, position),
                route: Arc::new(Route {
                    name: format!(
                        "httproute/{}/{}/rule/{index}/match/{position}",
                        self.key.namespace, self.key.name
                    ),
                    origin: ObjectRef::new(Kind::HTTPRoute, NamespacedName::clone(&self.key)),
                    matches,
                    action: action.clone(),
                    response_headers: response_headers.clone(),
                }),
                redirects_to_listener_port: follows,
            });
        }
    }

    fn invalid(&mut self, rule: usize, reason: &'static str, message: String) {
        self.out.invalid.push(RuleFault { rule, reason, message });
    }

    fn note_ignored(&mut self, field: &str, rule: &HttpRouteRule) {
        for (name, set) in
            [("retry", rule.retry.is_some()), ("sessionPersistence", rule.session_persistence.is_some())]
        {
            if set {
                self.out.ignored.push(format!("{field}.{name}: is not served by this version; remove it"));
            }
        }
    }

    /// The backends that get a share, and the first fault of their filters.
    fn shares(&mut self, field: &str, rule: &HttpRouteRule) -> (Vec<WeightedBackend>, Option<String>) {
        let (mut shares, mut first_fault) = (Vec::new(), None);
        for (index, backend) in rule.backend_refs.iter().enumerate() {
            let field = format!("{field}.backendRefs[{index}]");
            let resolution = self.backends.resolve(&self.key.namespace, &backend.backend);
            self.out.pools.extend(resolution.pool);
            self.out.notes.extend(resolution.note.map(|note| format!("{field}: {note}")));
            if let Err(fault) = &resolution.target
                && let Some(reason) = fault.reason
            {
                self.out.unresolved.push((reason, format!("{field}: {}", fault.message)));
            }
            let mut target = resolution.target.map_err(|fault| fault.refusal);
            let filters = filters::of_backend(&field, backend).unwrap_or_else(|message| {
                first_fault.get_or_insert(message);
                target = Err(unsupported_filter());
                RuleFilters::default()
            });
            if backend.weight > 0 {
                shares.push(WeightedBackend {
                    weight: backend.weight,
                    target,
                    request_headers: filters.request_headers,
                    response_headers: filters.response_headers,
                });
            }
        }
        (shares, first_fault)
    }

    fn mirror(&mut self, mirror: &filters::MirrorTo<'_>) -> Option<super::ir::Mirror> {
        let target = self.backends.mirror(&self.key.namespace, mirror.backend);
        match target {
            Ok(cluster) => (mirror.per_million > 0)
                .then_some(super::ir::Mirror { cluster, per_million: mirror.per_million }),
            Err(fault) => {
                let message = format!("{}: {}; nothing is mirrored there", mirror.field, fault.message);
                self.out.unresolved.extend(fault.reason.map(|reason| (reason, message)));
                None
            }
        }
    }
}

/// The rule's changes run first, then the backend's: Envoy applies a route's after a weighted cluster's, so the
/// rule's are pushed down.
fn with_rule_headers(mut shares: Vec<WeightedBackend>, rule: &HeaderChanges) -> Vec<WeightedBackend> {
    if !rule.is_empty() {
        for share in &mut shares {
            share.request_headers = headers::then(rule, &share.request_headers);
        }
    }
    shares
}

/// Forwards, unless there is nobody to forward to.
fn forward(forward: Forward) -> Action {
    let all_refuse = forward.backends.iter().all(|backend| backend.target.is_err());
    match forward.backends.first() {
        None => Action::Refuse(refusal("no_backends", "This route has no backends.")),
        Some(first) if all_refuse => {
            let refusal = first.target.as_ref().err().cloned();
            refusal.map_or(Action::Forward(forward), Action::Refuse)
        }
        Some(_) => Action::Forward(forward),
    }
}

fn unsupported_filter() -> Refusal {
    refusal("unsupported_filter", "A filter of this route is not supported.")
}
