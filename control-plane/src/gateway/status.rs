//! Turns what was found out into conditions, in the words of the API.

use std::collections::BTreeMap;

use super::{
    attach::Attachment,
    condition,
    listener::{Listener, Problem},
    parameters,
    report::{Conditions, GatewayReport, ListenerReport, RouteParentReport},
    route::CompiledRoute,
};
use crate::{
    api::{self, NamespacedName},
    world::World,
};

/// Why a Gateway as a whole is not accepted: reason and message. Nothing of it is served then.
pub(super) fn gateway_refusal(world: &World, gateway: &api::Gateway) -> Option<(&'static str, String)> {
    let class = NamespacedName::new("", &gateway.spec.gateway_class_name);
    let class = world.gateway_classes.get(&class);
    // A class that is refused says so itself.
    let defaults = class.and_then(|class| parameters::of_class(world, class).ok()).unwrap_or_default();
    if let Err(message) = parameters::of_gateway(world, gateway, defaults) {
        return Some(("InvalidParameters", message));
    }
    let unsupported = |(index, address): (usize, &api::GatewayAddress)| match address.kind.as_str() {
        "IPAddress" => {
            let value = address.value.as_deref().filter(|value| !value.is_empty())?;
            let is_address = value.parse::<std::net::IpAddr>().is_ok();
            (!is_address)
                .then(|| format!("spec.addresses[{index}].value: {value:?} is no IP address; correct it"))
        }
        kind => Some(format!("spec.addresses[{index}].type: {kind:?} is not supported; use IPAddress")),
    };
    let message = gateway.spec.addresses.iter().enumerate().find_map(unsupported)?;
    Some(("UnsupportedAddress", message))
}

/// The Gateway's report. `attached` counts routes by listener.
pub(super) fn gateway(
    gateway: &api::Gateway,
    refusal: Option<(&'static str, String)>,
    listeners: &[Listener<'_>],
    attached: &BTreeMap<usize, u32>,
) -> GatewayReport {
    let accepted = match refusal {
        Some((reason, message)) => condition::no("Accepted", reason, message),
        None => accepted(gateway, listeners),
    };
    let reports = listeners.iter().enumerate().map(|(index, listener)| ListenerReport {
        name: listener.spec.name.clone(),
        supported_kinds: listener.kinds.clone(),
        attached_routes: attached.get(&index).copied().unwrap_or_default(),
        conditions: listener_conditions(index, listener),
        served: listener.is_served(),
    });
    GatewayReport {
        generation: gateway.metadata.generation,
        conditions: vec![accepted],
        listeners: reports.collect(),
    }
}

/// Accepted while any listener is served; the reason tells whether all are.
fn accepted(gateway: &api::Gateway, listeners: &[Listener<'_>]) -> super::report::ConditionReport {
    let unresolved = |listener: &'_ Listener<'_>| match listener.certificates.unresolved.first() {
        Some((_, message)) if !listener.is_served() => Some(message.clone()),
        _ => None,
    };
    let problem = |listener: &'_ Listener<'_>| match &listener.problem {
        Some(problem) => Some(problem.message.clone()),
        None => unresolved(listener),
    };
    let problems = condition::sentences(listeners.iter().filter_map(problem));
    let ignored =
        [("tls", gateway.spec.tls.is_some()), ("allowedListeners", gateway.spec.allowed_listeners.is_some())];
    let ignored = ignored.into_iter().filter(|(_, set)| *set);
    let ignored = ignored.map(|(name, _)| format!("; spec.{name} is not served by this version; remove it"));
    let ignored: String = ignored.collect();
    if listeners.is_empty() {
        condition::no("Accepted", "ListenersNotValid", "spec.listeners: is empty; add a listener")
    } else if problems.is_empty() {
        condition::yes("Accepted", "Accepted", format!("all listeners are served{ignored}"))
    } else if listeners.iter().any(Listener::is_accepted) {
        condition::yes("Accepted", "ListenersNotValid", format!("{problems}{ignored}"))
    } else {
        condition::no("Accepted", "ListenersNotValid", format!("{problems}{ignored}"))
    }
}

fn listener_conditions(index: usize, listener: &Listener<'_>) -> Conditions {
    let accepted = match &listener.problem {
        None if listener.is_served() => condition::yes("Accepted", "Accepted", "the listener is served"),
        None => condition::yes(
            "Accepted",
            "Accepted",
            "the listener is valid; it is served when its references resolve",
        ),
        Some(problem) => condition::no("Accepted", problem.reason, problem.message.clone()),
    };
    let conflicted = match &listener.problem {
        Some(Problem { reason, message, conflict: true }) => {
            condition::yes("Conflicted", reason, message.clone())
        }
        _ => condition::no("Conflicted", "NoConflicts", "no other listener is in the way"),
    };
    let resolved = if let Some((reason, _)) = listener.certificates.unresolved.first() {
        let messages = listener.certificates.unresolved.iter().map(|(_, message)| message);
        condition::no("ResolvedRefs", reason, condition::sentences(messages))
    } else if listener.refused_kinds.is_empty() {
        condition::yes("ResolvedRefs", "ResolvedRefs", "all references resolve")
    } else {
        let message = format!(
            "spec.listeners[{index}] ({}).allowedRoutes.kinds: {} cannot attach to {} listeners here; remove them",
            listener.spec.name,
            listener.refused_kinds.join(", "),
            super::listener::word(&listener.spec.protocol),
        );
        condition::no("ResolvedRefs", "InvalidRouteKinds", message)
    };
    vec![accepted, conflicted, resolved]
}

/// Whether a parent accepts a route; the error is reason and message.
pub(super) fn route_is_accepted(
    compiled: &CompiledRoute,
    attachment: &Attachment<'_>,
) -> Result<(), (&'static str, String)> {
    if let Some((reason, message)) = &attachment.refusal {
        return Err((reason, message.clone()));
    }
    match compiled.invalid.first() {
        Some(first) if compiled.invalid.len() == compiled.rules => {
            Err((first.reason, condition::sentences(compiled.invalid.iter().map(|fault| &fault.message))))
        }
        _ => Ok(()),
    }
}

/// A route's report for one of its parents.
pub(super) fn route(
    route: &api::HttpRoute,
    compiled: &CompiledRoute,
    attachment: &Attachment<'_>,
) -> RouteParentReport {
    let mut conditions = Conditions::new();
    match route_is_accepted(compiled, attachment) {
        Err((reason, message)) => conditions.push(condition::no("Accepted", reason, message)),
        Ok(()) => {
            let served = ["the route is served".to_owned()];
            let message = condition::sentences(served.iter().chain(&compiled.ignored));
            conditions.push(condition::yes("Accepted", "Accepted", message));
            conditions.extend(partially_invalid(compiled));
        }
    }
    conditions.push(match compiled.unresolved.first() {
        Some((reason, _)) => {
            let messages = compiled.unresolved.iter().map(|(_, message)| message);
            condition::no("ResolvedRefs", reason, condition::sentences(messages))
        }
        None if compiled.notes.is_empty() => {
            condition::yes("ResolvedRefs", "ResolvedRefs", "all references resolve")
        }
        None => condition::yes("ResolvedRefs", "ResolvedRefs", condition::sentences(&compiled.notes)),
    });
    RouteParentReport { parent: attachment.parent.clone(), generation: route.metadata.generation, conditions }
}

/// The API wants a message that starts with `Dropped Rule` and names the rules.
fn partially_invalid(compiled: &CompiledRoute) -> Option<super::report::ConditionReport> {
    if compiled.invalid.is_empty() {
        return None;
    }
    let rules = compiled.invalid.iter().map(|fault| fault.rule.to_string()).collect::<Vec<_>>().join(", ");
    let why = condition::sentences(compiled.invalid.iter().map(|fault| &fault.message));
    Some(condition::yes("PartiallyInvalid", "UnsupportedValue", format!("Dropped Rule {rules}: {why}")))
}
