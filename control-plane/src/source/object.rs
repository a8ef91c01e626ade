//! An object of any kind, shared.

use std::sync::Arc;

use serde::{Deserialize, Deserializer};

use crate::api::{
    BackendTLSPolicy, ConfigMap, EndpointSlice, Gateway, GatewayClass, GatewayParameters, HttpRoute,
    InferenceModel, InferenceModelRewrite, InferenceObjective, InferencePool, Kind, Namespace,
    NamespacedName, Node, Object, ObjectMeta, ObjectRef, Pod, ReferenceGrant, Secret, Service,
};

/// The one list of kinds and their types.
macro_rules! any_object {
    ($($variant:ident($type:ident)),* $(,)?) => {
        /// An object of any kind that is read.
        #[derive(Clone, Debug, PartialEq)]
        #[expect(missing_docs, reason = "each variant is the Kubernetes kind of its name")]
        pub enum AnyObject {
            $($variant(Arc<$type>)),*
        }

        impl AnyObject {
            /// The kind.
            pub fn kind(&self) -> Kind {
                match self { $(Self::$variant(_) => Kind::$variant),* }
            }

            /// The metadata.
            pub fn meta(&self) -> &ObjectMeta {
                match self { $(Self::$variant(object) => object.meta()),* }
            }

            /// The metadata, to fill in defaults. Copies the object when it is shared.
            pub fn meta_mut(&mut self) -> &mut ObjectMeta {
                match self { $(Self::$variant(object) => Arc::make_mut(object).meta_mut()),* }
            }

            /// Reads an object of a kind that is known.
            ///
            /// # Errors
            /// What the deserializer says.
            pub fn deserialize<'de, D: Deserializer<'de>>(kind: Kind, deserializer: D) -> Result<Self, D::Error> {
                match kind {
                    $(Kind::$variant => $type::deserialize(deserializer).map(|o| Self::$variant(Arc::new(o)))),*
                }
            }
        }

        $(
            impl From<Arc<$type>> for AnyObject {
                fn from(object: Arc<$type>) -> Self {
                    Self::$variant(object)
                }
            }

            impl From<$type> for AnyObject {
                fn from(object: $type) -> Self {
                    Self::$variant(Arc::new(object))
                }
            }
        )*
    };
}

any_object! {
    GatewayClass(GatewayClass),
    Gateway(Gateway),
    HTTPRoute(HttpRoute),
    ReferenceGrant(ReferenceGrant),
    BackendTLSPolicy(BackendTLSPolicy),
    Namespace(Namespace),
    Service(Service),
    EndpointSlice(EndpointSlice),
    Pod(Pod),
    Node(Node),
    Secret(Secret),
    ConfigMap(ConfigMap),
    InferencePool(InferencePool),
    InferenceObjective(InferenceObjective),
    InferenceModelRewrite(InferenceModelRewrite),
    InferenceModel(InferenceModel),
    GatewayParameters(GatewayParameters),
}

impl AnyObject {
    /// The key within its kind.
    pub fn key(&self) -> NamespacedName {
        self.meta().key()
    }

    /// The object's name for messages.
    pub fn object_ref(&self) -> ObjectRef {
        ObjectRef::new(self.kind(), self.key())
    }
}
