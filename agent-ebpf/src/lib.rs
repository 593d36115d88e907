//! Empty: it lets `agent` have a build dependency on this package, so that cargo rebuilds the kernel
//! programs when they change. The programs are in `main.rs`.

#![no_std]
