//! Turns the intermediate representation into Envoy resources; cannot fail.
