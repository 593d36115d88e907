//! Events as protobuf.
//!
//! ```text
//! numbers   the agent's enums, as the API's                                   (exhaustive)
//! convert   an event as the API's message: plain, allocating, the truth
//! encode    the same bytes, written directly                                  (allocates nothing)
//! write     protobuf's fields, as far as a mask keeps them
//! identity  identities, encoded once
//! ```
//!
//! The rule: whatever `encode` writes is decoded to what `convert` says, under the same mask; the tests
//! hold them together. One agent event is as many API events as it has kinds.

pub mod convert;
pub mod encode;
mod identity;
mod numbers;
#[cfg(test)]
mod tests;
mod write;

/// What the server knows of itself and puts into every event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The node's name, as Kubernetes has it; empty outside of a cluster.
    pub node_name: Box<str>,
    /// The cluster's name, as configured; empty where it is not.
    pub cluster: Box<str>,
}

/// Most messages in a batch. The tables of the compact encoding have room for so many beyond their limits.
pub const MAX_BATCH_EVENTS: usize = 1024;

/// A batch that is longer gets no more events: well below the 4 MiB that clients take by default.
pub const MAX_BATCH_BYTES: usize = 1 << 20;
