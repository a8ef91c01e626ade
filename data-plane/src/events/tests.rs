//! Following a publisher over real sockets, and what engines write.

mod batches;
mod recorded;
mod sockets;
