//! What resolving found out about each object, in the words of the Gateway API and GIE: the input of status.
//!
//! A user's mistake is a report, never an `Err`. Reports carry no times, so equal reports mean nothing changed.

use std::{collections::BTreeMap, sync::Arc};

use crate::api::{ConditionStatus, NamespacedName, ParentRef, RouteGroupKind};

/// One condition without its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionReport {
    /// Type, for example `Accepted`.
    pub kind: &'static str,
    /// Status.
    pub status: ConditionStatus,
    /// Reason, as the API specifies it.
    pub reason: &'static str,
    /// Object, field and remedy.
    pub message: String,
}

/// Conditions of one object (or one of its parents), at most one per type, in the order they were found.
pub type Conditions = Vec<ConditionReport>;

/// All that was found out about the objects of one Gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reports {
    /// The Gateway.
    pub gateway: GatewayReport,
    /// HTTPRoutes that name the Gateway as a parent: one entry per parentRef, in the route's order.
    pub routes: BTreeMap<Arc<NamespacedName>, Arc<[RouteParentReport]>>,
    /// InferencePools that a route of the Gateway refers to.
    pub pools: BTreeMap<NamespacedName, PoolReport>,
    /// BackendTLSPolicies with a target that a route of the Gateway, or a pool of one, refers to.
    pub policies: BTreeMap<NamespacedName, PolicyReport>,
}

/// What was found out about a GatewayClass that names our controller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassReport {
    /// Generation that was looked at.
    pub generation: i64,
    /// Conditions.
    pub conditions: Conditions,
}

/// What was found out about a Gateway. `Programmed` is not here: only Envoy's acknowledgement makes it true.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GatewayReport {
    /// Generation that was looked at.
    pub generation: i64,
    /// Gateway-level conditions.
    pub conditions: Conditions,
    /// Listeners, in the Gateway's order.
    pub listeners: Vec<ListenerReport>,
}

/// What was found out about a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerReport {
    /// Name.
    pub name: String,
    /// Kinds of route that may attach.
    pub supported_kinds: Vec<RouteGroupKind>,
    /// Number of routes attached.
    pub attached_routes: u32,
    /// Conditions.
    pub conditions: Conditions,
    /// Whether proxies are to open it.
    pub served: bool,
}

/// What was found out about a route and one parentRef.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteParentReport {
    /// The parentRef as the route has it.
    pub parent: ParentRef,
    /// Generation of the route that was looked at.
    pub generation: i64,
    /// Conditions.
    pub conditions: Conditions,
}

/// What was found out about a policy with this Gateway as ancestor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyReport {
    /// Generation of the policy that was looked at.
    pub generation: i64,
    /// Conditions.
    pub conditions: Conditions,
}

/// What was found out about a pool with this Gateway as parent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolReport {
    /// Generation of the pool that was looked at.
    pub generation: i64,
    /// Conditions.
    pub conditions: Conditions,
}
