//! What is wrong with a backend: one name for the condition, one for the request.

use super::ir::Refusal;

/// Why a backend cannot be forwarded to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Reason of the route's `ResolvedRefs`; `None` when the reference itself is fine.
    pub(super) reason: Option<&'static str>,
    /// Object, field and remedy, for the condition.
    pub(super) message: String,
    /// What requests are answered.
    pub(super) refusal: Refusal,
}

impl Fault {
    /// The backend, or its port, does not exist.
    pub(super) fn backend_not_found(message: String) -> Self {
        Self::new(
            "BackendNotFound",
            message,
            "backend_not_found",
            "The backend of this route does not exist.",
        )
    }

    /// The backend is of a kind that is not served.
    pub(super) fn invalid_kind(message: String) -> Self {
        Self::new(
            "InvalidKind",
            message,
            "invalid_backend_kind",
            "The backend of this route is of an unsupported kind.",
        )
    }

    /// The backend is in another namespace, without a grant.
    pub(super) fn not_permitted(message: String) -> Self {
        let text = "The backend of this route may not be referred to.";
        Self::new("RefNotPermitted", message, "reference_not_permitted", text)
    }

    /// The backend speaks a protocol that is not served.
    pub(super) fn unsupported_protocol(message: String) -> Self {
        let text = "The backend of this route speaks an unsupported protocol.";
        Self::new("UnsupportedProtocol", message, "unsupported_backend_protocol", text)
    }

    /// The pool's picker reference is broken; the pool's conditions say so, the route's do not.
    pub(super) fn invalid_endpoint_picker(message: String) -> Self {
        let refusal =
            refusal("invalid_endpoint_picker", "The endpoint picker of this route's pool is not usable.");
        Self { reason: None, message, refusal }
    }

    /// How the backend is verified cannot be known; the policy's conditions say so, the route's do not.
    pub(super) fn unverifiable(message: String) -> Self {
        let text = "The BackendTLSPolicy of this route's backend is not usable.";
        Self { reason: None, message, refusal: refusal("invalid_backend_tls_policy", text) }
    }

    fn new(reason: &'static str, message: String, word: &str, text: &str) -> Self {
        Self { reason: Some(reason), message, refusal: refusal(word, text) }
    }
}

/// A 500 with its named reason.
pub(super) fn refusal(reason: &str, message: &str) -> Refusal {
    Refusal { status: 500, reason: reason.into(), message: message.into() }
}
