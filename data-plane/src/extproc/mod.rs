//! The ext_proc protocol: sans-IO session, replies, and the gRPC server.
