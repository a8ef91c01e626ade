//! Requests: bounded bodies and the fields that matter.
