//! Policy, pure: who may have which channel, whose picture is encoded next, who is told what.
//!
//! No clock, no input or output, no threads: time and events are arguments, what must happen is a result.

pub mod event;
pub mod time;
