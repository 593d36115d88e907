//! Events as protobuf.
//!
//! ```text
//! numbers   the agent's enums, as the API's                                   (exhaustive)
//! convert   an event as the API's message: plain, allocating, the truth
//! encode    the same bytes, written directly                                  (allocates nothing)
//! compact   the same content in few bytes, by tables                          (allocates nothing once they are full)
//! write     protobuf's fields, as far as a mask keeps them
//! identity  identities, encoded once
//! ```
//!
//! The rule: whatever `encode` and `compact` write is decoded to what `convert` says, under the same mask; the tests
//! hold them together. One agent event is as many API events as it has kinds.

use std::sync::Arc;

use bytes::BytesMut;
use proto::{mask::Mask, v1};

pub mod compact;
pub mod convert;
pub mod encode;
mod identity;
mod numbers;
#[cfg(test)]
mod tests;
mod write;

pub use numbers::kind as kind_number;

use crate::{event::Event, identity::Identity};

/// What the server knows of itself and puts into every event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The node's name, as Kubernetes has it; empty outside of a cluster.
    pub node_name: Box<str>,
    /// The cluster's name, as configured; empty where it is not.
    pub cluster: Box<str>,
}

/// Writes the events of one stream.
#[derive(Debug)]
pub enum Encoder {
    /// Each event by itself.
    Readable(Box<encode::Encoder>),
    /// By tables.
    Compact(Box<compact::Encoder>),
}

impl Encoder {
    /// An encoder for a stream.
    pub fn new(encoding: v1::Encoding, mask: &Mask, origin: Origin) -> Self {
        match encoding {
            v1::Encoding::Compact => Self::Compact(Box::new(compact::Encoder::new(mask, origin))),
            v1::Encoding::Unspecified | v1::Encoding::Readable => {
                Self::Readable(Box::new(encode::Encoder::new(mask, origin)))
            }
        }
    }

    /// Adds an event to the batch: one message for each of its kinds.
    pub fn push(&mut self, event: &Event, local: Option<&Arc<Identity>>) {
        match self {
            Self::Readable(encoder) => encoder.push(event, local),
            Self::Compact(encoder) => encoder.push(event, local),
        }
    }

    /// How many messages the batch has.
    pub fn events(&self) -> usize {
        match self {
            Self::Readable(encoder) => encoder.events(),
            Self::Compact(encoder) => encoder.events(),
        }
    }

    /// How many bytes the batch has so far.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Readable(encoder) => encoder.bytes(),
            Self::Compact(encoder) => encoder.bytes(),
        }
    }

    /// Whether the batch has room for one more event. A batch that has not must be finished first.
    pub fn has_room(&self) -> bool {
        self.events() < MAX_BATCH_EVENTS && self.bytes() < MAX_BATCH_BYTES
    }

    /// Appends the batch to `out` as one encoded `ObserveResponse`, and begins the next.
    pub fn finish(&mut self, time_ns: u64, resume_token: &[u8], out: &mut BytesMut) {
        match self {
            Self::Readable(encoder) => encoder.finish(time_ns, resume_token, out),
            Self::Compact(encoder) => encoder.finish(time_ns, resume_token, out),
        }
    }
}

/// Most messages in a batch. The tables of the compact encoding have room for so many beyond their limits.
pub const MAX_BATCH_EVENTS: usize = 1024;

/// A batch that is longer gets no more events: well below the 4 MiB that clients take by default.
pub const MAX_BATCH_BYTES: usize = 1 << 20;
