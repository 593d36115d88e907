//! What this machine is: the kernel's types, and later its version, capabilities, cgroups and clock.
//!
//! Modules here read and change nothing. Where they look (`/proc`, `/sys`) is a parameter, so tests bring
//! their own trees.

pub mod btf;
