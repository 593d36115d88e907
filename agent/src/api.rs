//! The gRPC server of an agent, and its admin port.
