//! Entry points, one file per probe.

mod accept;
mod cgroup;
mod destroy;
mod retransmit;
mod snapshot;
mod state;
pub mod sys_connect;
mod usage;
