//! Accelerator classes: what an endpoint computes on, and how fast that is.
