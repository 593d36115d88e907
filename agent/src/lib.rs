//! Sockeye's agent: loads the kernel programs, feeds their filters and turns their records into events.
//!
//! ```text
//! host      what this machine is: BTF, capabilities, cgroups, clock      (reads, changes nothing)
//! filter    what somebody wants to see -> the kernel's sets              (pure)
//! decode    a record's bytes -> Event                                    (pure)
//! bpf       the loaded object, its maps, its rings                       (the only module with unsafe)
//! engine    probes attached, filters in place, snapshot taken: events
//! identity  whose a socket is: container, pod, workload
//! hub       one engine, many subscribers
//! node      all of it: an agent from its configuration to its end
//! observe   the gRPC service: streams from the hub
//! wire      an event as protobuf                                         (pure)
//! api       the gRPC server and the admin port
//! doctor    what each tool can and cannot have on this machine, and why
//! ```

pub use agent_common::event;

pub mod api;
pub mod bpf;
pub mod decode;
pub mod doctor;
pub mod engine;
pub mod filter;
pub mod host;
pub mod hub;
pub mod identity;
pub mod node;
pub mod observe;
pub mod probes;
pub mod wire;
