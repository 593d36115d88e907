//! The rings and their wake-up words: which is which, on both sides.
//!
//! Wake-ups are NAPI-style: a program wakes the reader only when the reader said, by the ring's armed word,
//! that it is about to sleep (docs/decisions/0004-armed-wake-ups.md).

/// Everything that happens often: transitions of sockets.
pub const BULK: u32 = 0;
/// What must not drown in the bulk: failures seen only at system calls, new cgroups; later drops, resets, errors.
pub const RARE: u32 = 1;
/// How many rings there are.
pub const COUNT: u32 = 2;
