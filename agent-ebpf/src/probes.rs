//! Entry points, one file per probe.

mod accept;
mod cgroup;
mod destroy;
mod reset;
mod retransmit;
mod snapshot;
mod socket_error;
mod state;
pub mod sys_connect;
mod usage;
