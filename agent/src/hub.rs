//! One engine, many subscribers.
