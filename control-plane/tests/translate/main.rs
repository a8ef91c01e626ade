//! The translation: goldens, Envoy's own validation of them, and the behaviour of a real Envoy.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

mod building;
mod cases;
mod drain;
mod envoy;
mod errors;
mod golden;
mod parts;
mod pickers;
mod scanner;
mod stack;
mod traffic;
mod unchanged;
