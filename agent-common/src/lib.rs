//! The contract between the kernel programs (`agent-ebpf`) and user space (`agent`).
//!
//! What lives here is `no_std`, does no I/O and is tested on the host: the layout of the records, the table
//! of kernel fields, the layout of the filter, the slots of the loss counters. A type that crosses the
//! boundary derives zerocopy's traits, so a struct with implicit padding does not compile.

#![no_std]

#[cfg(feature = "event")]
extern crate alloc;

#[cfg(feature = "event")]
pub mod event;
pub mod fields;
pub mod filter;
pub mod kind;
pub mod loss;
#[cfg(feature = "event")]
pub mod prefix;
pub mod record;
pub mod ring;
pub mod state;
pub mod store;
pub mod transition;
