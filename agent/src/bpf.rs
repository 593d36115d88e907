//! The loaded object: kernel programs, their maps and rings. The only module of user space with `unsafe`.
//!
//! It changes the kernel and decides nothing: which programs, which filter and which sizes are parameters.
//! Everything is owned by descriptors, so that dropping the object, or dying, leaves the kernel as it was.

#![expect(
    unsafe_code,
    reason = "the rings' pages are shared with the kernel, and the program's own are given back"
)]

mod counts;
mod loader;
mod maps;
mod object;
pub mod pages;
mod programs;
mod ring;

pub use counts::Counts;
pub use loader::Loader;
pub use maps::PinnedShape;
pub use object::{LoadError, Object, Settings};
pub use programs::{Attached, ProgramFault};
pub use ring::{Ring, RingError};
