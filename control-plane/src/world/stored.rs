//! Where objects of each kind are kept, and what of them is content.

use std::sync::Arc;

use super::{Content, Objects, World, delta::Delta, index::Index};
use crate::{
    api::{
        BackendTLSPolicy, ConfigMap, EndpointSlice, Gateway, GatewayClass, GatewayParameters, HttpRoute,
        InferenceModel, InferenceModelRewrite, InferenceObjective, InferencePool, Namespace, Node, Pod,
        ReferenceGrant, Secret, Service,
    },
    source::AnyObject,
};

/// A kind that the World holds.
pub(super) trait Stored: Content {
    /// The objects of the kind.
    fn objects(world: &World) -> &Objects<Self>;

    /// The objects of the kind, to change.
    fn objects_mut(world: &mut World) -> &mut Objects<Self>;

    /// The object, when it is of the kind.
    fn of(object: &AnyObject) -> Option<&Arc<Self>>;

    /// Brings the index in step with changed objects. `before` is the World that the index fits, apart from kinds
    /// that come earlier in the reducer's order.
    fn file(index: &mut Index, deltas: &[Delta<Self>], before: &World);
}

macro_rules! stored {
    ($type:ident, $variant:ident, $field:ident $(, file: $file:expr)? $(, neutralise: $neutralise:expr)?) => {
        impl Stored for $type {
            fn objects(world: &World) -> &Objects<Self> {
                &world.$field
            }

            fn objects_mut(world: &mut World) -> &mut Objects<Self> {
                &mut world.$field
            }

            fn of(object: &AnyObject) -> Option<&Arc<Self>> {
                if let AnyObject::$variant(object) = object { Some(object) } else { None }
            }

            fn file(_index: &mut Index, _deltas: &[Delta<Self>], _before: &World) {
                $(
                    let file: fn(&mut Index, &[Delta<Self>], &World) = $file;
                    file(_index, _deltas, _before);
                )?
            }
        }

        impl Content for $type {
            $(
                fn neutralise(&mut self) {
                    self.metadata.resource_version.clear();
                    let neutralise: fn(&mut Self) = $neutralise;
                    neutralise(self);
                }
            )?
        }
    };
}

/// Files each changed object on its own.
macro_rules! each {
    ($method:ident) => {
        |index, deltas, _| deltas.iter().for_each(|d| index.$method(d.old.as_ref(), d.new.as_ref()))
    };
}

stored!(GatewayClass, GatewayClass, gateway_classes, neutralise: |class| class.status = Default::default());
stored!(
    Gateway, Gateway, gateways,
    file: each!(gateway),
    neutralise: |gateway| gateway.status = Default::default()
);
stored!(
    HttpRoute, HTTPRoute, http_routes,
    file: each!(route),
    neutralise: |route| route.status = Default::default()
);
stored!(ReferenceGrant, ReferenceGrant, reference_grants);
stored!(
    BackendTLSPolicy, BackendTLSPolicy, backend_tls_policies,
    neutralise: |policy| policy.status = Default::default()
);
stored!(Namespace, Namespace, namespaces);
stored!(Service, Service, services);
stored!(EndpointSlice, EndpointSlice, endpoint_slices, file: each!(slice));
stored!(Pod, Pod, pods, file: each!(pod));
stored!(Node, Node, nodes);
stored!(Secret, Secret, secrets);
stored!(ConfigMap, ConfigMap, config_maps);
stored!(
    InferencePool, InferencePool, pools,
    file: |index, deltas, before| index.pools(deltas, before),
    neutralise: |pool| pool.status = Default::default()
);
stored!(InferenceObjective, InferenceObjective, objectives, file: each!(objective));
stored!(InferenceModelRewrite, InferenceModelRewrite, rewrites, file: each!(rewrite));
stored!(InferenceModel, InferenceModel, models, file: each!(model));
stored!(GatewayParameters, GatewayParameters, parameters);
