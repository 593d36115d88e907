//! The gRPC server of an agent, and its admin port. Around a service that the hub brings:
//!
//! ```text
//! config      flags, environment, file -> Config         (changes nothing)
//! listen      unix socket, loopback, TLS -> connections
//! tls         files -> TLS, and again when they change
//! limit       who may connect now
//! connection  a client's connection, as handlers see it
//! guard       before every call: room, caller; after it: the end
//! auth        who calls, and what it may see
//! server      all of that around a service
//! serve       an agent from its configuration to its end
//! stop        how serving ends
//! privileges  gives up rights that are not needed
//! vitals      alive and ready
//! admin       /healthz, /readyz, /metrics
//! metrics     what the agent tells about itself
//! status      how the agent is, one snapshot for all who ask
//! ```

pub mod admin;
pub mod auth;
pub mod config;
pub mod connection;
mod guard;
mod limit;
pub mod listen;
pub mod metrics;
pub mod privileges;
pub mod serve;
pub mod server;
pub mod status;
pub mod stop;
#[cfg(test)]
mod testing;
pub mod tls;
pub mod vitals;
