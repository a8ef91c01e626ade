//! One change fanned out to many streams.

fn main() {}
