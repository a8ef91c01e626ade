//! The choice of endpoint, in expected seconds.
