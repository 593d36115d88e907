//! The gRPC server of an agent, and its admin port.
//!
//! ```text
//! config   flags, environment, file -> Config                           (pure but for reading the files it names)
//! ```

pub mod config;
