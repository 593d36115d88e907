//! One engine, many subscribers.
//!
//! ```text
//! wish        an ObserveRequest, checked                                  (pure)
//! condition   a filter: the kernel's part of it, and all of it            (pure)
//! pods        its conditions on pods                                      (pure)
//! exchange    the engine's sink: names events, hands them out
//! naming      what the hub asks of identity; `named` answers
//! waiting     events whose pod is not known yet
//! queue       what waits for one subscriber: bounded, losses counted
//! history     the newest events
//! items       events in a row, for both of them
//! rate        events a second
//! thread      the engine's thread: attached while somebody wants it
//! ```

pub mod condition;
mod exchange;
pub mod field;
mod history;
mod items;
mod named;
mod naming;
pub mod pods;
mod queue;
mod rate;
#[cfg(test)]
mod tests;
mod thread;
mod waiting;
pub mod wish;

pub use exchange::Exchange;
pub use items::{Item, ItemRef, Items};
pub use named::Named;
pub use naming::Naming;
pub use queue::{Batch, End, Overflow, Queue};
pub use thread::{Hub, RingStatus, Settings, Status, SubscribeError, Subscriber, SubscriptionStatus};
